"""Two retry layers: the SDK's own two retries are left on beneath the retry middleware.

`ChatOpenAI` retries twice unless told otherwise, so each attempt of the middleware is three requests, and a
provider that is down gets a multiple of its usual traffic: 3 x 2 requests, and one to the fallback.
"""

from typing import TYPE_CHECKING

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_prodtest.demo.agent import Parts, Patience, Provider


def _model(provider: "Provider", patience: "Patience") -> "BaseChatModel":
    from langchain_openai import ChatOpenAI

    from langchain_prodtest.demo.agent import MODEL

    return ChatOpenAI(
        model=MODEL,
        base_url=provider.base_url,
        api_key=provider.api_key,
        http_async_client=provider.http,
        timeout=patience.read,
        stream_chunk_timeout=patience.read,
        stream_usage=True,
    )


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, model=_model)


DEFECT = Defect(
    name="double_retry",
    says="the SDK's retries multiply with those of the retry middleware",
    caught_by=("retry.amplification",),
    experiment="provider-outage",
    may_also={
        "chat.success": "six requests and their waits leave less of the deadline for the fallback",
        "chat.ttft.p95": "the waits of two retry layers add up before the fallback is asked",
        "chat.e2e.p95": "the waits of two retry layers add up before the fallback is asked",
    },
    plant=_plant,
)
