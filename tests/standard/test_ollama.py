"""LangChain's standard tests of ChatOllama and of its embeddings."""

from typing import ClassVar

from langchain_ollama import ChatOllama, OllamaEmbeddings

from tests.standard.suites import ChatSuite, EmbeddingsSuite


class _Ollama:
    provider = "ollama"
    url, key = "OLLAMA_HOST", "OLLAMA_API_KEY"


class TestChat(_Ollama, ChatSuite):
    client = ChatOllama
    params: ClassVar = {"model": "llama3.1"}
    supports_image_inputs = True


class TestEmbeddings(_Ollama, EmbeddingsSuite):
    client = OllamaEmbeddings
    params: ClassVar = {"model": "nomic-embed-text"}
