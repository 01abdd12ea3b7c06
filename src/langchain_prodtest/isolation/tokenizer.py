"""Tokenizers without a download: every encoding of tiktoken and of the Hugging Face hub counts bytes."""

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["offline_tokenizer"]


@contextmanager
def offline_tokenizer() -> Iterator[None]:
    """Let tiktoken and tokenizers, as far as they are imported, count bytes while the block runs.

    A token is then a byte of UTF-8: counts are larger than real ones, and the same on every machine.
    Whatever else is asked of the Hugging Face hub comes from its cache, or is its error for being offline.
    """
    with ExitStack() as stack:
        if "tiktoken" in sys.modules:
            stack.enter_context(_bytes_for_tiktoken(sys.modules["tiktoken"]))
        if "tokenizers" in sys.modules:
            stack.enter_context(_bytes_for_the_hub(sys.modules["tokenizers"]))
        constants: Any = sys.modules.get("huggingface_hub.constants")
        if constants is not None:  # it read HF_HUB_OFFLINE when it was imported
            stack.enter_context(mock.patch.object(constants, "HF_HUB_OFFLINE", True))
        yield


@contextmanager
def _bytes_for_tiktoken(tiktoken: Any) -> Iterator[None]:
    """Register a byte tokenizer under every name that tiktoken knows."""
    bytewise = tiktoken.Encoding(
        "bytes",
        pat_str=r"[\s\S]",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )
    encodings: dict[str, Any] = tiktoken.registry.ENCODINGS
    with mock.patch.dict(encodings, dict.fromkeys(tiktoken.list_encoding_names(), bytewise)):
        yield


@contextmanager
def _bytes_for_the_hub(tokenizers: Any) -> Iterator[None]:
    """Let `Tokenizer.from_pretrained`, which asks the hub for a file, get one that counts bytes."""
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:  # without it nothing is downloaded
        yield
        return
    download = hub.hf_hub_download
    with tempfile.TemporaryDirectory(prefix="prodtest-") as folder:
        path = Path(folder) / "tokenizer.json"

        def downloaded(repo_id: str, filename: str, *args: Any, **kwargs: Any) -> Any:
            if filename != path.name:
                return download(repo_id, filename, *args, **kwargs)
            if not path.exists():
                _byte_tokenizer(tokenizers).save(str(path))
            return str(path)

        with mock.patch.object(hub, "hf_hub_download", downloaded):
            yield


def _byte_tokenizer(tokenizers: Any) -> Any:
    level = tokenizers.pre_tokenizers.ByteLevel
    vocabulary = {character: number for number, character in enumerate(sorted(level.alphabet()))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    made.pre_tokenizer = level(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return made
