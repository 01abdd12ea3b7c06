"""Chat completions as OpenAI made them and many others speak them, streamed and whole.

Source: the API reference of `POST /v1/chat/completions` and the types of the `openai` package.
"""

import itertools
import secrets
from typing import Any, ClassVar, Literal, NamedTuple, TypeGuard

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.steps import What
from langchain_prodtest.wire.codec import Event, Rejected, cut_arguments
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["FINGERPRINT", "Completions", "is_objects", "read_chat", "token_logprobs"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_MOST_CHOICES = 128
FINGERPRINT = {"system_fingerprint": "fp_prodtest"}


class Completions:
    """Renders a Reply as a chat completion. What is told below is what a dialect may do differently.

    `about` are fields of every body and chunk. With `refusals`, a message has the fields `refusal` and
    `annotations`. With `whole_calls`, a tool call is streamed in one piece. `usage_in` says where a stream
    tells the usage: in a chunk of its own, if that is `asked` for or `always`, or with the `finish` reason.
    """

    about: ClassVar[_Fields] = {"service_tier": "default", **FINGERPRINT}
    refusals: bool = True
    whole_calls: bool = False
    usage_in: Literal["asked", "always", "finish"] = "asked"

    def __init__(self) -> None:
        self._run = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    # -- what a dialect may tell differently ---------------------------------------------------------------

    def usage(self, usage: Usage) -> _Fields:
        """Return the token counts."""
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def thought(self, reasoning: str) -> _Fields:
        """Return the fields of a message or delta that tell reasoning; none here: OpenAI keeps it."""
        return {}

    def with_finish(self, usage: _Fields) -> _Fields:
        """Return the fields that stand beside the choices in the chunk with the finish reason."""
        return {"usage": usage} if self.usage_in == "finish" else {}

    def with_choice(self, reply: Reply) -> _Fields:
        """Return more fields of each choice."""
        return {}

    def envelope(self, kind: str, request: Request) -> _Fields:
        """Return the fields of a whole answer, or of every chunk, that are not choices and usage."""
        return {
            "id": f"chatcmpl-{self.new_id()}",
            "object": kind,
            "created": int(request.received),
            "model": request.model,
            **self.about,
        }

    # -- the stream ----------------------------------------------------------------------------------------

    def chat_events(self, reply: Reply, request: Request) -> list[Event]:
        """Return role chunk, pieces of reasoning, text and tool calls, finish chunk, usage, `[DONE]`.

        The choices of one piece share a chunk.
        """
        own = self.usage_in == "always" or (self.usage_in == "asked" and _asks_usage(request))
        usage = self.usage(_usage(reply, request)) if own or self.usage_in == "finish" else {}
        start = b"data: %b," % _encode(self.envelope("chat.completion.chunk", request))[:-1]
        end = b',"usage":null}\n\n' if own else b"}\n\n"
        chunks = _Chunks(start, end, _members(self.with_choice(reply)), _choices(request))
        refused = self.refusals and reply.finish == "refusal"
        thoughts = [self.thought(piece) for piece in Reply(reply.reasoning).pieces()]
        pieces = [chunks.same(_encode(thought)) for thought in thoughts if thought]
        if refused:
            pieces += chunks.texts(b"refusal", reply.pieces())
        else:
            pieces += chunks.texts(b"content", reply.pieces(), probable=_wants_logprobs(request))
        pieces += [chunks.each(deltas) for deltas in self._call_deltas(reply, chunks.choices)]
        beside = _members(self.with_finish(usage))
        events = [Event(chunks.same(_encode(self._opening(reply))), "open")]
        events += [Event(piece, "piece") for piece in pieces]
        events.append(_finished(chunks, _encode(_finish(reply)), beside and beside + b"}\n\n"))
        if own:
            events.append(
                Event(b'%b"choices":[],"usage":%b}\n\n' % (start, _encode(usage)), "end", {"usage": b""})
            )
        events.append(Event(b"data: [DONE]\n\n", "end", {"terminal": b""}))
        return events

    def _opening(self, reply: Reply) -> _Fields:
        silent = reply.tool_calls and not reply.text
        return {
            "role": "assistant",
            "content": None if silent else "",
            **({"refusal": None} if self.refusals else {}),
        }

    def _call_deltas(self, reply: Reply, choices: int) -> list[list[bytes]]:
        """Return for each piece of the tool calls the delta of every choice."""
        columns = [
            [delta for index, call in enumerate(reply.tool_calls) for delta in self._deltas(index, call)]
            for _ in range(choices)
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def _deltas(self, index: int, call: ToolCall) -> list[bytes]:
        arguments = _encode(call.args).decode()
        if self.whole_calls:
            return [_encode({"tool_calls": [{"index": index, **self.tool_call(call, arguments)}]})]
        first = {"index": index, **self.tool_call(call, arguments="")}
        rest = [{"index": index, "function": {"arguments": piece}} for piece in cut_arguments(arguments)]
        return [_encode({"tool_calls": [delta]}) for delta in [first, *rest]]

    # -- the whole -----------------------------------------------------------------------------------------

    def chat_whole(self, reply: Reply, request: Request) -> bytes:
        """Return a `chat.completion` object."""
        probable = _wants_logprobs(request) and reply.finish != "refusal"
        choices = [
            {
                "index": index,
                "message": self._message(reply),
                "logprobs": {"content": token_logprobs(reply.pieces())} if probable else None,
                "finish_reason": _finish(reply),
                **self.with_choice(reply),
            }
            for index in range(_choices(request))
        ]
        usage = self.usage(_usage(reply, request))
        return _encode({**self.envelope("chat.completion", request), "choices": choices, "usage": usage})

    def _message(self, reply: Reply) -> _Fields:
        refused = self.refusals and reply.finish == "refusal"
        silent = refused or (reply.tool_calls and not reply.text)
        message: _Fields = {"role": "assistant", "content": None if silent else reply.text}
        if self.refusals:
            message |= {"refusal": reply.text if refused else None, "annotations": []}
        if reply.reasoning:
            message |= self.thought(reply.reasoning)
        if reply.tool_calls:
            message["tool_calls"] = [
                self.tool_call(call, arguments=_encode(call.args).decode()) for call in reply.tool_calls
            ]
        return message

    # -- parts of both -------------------------------------------------------------------------------------

    def tool_call(self, call: ToolCall, arguments: str) -> _Fields:
        """Return a tool call with `arguments`, and an id of its own unless the Reply gives one."""
        return {
            "id": call.id or f"call_{self.new_id()}",
            "type": "function",
            "function": {"name": call.name, "arguments": arguments},
        }

    def new_id(self) -> str:
        """Return an id that no other answer has."""
        return f"{self._run}{next(self._numbers):012x}"


class _Chunks(NamedTuple):
    """Makes the chunks of one stream: what stands before and after the choices, and at each one's end."""

    start: bytes
    end: bytes
    extra: bytes
    choices: int

    def each(
        self,
        deltas: list[bytes],
        finish: bytes = b"null",
        logprobs: bytes = b"null",
        end: bytes = b"",
    ) -> bytes:
        """Return a chunk with a delta for each choice."""
        choices = [
            b'{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b}'
            % (index, delta, logprobs, finish, self.extra)
            for index, delta in enumerate(deltas)
        ]
        return b'%b"choices":[%b]%b' % (self.start, b",".join(choices), end or self.end)

    def same(
        self, delta: bytes, finish: bytes = b"null", logprobs: bytes = b"null", end: bytes = b""
    ) -> bytes:
        """Return a chunk with the same delta for all choices."""
        return self.each([delta] * self.choices, finish, logprobs, end)

    def texts(self, field: bytes, pieces: list[str], *, probable: bool = False) -> list[bytes]:
        """Return a chunk for each piece of text; with log probabilities if they are `probable`."""
        if self.choices == 1 and not probable:  # nearly always: what `same` would make, but fast
            before = b'%b"choices":[{"index":0,"delta":{"%b":' % (self.start, field)
            after = b'},"logprobs":null,"finish_reason":null%b}]%b' % (self.extra, self.end)
            return [before + _encode(piece) + after for piece in pieces]
        return [
            self.same(
                b'{"%b":%b}' % (field, _encode(piece)),
                logprobs=_encode({"content": token_logprobs([piece])}) if probable else b"null",
            )
            for piece in pieces
        ]


def read_chat(fields: _Fields) -> list[_Fields]:
    """Return the messages of a request body; Rejected (400) says what is wrong with it."""
    messages = fields.get("messages")
    if messages is None:
        raise Rejected(400, "Missing required parameter: 'messages'.")
    if not is_objects(messages):
        raise Rejected(400, "Invalid type for 'messages': expected an array of objects.")
    if not messages:
        raise Rejected(400, "Invalid 'messages': empty array. Expected an array with minimum length 1.")
    for place, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise Rejected(400, f"Missing required parameter: 'messages[{place}].role'.")
    if not isinstance(fields.get("stream_options"), dict | None):
        raise Rejected(400, "Invalid type for 'stream_options': expected an object.")
    count = fields.get("n")
    if count is not None and (type(count) is not int or not 1 <= count <= _MOST_CHOICES):
        raise Rejected(400, f"Invalid value for 'n': expected an integer from 1 to {_MOST_CHOICES}.")
    return messages


def is_objects(value: object) -> TypeGuard[list[_Fields]]:
    """Tell whether `value` is an array of JSON objects."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def token_logprobs(pieces: list[str]) -> list[_Fields]:
    """Return a token for each streamed piece, as likely as its only alternative: itself."""
    tokens = [{"token": piece, "logprob": -0.1, "bytes": list(piece.encode())} for piece in pieces]
    return [{**token, "top_logprobs": [token]} for token in tokens]


def _finished(chunks: _Chunks, finish: bytes, with_usage: bytes) -> Event:
    """Return the chunk with the finish reason, which may tell the usage too."""
    if not with_usage:
        return Event(chunks.same(b"{}", finish), "end", {"finish": b""})
    less: dict[What, bytes] = {
        "finish": chunks.same(b"{}", end=with_usage),
        "usage": chunks.same(b"{}", finish),
    }
    return Event(chunks.same(b"{}", finish, end=with_usage), "end", less)


def _choices(request: Request) -> int:
    return request.body.get("n") or 1


def _asks_usage(request: Request) -> bool:
    return bool((request.body.get("stream_options") or {}).get("include_usage"))


def _wants_logprobs(request: Request) -> bool:
    return bool(request.body.get("logprobs"))


def _finish(reply: Reply) -> str:
    return "stop" if reply.finish == "refusal" else reply.finish_reason


def _usage(reply: Reply, request: Request) -> Usage:
    """Return the usage of all choices together."""
    usage, count = count_usage(reply, request), _choices(request)
    if reply.usage is not None or count == 1:
        return usage
    return Usage(input=usage.input, output=usage.output * count, reasoning=usage.reasoning * count)


def _members(fields: _Fields) -> bytes:
    """Return fields as they follow others inside a JSON object."""
    return b",%b" % _encode(fields)[1:-1] if fields else b""
