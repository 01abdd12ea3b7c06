"""LangChain's standard tests of ChatAnthropic."""

from typing import ClassVar

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessageChunk

from tests.standard.suites import ChatSuite

pytestmark = pytest.mark.filterwarnings(  # the client's own: it takes the schema instead
    "ignore:Unrecognized structured output method 'json_mode'"
)
_DETAILS = ["cache_read_input", "cache_creation_input", "reasoning_output"]


class TestChat(ChatSuite):
    provider = "anthropic"
    url, key = "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"
    client = ChatAnthropic
    params: ClassVar = {"model": "claude-prodtest"}

    supports_anthropic_inputs = True
    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = supports_image_tool_message = supports_pdf_tool_message = True
    supported_usage_metadata_details: ClassVar = {"invoke": _DETAILS, "stream": _DETAILS}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return _said(stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return _said(stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return _said(stream)


def _said(stream: bool) -> AIMessage:
    model = ChatAnthropic(model_name="claude-prodtest", timeout=None, stop=None)
    if not stream:
        return model.invoke("Say it.")
    first, *rest = model.stream("Say it.")
    total: BaseMessageChunk = first
    for chunk in rest:
        total += chunk
    assert isinstance(total, AIMessage)
    return total
