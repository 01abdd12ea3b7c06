"""LangChain's standard tests of ChatCohere and CohereEmbeddings."""

from typing import Any, ClassVar

import pytest
from langchain_cohere import ChatCohere, CohereEmbeddings

from langchain_prodtest.wire.server import FakeServer
from tests.standard.failing import Failing
from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince211"),
]
_PIECES = "The client gives each piece of a streamed tool call an id, so that they are not joined."
_BLOCKS = "The client takes the content of a message that calls tools for text."
_TRACING = "The client does not tell tracing the format of structured output."
_SCHEMA = "The client takes a class that is not Pydantic's for a dictionary."


class _Cohere:
    """These clients take the URL by argument alone."""

    provider = "cohere"
    url, key = "COHERE_BASE_URL", "COHERE_API_KEY"

    @pytest.fixture(autouse=True)
    def _led_by_argument(self, server: FakeServer) -> None:
        self.base_url = server.url("cohere")


class TestChat(_Cohere, Failing, ChatSuite):
    client = ChatCohere
    params: ClassVar = {"model": "command-a-03-2025"}
    supports_image_inputs = supports_image_urls = True
    fails: ClassVar = {
        **dict.fromkeys(
            [f"test_{call}_with_model_override" for call in ("invoke", "ainvoke", "stream", "astream")],
            "The client passes the model of a single call beside its own.",
        ),
        "test_usage_metadata": "The client does not name the model in an answer.",
        "test_usage_metadata_streaming": "The client drops the usage of a sync stream.",
        "test_tool_calling": _PIECES,
        "test_tool_calling_with_no_arguments": _PIECES,
        "test_tool_message_histories_list_content": _BLOCKS,
        "test_agent_loop[model1]": _BLOCKS,
        "test_structured_output[pydantic]": _TRACING,
        "test_structured_output[json_schema]": _TRACING,
        "test_structured_output_async[pydantic]": _TRACING,
        "test_structured_output_async[json_schema]": _TRACING,
        "test_structured_output[typeddict]": _SCHEMA,
        "test_structured_output_async[typeddict]": _SCHEMA,
        "test_structured_output_pydantic_2_v1": _SCHEMA,
        "test_structured_output_optional_param": _SCHEMA,
    }

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**self.params, "base_url": self.base_url}


class TestEmbeddings(_Cohere, EmbeddingsSuite):
    client = CohereEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "embed-v4.0", "base_url": self.base_url}
