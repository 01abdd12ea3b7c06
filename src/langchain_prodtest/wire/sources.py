"""What a search finds that nobody makes: two pages, the same for the same question, on names nobody owns."""

from typing import Any

from langchain_prodtest.script import Request, text_of

__all__ = ["sources"]

_COUNT = 2
_QUOTED = 60  # characters of the question in a title


def sources(request: Request) -> list[dict[str, Any]]:
    """Return the results of a search for the last message, fewer if `max_results` says so."""
    asked = text_of(request.messages[-1:]).strip()
    wanted = request.body.get("max_results")
    count = min(wanted, _COUNT) if isinstance(wanted, int) else _COUNT
    return [
        {
            "title": f"Page {number} on {asked[:_QUOTED]}",
            "url": f"https://source-{number}.example/{request.digest[:12]}",
            "date": "2026-01-01",
            "last_updated": "2026-01-02",
            "snippet": f"Nobody wrote this page on {asked[:_QUOTED]}.",
            "source": "web",
        }
        for number in range(1, count + 1)
    ]
