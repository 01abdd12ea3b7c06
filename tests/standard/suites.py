"""LangChain's standard suites, led to a fake provider by the environment alone."""

from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import (  # type: ignore[import-not-found]
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
)

from langchain_prodtest.wire.server import FakeServer

__all__ = ["ChatSuite", "EmbeddingsSuite"]


class _Led:
    """`provider` is the mount; `url` and `key` name the variables that lead the client there."""

    provider: ClassVar[str]
    url: ClassVar[str]
    key: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _led_to_the_fake(self, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(self.url, server.url(self.provider))
        monkeypatch.setenv(self.key, "sk-fake")


_FILES = {
    ".png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82",
    ".pdf": b"%PDF-1.4\n%%EOF\n",
    ".wav": b"RIFF$\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00@\x1f\x00\x00"
    b"\x01\x00\x08\x00data\x00\x00\x00\x00",
}


def _file(url: str, **_: Any) -> SimpleNamespace:
    return SimpleNamespace(content=_FILES[PurePosixPath(url).suffix])


class ChatSuite(_Led, ChatModelIntegrationTests):  # type: ignore[misc]
    """The tests of a chat model. The pictures and documents that they fetch are small ones from here."""

    client: ClassVar[type[BaseChatModel]]
    params: ClassVar[dict[str, Any]]

    supports_json_mode = True

    @pytest.fixture(autouse=True)
    def _files_from_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none")
        monkeypatch.setattr("langchain_tests.integration_tests.chat_models.httpx", SimpleNamespace(get=_file))

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return self.client

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.params

    @property
    def model_override_value(self) -> str:
        return str(self.params["model"]) + "-other"


class EmbeddingsSuite(_Led, EmbeddingsIntegrationTests):  # type: ignore[misc]
    """The tests of embeddings."""

    client: ClassVar[type[Embeddings]]
    params: ClassVar[dict[str, Any]]

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return self.client

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return self.params
