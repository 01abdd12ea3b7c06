"""Embeddings, retriever and vector store: near texts are near, failures come as scripted."""

import pytest
from langchain_core.documents import Document

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.fakes.faults import ScriptedConnectionError
from langchain_prodtest.fakes.retrieval import HashedEmbeddings, ScriptedRetriever, ScriptedVectorStore
from langchain_prodtest.script import Fault

TEXTS = ["Seats can be booked until noon.", "Luggage is weighed at the gate.", "Dogs travel in the hold."]


def retriever(k: int = 4) -> ScriptedRetriever:
    return ScriptedRetriever(documents=[Document(page_content=text) for text in TEXTS], k=k)


def store() -> ScriptedVectorStore:
    return ScriptedVectorStore.from_texts(TEXTS, HashedEmbeddings(), ids=["seats", "luggage", "dogs"])


def test_near_texts_are_near() -> None:
    booked, booking, dogs = HashedEmbeddings().embed_documents(["a booked seat", "booking a seat", "dogs"])
    assert sum(a * b for a, b in zip(booked, booking, strict=True)) > 0.5
    assert abs(sum(a * b for a, b in zip(booked, dogs, strict=True))) < 0.3
    assert len(HashedEmbeddings(dimensions=8).embed_query("x")) == 8


def test_the_retriever_finds_the_nearest_first_and_k_of_them() -> None:
    assert retriever(k=2).invoke("Where is my luggage weighed?")[0].page_content == TEXTS[1]
    assert len(retriever(k=2).invoke("luggage")) == 2
    assert len(retriever().invoke("luggage", k=1)) == 1


def test_a_failure_comes_once_and_is_journalled() -> None:
    asked = retriever()
    asked.fail(Fault(how="reset"))
    with pytest.raises(ScriptedConnectionError, match="connection reset"):
        asked.invoke("dogs")
    assert asked.invoke("dogs")
    assert [(call.operation, call.closed_by) for call in asked.calls] == [
        ("retrieve", "fault"),
        ("retrieve", "server"),
    ]
    assert asked.calls[0].messages == [{"role": "user", "content": "dogs"}]


def test_the_store_finds_replaces_and_forgets() -> None:
    kept = store()
    assert kept.similarity_search("dogs in the hold", k=1)[0].id == "dogs"
    kept.add_texts(["Cats travel too."], [{"page": 3}], ids=["dogs"])
    (found,) = kept.get_by_ids(["dogs", "nobody"])
    assert (found.page_content, found.metadata) == ("Cats travel too.", {"page": 3})
    kept.delete(["dogs", "nobody"])
    assert kept.get_by_ids(["dogs"]) == []
    kept.delete()
    assert kept.similarity_search("seats") == []


def test_scores_are_similarities_and_the_best_is_the_text_itself() -> None:
    (best, score), *_ = store().similarity_search_with_score(TEXTS[0])
    assert (best.id, round(score, 6)) == ("seats", 1.0)
    assert store().similarity_search_with_relevance_scores(TEXTS[0], k=1)[0][1] == pytest.approx(1.0)


def test_the_store_fails_as_scripted_in_any_operation() -> None:
    kept = store()
    kept.fail(Fault(how="refuse"), Fault(status=503))
    with pytest.raises(ScriptedConnectionError):
        kept.similarity_search("seats")
    with pytest.raises(Exception, match="HTTP 503"):
        kept.add_texts(["x"])
    assert kept.as_retriever().invoke("seats")
    assert [call.operation for call in kept.calls] == ["add", "search", "add", "search"]


def test_a_fault_that_needs_a_connection_is_refused() -> None:
    asked = retriever()
    asked.fail(Fault(how="hang"))
    with pytest.raises(ScriptError, match="happens on a connection"):
        asked.invoke("dogs")
