"""tiktoken works without a download, and is as it was afterwards."""

import tiktoken

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
