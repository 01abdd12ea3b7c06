"""LangChain's standard tests of ChatGoogleGenerativeAI, with two generations of models, and of embeddings."""

from typing import ClassVar

import pytest
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings

from tests.standard.failing import Failing
from tests.standard.suites import ChatSuite, EmbeddingsSuite

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # the client's own


class _Gemini(Failing):
    supports_image_inputs = supports_pdf_inputs = supports_audio_inputs = True
    supports_image_tool_message = supports_pdf_tool_message = True
    provider = "gemini"
    url, key = "GOOGLE_GEMINI_BASE_URL", "GOOGLE_API_KEY"
    fails: ClassVar = dict.fromkeys(
        [f"test_{call}_with_model_override" for call in ("invoke", "ainvoke", "stream", "astream")],
        "The client puts the model of a single call into its configuration, where it is forbidden.",
    )


class TestChat(_Gemini, ChatSuite):
    client = ChatGoogleGenerativeAI
    params: ClassVar = {"model": "gemini-2.5-flash"}


class TestGemini3(_Gemini, ChatSuite):
    client = ChatGoogleGenerativeAI
    params: ClassVar = {"model": "gemini-3-pro-preview"}


class TestEmbeddings(_Gemini, EmbeddingsSuite):
    client = GoogleGenerativeAIEmbeddings
    params: ClassVar = {"model": "gemini-embedding-001"}
