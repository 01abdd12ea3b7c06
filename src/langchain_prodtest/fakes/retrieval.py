"""Retrieval in the process: embeddings, a retriever and a vector store, whose failures are scripted."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import PrivateAttr

from langchain_prodtest.fakes.operations import Operations
from langchain_prodtest.script import Call, Fault
from langchain_prodtest.vectors import embed

__all__ = ["HashedEmbeddings", "ScriptedRetriever", "ScriptedVectorStore"]


class HashedEmbeddings(Embeddings):
    """Embed texts by the hashes of their words: the same in every process, and near texts are near."""

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a unit vector for each text."""
        return [embed(text, self.dimensions) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the unit vector of `text`."""
        return embed(text, self.dimensions)


class ScriptedRetriever(BaseRetriever):
    """Return the `k` of its documents that are nearest to the query, the nearest first."""

    documents: list[Document]
    k: int = 4
    _served: Operations = PrivateAttr(default_factory=lambda: Operations("fake_retriever"))

    def fail(self, *faults: Fault) -> None:
        """Let the next queries fail, one for each fault; those after them work again."""
        self._served.journal.add(*faults, then_default=True)

    @property
    def calls(self) -> list[Call]:
        """The finished queries, oldest first; the query is the message."""
        return self._served.journal.calls

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        self._served.serve("retrieve", query)
        vector = embed(query, HashedEmbeddings().dimensions)
        vectors = HashedEmbeddings().embed_documents([document.page_content for document in self.documents])
        ranked = sorted(zip(vectors, self.documents, strict=True), key=lambda pair: -_near(vector, pair[0]))
        return [document for _, document in ranked[: self.k if k is None else k]]


class ScriptedVectorStore(VectorStore):
    """Keep documents in the process, and find the nearest ones."""

    def __init__(self, embedding: Embeddings | None = None) -> None:
        self._embedding = embedding or HashedEmbeddings()
        self._served = Operations("fake_vector_store")
        self._kept: dict[str, tuple[Document, list[float]]] = {}

    @property
    def embeddings(self) -> Embeddings:
        """What texts are embedded by."""
        return self._embedding

    def fail(self, *faults: Fault) -> None:
        """Let the next operations fail, one for each fault; those after them work again."""
        self._served.journal.add(*faults, then_default=True)

    @property
    def calls(self) -> list[Call]:
        """The finished operations (`add`, `delete`, `get`, `search`), oldest first."""
        return self._served.journal.calls

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Keep texts under their ids, made up where none are given, and return the ids."""
        said = list(texts)
        self._served.serve("add", "\n".join(said))
        names = [given or str(uuid.uuid4()) for given in ids or [""] * len(said)]
        vectors = self._embedding.embed_documents(said)
        for name, text, vector, about in zip(
            names, said, vectors, metadatas or [{} for _ in said], strict=True
        ):
            self._kept[name] = Document(page_content=text, metadata=about, id=name), vector
        return names

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Forget what is kept under these ids, or everything; ids that are not there do not matter."""
        self._served.serve("delete", "\n".join(ids or ()))
        for name in list(self._kept) if ids is None else ids:
            self._kept.pop(name, None)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return what is kept under these ids; those that are not there are left out."""
        self._served.serve("get", "\n".join(ids))
        return [self._kept[name][0] for name in ids if name in self._kept]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the `k` documents nearest to the query, the nearest first."""
        return [document for document, _ in self.similarity_search_with_score(query, k)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the `k` nearest documents with their cosine similarity, -1 to 1."""
        self._served.serve("search", query)
        vector = self._embedding.embed_query(query)
        scored = [(document, _near(vector, kept)) for document, kept in self._kept.values()]
        return sorted(scored, key=lambda pair: -pair[1])[:k]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a store that keeps `texts`."""
        store = cls(embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _select_relevance_score_fn(self) -> Any:
        return lambda score: (score + 1) / 2


def _near(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine similarity of two unit vectors."""
    return max(-1.0, min(1.0, sum(a * b for a, b in zip(one, other, strict=True))))
