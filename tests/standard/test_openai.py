"""LangChain's standard tests of ChatOpenAI, by chat completions and by responses, and of its embeddings."""

from typing import ClassVar

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = [  # the client's own
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
]


class _OpenAI:
    provider = "openai"
    url, key = "OPENAI_BASE_URL", "OPENAI_API_KEY"


class TestChat(_OpenAI, ChatSuite):
    client = ChatOpenAI
    params: ClassVar = {"model": "gpt-4o", "stream_usage": True}

    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = supports_audio_inputs = True


class TestResponses(_OpenAI, ChatSuite):
    client = ChatOpenAI
    params: ClassVar = {"model": "gpt-4o", "use_responses_api": True}

    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = supports_image_tool_message = supports_pdf_tool_message = True


class TestEmbeddings(_OpenAI, EmbeddingsSuite):
    client = OpenAIEmbeddings
    params: ClassVar = {"model": "text-embedding-3-small", "check_embedding_ctx_length": False}
