"""The in-process fakes pass LangChain's standard suites, unit and integration."""

# mypy: disable-error-code="import-not-found, misc"

from typing import Any, ClassVar

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    ToolsIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests, ToolsUnitTests

from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.fakes.recording import RecordingTool
from langchain_prodtest.fakes.retrieval import HashedEmbeddings, ScriptedRetriever, ScriptedVectorStore
from langchain_prodtest.wire.auto import auto

DOCUMENTS = [Document(page_content=f"text {n}") for n in range(9)]


class _Chat:
    @property
    def chat_model_class(self) -> type[ScriptedChat]:
        return ScriptedChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def model(self, request: Any) -> BaseChatModel:
        model = ScriptedChat()
        model.journal.default = auto
        return model


class TestScriptedChatUnit(_Chat, ChatModelUnitTests):
    pass


class TestScriptedChat(_Chat, ChatModelIntegrationTests):
    supports_json_mode = True


class TestHashedEmbeddingsUnit(EmbeddingsUnitTests):
    embeddings_class = HashedEmbeddings
    embedding_model_params: ClassVar[Any] = {}


class TestHashedEmbeddings(EmbeddingsIntegrationTests):
    embeddings_class = HashedEmbeddings
    embedding_model_params: ClassVar[Any] = {}


class TestScriptedRetriever(RetrieversIntegrationTests):
    retriever_constructor = ScriptedRetriever
    retriever_constructor_params: ClassVar[Any] = {
        "documents": [Document(page_content=f"text {n}") for n in range(9)]
    }
    retriever_query_example = "text 3"


class TestScriptedVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> ScriptedVectorStore:
        return ScriptedVectorStore(self.get_embeddings())


class _Tool:
    @property
    def tool_constructor(self) -> BaseTool:
        return RecordingTool("book", {"seat": str})

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"seat": "12A"}


class TestRecordingToolUnit(_Tool, ToolsUnitTests):
    pass


class TestRecordingTool(_Tool, ToolsIntegrationTests):
    pass
