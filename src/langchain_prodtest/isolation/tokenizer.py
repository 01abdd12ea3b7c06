"""tiktoken without a download: every encoding counts bytes while a test runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["offline_tokenizer"]


@contextmanager
def offline_tokenizer() -> Iterator[None]:
    """Register a byte tokenizer under every name that tiktoken knows, if tiktoken is imported.

    A token is then a byte of UTF-8: counts are larger than real ones, and the same on every machine.
    """
    tiktoken: Any = sys.modules.get("tiktoken")
    if tiktoken is None:
        yield
        return
    bytewise = tiktoken.Encoding(
        "bytes",
        pat_str=r"[\s\S]",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )
    encodings: dict[str, Any] = tiktoken.registry.ENCODINGS
    before = dict(encodings)
    encodings.update(dict.fromkeys(tiktoken.list_encoding_names(), bytewise))
    try:
        yield
    finally:
        encodings.clear()
        encodings.update(before)
