"""OpenAI's moderations. Source: the API reference of `POST /v1/moderations` and the types of `openai`."""

from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.completions import is_objects

__all__ = ["moderations", "read_moderations"]

_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)


def read_moderations(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each text as a message, or one with all parts of a multi-modal input; Rejected (400)."""
    given = fields.get("input")
    if is_objects(given) and given:
        return [{"role": "user", "content": given}]
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Rejected(400, "Invalid type for 'input': expected text, or an array of texts or of objects.")
    return [{"role": "user", "content": text} for text in texts]


def moderations(reply: Reply, request: Request, identity: str) -> bytes:
    """Return the verdict on each input: harassment if the Reply finishes with `content_filter`, else none."""
    flagged = reply.finish == "content_filter"
    verdict = {
        "flagged": flagged,
        "categories": {name: flagged and name == "harassment" for name in _CATEGORIES},
        "category_scores": {name: 0.9 if flagged and name == "harassment" else 0.001 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    return msgspec.json.encode(
        {
            "id": identity,
            "model": request.model or "omni-moderation-latest",
            "results": [verdict] * len(request.messages),
        }
    )
