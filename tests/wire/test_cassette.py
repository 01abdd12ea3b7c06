"""Cassette files: what is written is read again, by people too; what is wrong is named by its place."""

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.cassette import (
    Answered,
    Asked,
    Chunk,
    Recording,
    chunk,
    formatted,
    heard,
    read_cassette,
    save,
    schema,
)

RECORDINGS = [
    Recording(
        request=Asked(provider="openai", path="/v1/x?a=1", body={"a": [1, None, "é"]}),
        response=Answered(status=429, headers={"retry-after": "1"}, body=None, seconds=0.5),
    ),
    Recording(
        request=Asked(method="GET"),
        response=Answered(
            chunks=[chunk(0.1, b"text\n"), chunk(0.2, b"\xff")], ends="cut", framing="length", length=9
        ),
    ),
]


def read(folder: Path, text: str | bytes) -> list[Recording]:
    path = folder / "cassette.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cassette(path)


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    """Also compressed; what has its default is not in the file, and the schema accepts it."""
    path = tmp_path / "cassette.json"
    save(path, [formatted(one) for one in RECORDINGS])
    assert read_cassette(path) == RECORDINGS
    assert read(tmp_path, gzip.compress(path.read_bytes())) == RECORDINGS
    table = json.loads(gzip.decompress(path.read_bytes()))
    assert table["recordings"][1]["response"]["chunks"] == [
        {"at": 0.1, "text": "text\n"},
        {"at": 0.2, "base64": "/w=="},
    ]
    jsonschema.validate(table, schema())


def test_an_empty_cassette_is_one(tmp_path: Path) -> None:
    save(tmp_path / "cassette.json", [])
    assert read_cassette(tmp_path / "cassette.json") == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extra": 1}, 'unknown key "extra"'),
        ({"response": {"heders": {}}}, '[response]: unknown key "heders". Did you mean "headers"?'),
        ({"response": {"status": 99}}, "Expected `int` >= 200 - at `$.response.status`"),
        ({"response": {"body": 1, "chunks": [{"text": ""}]}}, "a response has either a body or chunks"),
        ({"response": {"chunks": [{"at": 1.0, "text": ""}, {"at": 0.5, "text": ""}]}}, "in order of `at`"),
        ({"response": {"chunks": [{"at": -1, "text": ""}]}}, "Expected `float` >= 0.0 - at `$.response.ch"),
        ({"response": {"chunks": [{"at": 0}]}}, "a chunk has either text or base64"),
        ({"response": {"chunks": [{"base64": "no"}]}}, "this chunk is no base64"),
        ({"response": {"chunks": [{"text": "\ud800"}]}}, "this chunk is no text"),
        ({"response": {"headers": {"a": "b\r\nc: d"}}}, "the header 'a' is not printable ASCII on one line"),
        ({"response": {"body": 1, "ends": "cut"}}, "cut or reset has chunks, not a body"),
        ({"response": {"length": 1}}, "length belongs to a response that is cut or reset"),
        ({"response": {"ends": "badly"}}, "Invalid enum value 'badly'"),
        ({"request": []}, "at `$.request`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """The file and the number of the recording go before; the schema refuses most of it too."""
    fine: dict[str, Any] = {"request": {}, "response": {}}
    with pytest.raises(UsageError) as caught:
        read(tmp_path, json.dumps({"recordings": [fine, {**fine, **change}]}))
    assert str(caught.value).startswith(f"{tmp_path}/cassette.json [recording 2]")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"recordings": [}', "line 1 column 17"),
        ('{"recordings": {}}', "Expected `array`, got `object` - at `$.recordings`"),
        ("{}", "missing required field `recordings`"),
        ('{"record": []}', 'unknown key "record". Did you mean "recordings"?'),
        (b"\x1f\x8bnot gzip", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_cassette_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(UsageError, match=r"cassette\.json") as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def test_a_file_that_is_missing_or_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.json cannot be read"):
        read_cassette(tmp_path / "missing.json")
    with pytest.raises(
        UsageError, match=r"cannot write the cassette .*c\.json: No such file or directory\. Name"
    ):
        save(tmp_path / "missing" / "c.json", [])


def test_a_provider_that_nobody_is_is_refused_where_the_providers_are_known(tmp_path: Path) -> None:
    save(tmp_path / "c.json", [formatted(one) for one in RECORDINGS])
    assert len(read_cassette(tmp_path / "c.json", ["openai"])) == 2
    with pytest.raises(
        UsageError, match=r'c\.json \[recording 1\]: unknown provider "openai"\. .*Valid: ollama'
    ):
        read_cassette(tmp_path / "c.json", ["ollama"])


def test_a_request_is_taken_down_without_its_credentials() -> None:
    """In its URL, its body, and what it sent as its key; headers are left out altogether."""
    key = "my-own-gateway-key-0123"
    headers = [(b"Authorization", f"Bearer {key}".encode())]
    body = json.dumps({"text": f"Use {key}."}).encode()
    asked, redaction = heard(Arrival("POST", f"/openai/v1/x?key={key}&a=b", headers, body, 0.0))
    assert asked == Asked(
        provider="openai", path="/v1/x?key=[redacted]&a=b", body={"text": "Use [redacted]."}
    )
    assert redaction.text(key) == "[redacted]"


def test_a_chunk_has_one_form() -> None:
    assert chunk(0.0, b"a").data == Chunk(base64="YQ==").data == b"a"
    with pytest.raises(ValueError, match="either text or base64"):
        Chunk(text="a", base64="YQ==")
