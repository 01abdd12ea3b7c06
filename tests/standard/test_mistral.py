"""LangChain's standard tests of ChatMistralAI and MistralAIEmbeddings."""

from typing import Any, ClassVar

import pytest
from langchain_mistralai import ChatMistralAI, MistralAIEmbeddings
from tokenizers import Tokenizer, models

from langchain_prodtest.wire.server import FakeServer
from tests.standard.failing import Failing
from tests.standard.suites import ChatSuite, EmbeddingsSuite


class _Mistral:
    provider = "mistral"
    url, key = "MISTRAL_BASE_URL", "MISTRAL_API_KEY"


class TestChat(_Mistral, Failing, ChatSuite):
    client = ChatMistralAI
    params: ClassVar = {"model": "mistral-large-latest"}
    supports_image_inputs = supports_image_urls = True
    fails: ClassVar = dict.fromkeys(
        ["test_invoke_with_model_override", "test_ainvoke_with_model_override"],
        "The client names its own model in an answer, not the one that answered.",
    )


class TestEmbeddings(_Mistral, EmbeddingsSuite):
    client = MistralAIEmbeddings

    @pytest.fixture(autouse=True)
    def _led_by_argument(self, server: FakeServer) -> None:
        """Embeddings take their endpoint by argument alone."""
        self.endpoint = server.url("mistral")

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))  # else one is looked for outside
        return {"model": "mistral-embed", "endpoint": self.endpoint, "tokenizer": tokenizer}
