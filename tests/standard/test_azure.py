"""LangChain's standard tests of AzureChatOpenAI, by deployment and by responses, and of its embeddings."""

from typing import ClassVar

import pytest
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings

from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = [  # the client's own
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
]

DEPLOYMENT = {"azure_deployment": "my-gpt", "model": "gpt-4o", "api_version": "2025-04-01-preview"}


class _Azure:
    provider = "azure"
    url, key = "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"


class TestChat(_Azure, ChatSuite):
    client = AzureChatOpenAI
    params: ClassVar = DEPLOYMENT

    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = supports_audio_inputs = True


class TestResponses(_Azure, ChatSuite):
    client = AzureChatOpenAI
    params: ClassVar = {**DEPLOYMENT, "use_responses_api": True}

    supports_image_inputs = supports_image_urls = True
    supports_pdf_inputs = supports_image_tool_message = supports_pdf_tool_message = True


class TestEmbeddings(_Azure, EmbeddingsSuite):
    client = AzureOpenAIEmbeddings
    params: ClassVar = {
        "azure_deployment": "my-ada",
        "api_version": "2025-04-01-preview",
        "check_embedding_ctx_length": False,
    }
