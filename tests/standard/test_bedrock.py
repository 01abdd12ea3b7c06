"""LangChain's standard tests of the clients of AWS Bedrock."""

from typing import Any, ClassVar, Literal

import pytest
from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse

from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = pytest.mark.filterwarnings("ignore:Bedrock Converse may require a filename")  # the client's own
_Details = dict[Literal["invoke", "stream"], list[Any]]


class _Bedrock:
    """Credentials are worth nothing, and no service of EC2 is asked for others."""

    provider = "bedrock"
    url, key = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_SECRET_ACCESS_KEY"

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFAKE")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class _Chat(_Bedrock, ChatSuite):
    params: ClassVar = {"model": "us.anthropic.claude-sonnet-4-20250514-v1:0"}
    supports_model_override = False
    supports_anthropic_inputs = True
    cached: ClassVar = ["cache_read_input", "cache_creation_input"]
    supported_usage_metadata_details: ClassVar[_Details] = {"invoke": cached, "stream": cached}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> Any:
        return self.asked(stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> Any:
        return self.asked(stream)

    def asked(self, stream: bool, **options: Any) -> Any:
        model = self.client(**self.params, **options)
        if not stream:
            return model.invoke("Hello")
        first, *rest = model.stream("Hello")
        return sum(rest, start=first)


class TestConverse(_Chat):
    client = ChatBedrockConverse
    supports_image_inputs = supports_pdf_inputs = supports_image_tool_message = True
    supports_json_mode = False
    detailed: ClassVar = [*_Chat.cached, "reasoning_output"]
    supported_usage_metadata_details: ClassVar[_Details] = {"invoke": detailed, "stream": detailed}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> Any:
        return self.asked(stream, additional_model_response_field_paths=["/usage"])


class TestInvokedClaude(_Chat):
    client = ChatBedrock
    supports_image_inputs = supports_image_tool_message = True


class TestTitanEmbeddings(_Bedrock, EmbeddingsSuite):
    client = BedrockEmbeddings
    params: ClassVar = {"model_id": "amazon.titan-embed-text-v2:0"}


class TestCohereEmbeddings(_Bedrock, EmbeddingsSuite):
    client = BedrockEmbeddings
    params: ClassVar = {"model_id": "cohere.embed-english-v3"}
