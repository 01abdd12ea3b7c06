"""LangChain's standard tests of ChatPerplexity, by chat and by its agent, and of its embeddings."""

from typing import ClassVar

from langchain_perplexity import ChatPerplexity, PerplexityEmbeddings

from tests.standard.failing import Failing
from tests.standard.suites import ChatSuite, EmbeddingsSuite

_CHOICE = "The client refuses to force a tool, as the agent cannot be forced."


class _Perplexity:
    provider = "perplexity"
    url, key = "PERPLEXITY_BASE_URL", "PPLX_API_KEY"


class TestChat(_Perplexity, ChatSuite):
    client = ChatPerplexity
    params: ClassVar = {"model": "sonar"}
    has_tool_calling = False  # Sonar calls none


class TestAgent(_Perplexity, Failing, ChatSuite):
    client = ChatPerplexity
    params: ClassVar = {"model": "sonar", "use_responses_api": True}
    has_tool_choice = False
    fails: ClassVar = {"test_unicode_tool_call_integration": _CHOICE} | dict.fromkeys(
        [
            "test_structured_few_shot_examples",
            "test_structured_output",
            "test_structured_output_async",
            "test_structured_output_pydantic_2_v1",
            "test_structured_output_optional_param",
            "test_json_mode",
        ],
        "The client gives the schema no name, and its SDK sends none without.",
    )


class TestEmbeddings(_Perplexity, EmbeddingsSuite):
    client = PerplexityEmbeddings
    params: ClassVar = {}
