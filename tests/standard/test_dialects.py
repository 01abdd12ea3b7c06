"""LangChain's standard tests of the clients whose providers speak OpenAI's dialect."""

from typing import ClassVar

import pytest
from langchain_deepseek import ChatDeepSeek
from langchain_fireworks import ChatFireworks
from langchain_nvidia_ai_endpoints import ChatNVIDIA, NVIDIAEmbeddings
from langchain_openrouter import ChatOpenRouter
from langchain_together import ChatTogether, TogetherEmbeddings
from langchain_xai import ChatXAI

from tests.standard.failing import Failing
from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = [  # the clients' own
    pytest.mark.filterwarnings("ignore:Exception ignored in.*ClientSession"),
    pytest.mark.filterwarnings("ignore:Model .* is not known to support structured output"),
]


class TestFireworks(ChatSuite):
    provider = "fireworks"
    url, key = "FIREWORKS_API_BASE", "FIREWORKS_API_KEY"
    client = ChatFireworks
    params: ClassVar = {"model": "accounts/fireworks/models/kimi-k2"}
    supports_image_inputs = supports_image_urls = True
    supports_model_override = False  # the client reports its own model, whichever answered


class _Together:
    provider = "together"
    url, key = "TOGETHER_API_BASE", "TOGETHER_API_KEY"


class TestTogether(_Together, ChatSuite):
    client = ChatTogether
    params: ClassVar = {"model": "openai/gpt-oss-20b"}
    supports_image_inputs = supports_image_urls = True


class TestTogetherEmbeddings(_Together, EmbeddingsSuite):
    client = TogetherEmbeddings
    params: ClassVar = {}


class TestDeepSeek(ChatSuite):
    provider = "deepseek"
    url, key = "DEEPSEEK_API_BASE", "DEEPSEEK_API_KEY"
    client = ChatDeepSeek
    params: ClassVar = {"model": "deepseek-chat"}


class TestXAI(ChatSuite):
    provider = "xai"
    url, key = "XAI_API_BASE", "XAI_API_KEY"
    client = ChatXAI
    params: ClassVar = {"model": "grok-4"}
    supports_image_inputs = supports_image_urls = True


class TestOpenRouter(ChatSuite):
    provider = "openrouter"
    url, key = "OPENROUTER_API_BASE", "OPENROUTER_API_KEY"
    client = ChatOpenRouter
    params: ClassVar = {"model": "openai/gpt-4o"}
    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = True
    supports_json_mode = False


class _NVIDIA:
    provider = "nvidia"
    url, key = "NVIDIA_BASE_URL", "NVIDIA_API_KEY"

    @pytest.fixture(autouse=True)
    def _without_telemetry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NVIDIA_USAGE_TELEMETRY_ENABLED", "0")


_NO_TYPEDDICT = "ChatNVIDIA takes Pydantic classes, dictionaries and enums, no TypedDict"
_OTHER_SCHEMA = "ChatNVIDIA notes a schema other than the one that LangChain makes of a Pydantic class"


class TestNVIDIA(_NVIDIA, Failing, ChatSuite):
    client = ChatNVIDIA
    params: ClassVar = {"model": "meta/llama-3.3-70b-instruct"}
    supports_image_inputs = supports_image_urls = True
    supports_model_override = False  # the client reports its own model, whichever answered
    supports_json_mode = False
    fails: ClassVar = {
        "test_structured_output[pydantic]": _OTHER_SCHEMA,
        "test_structured_output[typeddict]": _NO_TYPEDDICT,
        "test_structured_output_async[pydantic]": _OTHER_SCHEMA,
        "test_structured_output_async[typeddict]": _NO_TYPEDDICT,
        "test_structured_output_optional_param": _NO_TYPEDDICT,
    }


class TestNVIDIAEmbeddings(_NVIDIA, EmbeddingsSuite):
    client = NVIDIAEmbeddings
    params: ClassVar = {"model": "nvidia/nv-embedqa-e5-v5"}
