"""tiktoken and the Hugging Face hub's tokenizers work without a download, and are as they were afterwards."""

import huggingface_hub
import pytest
import tiktoken
import tokenizers
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from langchain_prodtest.isolation.tokenizer import offline_tokenizer


def test_every_encoding_counts_bytes() -> None:
    before = dict(tiktoken.registry.ENCODINGS)
    with offline_tokenizer():
        for name in tiktoken.list_encoding_names():
            encoding = tiktoken.get_encoding(name)
            assert encoding.encode("12Ä") == list("12Ä".encode())
            assert encoding.decode(encoding.encode("12Ä")) == "12Ä"
        assert len(tiktoken.encoding_for_model("gpt-4o").encode("seat")) == 4
    assert before == tiktoken.registry.ENCODINGS


def test_every_tokenizer_of_the_hub_counts_bytes() -> None:
    before = huggingface_hub.hf_hub_download
    with offline_tokenizer():
        tokenizer = tokenizers.Tokenizer.from_pretrained("nobody/no-such-model")
        encoded = tokenizer.encode("12Ä of it")
        assert len(encoded.ids) == len("12Ä of it".encode())
        assert tokenizer.decode(encoded.ids) == "12Ä of it"
    assert huggingface_hub.hf_hub_download is before


def test_what_else_is_asked_of_the_hub_is_an_error_that_says_offline() -> None:
    before = constants.HF_HUB_OFFLINE
    with offline_tokenizer(), pytest.raises(LocalEntryNotFoundError) as raised:
        huggingface_hub.hf_hub_download("nobody/no-such-model", "config.json")
    assert "offline mode is enabled" in str(raised.value.__cause__)
    assert before == constants.HF_HUB_OFFLINE
