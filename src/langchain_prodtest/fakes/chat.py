"""A chat model that answers in the process what a Script says."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.fakes.faults import exception_for
from langchain_prodtest.fakes.strictness import UnexpectedCallError, unexpected_text
from langchain_prodtest.fakes.tools import check_tool_call
from langchain_prodtest.measure import now
from langchain_prodtest.script import Call, Fault, Reply, Request, Script, Step, find_nonce

__all__ = ["ScriptedChat"]

ARGUMENT_PIECE = 8  # characters of a tool call's arguments in one streamed chunk


class ScriptedChat(BaseChatModel):
    """Answer each call with the next step of its script: invoke, stream, batch, sync and async.

    Tools bound by `bind_tools` are checked: a scripted ToolCall must name one of them and fit its schema.
    A call that comes after the script is used up raises UnexpectedCallError.
    """

    model: str = "scripted"
    _script: Script = PrivateAttr(default_factory=Script)
    _mistakes: list[str] = PrivateAttr(default_factory=list)

    def script(self, *steps: Step) -> None:
        """Answer the next calls with `steps`, one each, in this order."""
        self._script.add(*steps)

    def follow(self, script: Script) -> None:
        """Answer from this Script from now on."""
        self._script = script

    @property
    def calls(self) -> list[Call]:
        """The finished calls, oldest first; messages and tools are in OpenAI's shape."""
        return self._script.calls

    @property
    def journal(self) -> Script:
        """The Script behind this model, for what `script` and `calls` do not show."""
        return self._script

    @property
    def mistakes(self) -> list[str]:
        """What was wrong with the script itself; the code under test may have swallowed the ScriptError."""
        return list(self._mistakes)

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with `tools`; scripted tool calls are checked against their JSON schemas."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._answer(messages, kwargs, stream=False))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self._answer(messages, kwargs, stream=True)

    def _answer(
        self, messages: list[BaseMessage], kwargs: dict[str, Any], stream: bool
    ) -> Iterator[ChatGenerationChunk]:
        call = self._received(messages, kwargs.get("tools", []), stream)
        step = self._script.next(call)
        if step is None:
            call = msgspec.structs.replace(call, unexpected=True)
            self._script.record(msgspec.structs.replace(call, ended=now()))
            raise UnexpectedCallError(unexpected_text([call], self._script))
        end: dict[str, Any] = {"closed_by": "client"}
        try:
            yield from self._rendered(step, call)
            end = {"closed_by": "server", "status": 200}
        except ScriptError as error:
            self._mistakes.append(str(error))
            raise
        except Exception as error:
            end = {"closed_by": "fault", "status": getattr(error, "status_code", 0)}
            raise
        finally:
            self._script.record(msgspec.structs.replace(call, ended=now(), **end))

    def _rendered(self, step: Step, call: Call) -> Iterator[ChatGenerationChunk]:
        if isinstance(step, Reply):
            for wanted in step.tool_calls:
                check_tool_call(wanted, call.tools)
            yield from _chunks(step, _usage(step, call), self.model)
        else:
            yield from self._broken(step, call)

    def _broken(self, fault: Fault, call: Call) -> Iterator[ChatGenerationChunk]:
        """Send the first `after` chunks of the default answer, then fail; a clean end just ends."""
        error = exception_for(fault)
        time.sleep(fault.delay)
        reply = self._script.default(call)
        for _, chunk in zip(range(fault.after), _contents(reply), strict=False):
            yield ChatGenerationChunk(message=chunk)
        if error is not None:
            raise error

    def _received(self, messages: list[BaseMessage], tools: list[dict[str, Any]], stream: bool) -> Call:
        plain: list[dict[str, Any]] = convert_to_openai_messages(messages)
        text = json.dumps([plain, tools], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Call(
            id=0,
            provider="fake_chat",
            model=self.model,
            messages=plain,
            tools=tools,
            stream=stream,
            nonce=find_nonce(text),
            digest=digest,
            attempt=self._script.attempt(digest),
            received=now(),
        )


def _chunks(reply: Reply, usage: UsageMetadata, model: str) -> Iterator[ChatGenerationChunk]:
    for number, content in enumerate(_contents(reply)):
        time.sleep(reply.gap(number))
        yield ChatGenerationChunk(message=content)
    last = AIMessageChunk(
        content="",
        usage_metadata=usage,
        response_metadata={"finish_reason": reply.finish_reason, "model_name": model},
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last)


def _contents(reply: Reply) -> Iterator[AIMessageChunk]:
    """Yield the content in pieces: reasoning, then text, then the tool calls with their arguments cut."""
    if reply.reasoning:
        yield AIMessageChunk(content=[{"type": "reasoning", "reasoning": reply.reasoning, "index": 0}])
    for piece in reply.pieces():
        # With reasoning the content is a list of blocks; chunks of different shapes would not merge.
        block: str | list[str | dict[str, Any]] = (
            [{"type": "text", "text": piece, "index": 1}] if reply.reasoning else piece
        )
        yield AIMessageChunk(content=block)
    for index, wanted in enumerate(reply.tool_calls):
        call_id = wanted.id or f"call_{uuid.uuid4().hex[:24]}"
        head = tool_call_chunk(name=wanted.name, args="", id=call_id, index=index)
        yield AIMessageChunk(content="", tool_call_chunks=[head])
        args = json.dumps(wanted.args)
        for start in range(0, len(args), ARGUMENT_PIECE):
            piece = args[start : start + ARGUMENT_PIECE]
            yield AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=piece, index=index)])


def _usage(reply: Reply, request: Request) -> UsageMetadata:
    """Return the scripted usage; where none is scripted, words are counted as tokens."""
    given = reply.usage
    if given is None:
        asked = sum(len(str(message.get("content") or "").split()) for message in request.messages)
        said = len(reply.pieces()) + sum(len(json.dumps(call.args).split()) for call in reply.tool_calls)
        return UsageMetadata(input_tokens=asked, output_tokens=said, total_tokens=asked + said)
    return UsageMetadata(
        input_tokens=given.input,
        output_tokens=given.output,
        total_tokens=given.input + given.output,
        input_token_details={"cache_read": given.cached},
        output_token_details={"reasoning": given.reasoning},
    )
