"""LangChain's standard suites, led to a fake provider by the environment alone."""

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


class ChatSuite(_Led, ChatModelIntegrationTests):  # type: ignore[misc]
    """The tests of a chat model, without those that fetch pictures and documents from the internet."""

    client: ClassVar[type[BaseChatModel]]
    params: ClassVar[dict[str, Any]]

    supports_json_mode = True

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
