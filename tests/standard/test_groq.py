"""LangChain's standard tests of ChatGroq."""

from typing import ClassVar

from langchain_groq import ChatGroq

from tests.standard.suites import ChatSuite


class TestChat(ChatSuite):
    provider = "groq"
    url, key = "GROQ_API_BASE", "GROQ_API_KEY"
    client = ChatGroq
    params: ClassVar = {"model": "llama-3.3-70b-versatile"}
    supports_image_inputs = supports_image_urls = True
    supports_model_override = False  # the client reports its own model, whichever answered
