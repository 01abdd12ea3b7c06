"""The HTTP API, written from the protocol's specification; each claim holds for both servers."""

import http.client
import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from langchain_prodtest.toxiproxy.client import Proxy

UPSTREAM = "127.0.0.1:9"
BAD_STREAM = "stream was invalid, can be either upstream or downstream"
PLAIN = "text/plain; charset=utf-8"


@pytest.fixture
def call(toxi: Any) -> Any:
    """Send a request as it is; returns status, headers and body."""

    def send(method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(toxi.url).netloc, timeout=10)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    return send


@pytest.fixture
def proxy(toxi: Any) -> Any:
    return toxi.create(UPSTREAM, "p")


def test_version_is_json_that_clients_parse(call: Any) -> None:
    status, headers, body = call("GET", "/version")
    # A real server that was built without its build script says "git".
    assert status == 200
    assert re.fullmatch(rb'\{"version": "(2\.1[23]\.0|git)"\}\n', body)
    assert headers["Content-Type"] == "application/json;charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/proxies/", "/proxies/p/", "/proxies/p/toxics/t/x", "/metrics"]
)
def test_unknown_path_is_404_without_request_id(call: Any, path: str) -> None:
    status, headers, body = call("GET", path)
    assert (status, body) == (404, b"404 page not found\n")
    assert headers["Content-Type"] == PLAIN
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Toxiproxy-Request-Id" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/version"),
        ("OPTIONS", "/proxies"),
        ("PUT", "/proxies/p"),
        ("GET", "/reset"),
        ("DELETE", "/proxies"),
    ],
)
def test_known_path_with_wrong_method_is_405_without_body(call: Any, method: str, path: str) -> None:
    status, headers, body = call(method, path)
    assert (status, body) == (405, b"")
    assert "Allow" not in headers
    assert "X-Toxiproxy-Request-Id" not in headers


@pytest.mark.parametrize("path", ["//proxies", "/x/../proxies", "/./proxies", "/proxies/p/.."])
def test_path_that_is_not_clean_is_redirected(call: Any, path: str) -> None:
    status, headers, body = call("GET", path)
    assert (status, headers["Location"], body) == (301, "/proxies", b"")


def test_head_of_an_unknown_path_has_no_body(toxi: Any) -> None:
    with socket.create_connection(urlsplit(toxi.url).netloc.split(":"), timeout=10) as sock:
        sock.sendall(b"HEAD /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"\r\n\r\n")


def test_request_id_on_every_routed_answer(call: Any) -> None:
    for path, agent in (("/version", "x"), ("/proxies/none", "x"), ("/version", "Mozilla/5.0")):
        _, headers, _ = call("GET", path, headers={"User-Agent": agent})
        assert re.fullmatch("[0-9a-v]{20}", headers["X-Toxiproxy-Request-Id"])


def test_browsers_are_refused_on_known_paths_only(call: Any) -> None:
    status, headers, body = call("GET", "/version", headers={"User-Agent": "Mozilla/5.0"})
    assert (status, body, headers["Content-Type"]) == (403, b"User agent not allowed\n", PLAIN)
    assert call("GET", "/version", headers={"User-Agent": "mozilla/5.0"})[0] == 200
    assert call("GET", "/nothing", headers={"User-Agent": "Mozilla/5.0"})[0] == 404


def test_error_body_and_its_plain_content_type(call: Any) -> None:
    status, headers, body = call("GET", "/proxies/none")
    assert (status, body) == (404, b'{"error":"proxy not found","status":404}\n')
    assert headers["Content-Type"] == PLAIN
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_create_is_201_with_defaults_and_the_bound_address(call: Any) -> None:
    status, headers, body = call(
        "POST", "/proxies", {"name": "p", "upstream": UPSTREAM, "listen": "localhost:0"}
    )
    shown = json.loads(body)
    assert (status, headers["Content-Type"]) == (201, "application/json")
    assert not body.endswith(b"\n")
    shown.pop("Logger", None)
    assert list(shown) == ["name", "listen", "upstream", "enabled", "toxics"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", shown.pop("listen"))
    assert shown == {"name": "p", "upstream": UPSTREAM, "enabled": True, "toxics": []}


def test_ipv6_listener_is_shown_in_brackets(toxi: Any) -> None:
    assert re.fullmatch(r"\[::1\]:\d+", toxi.create(UPSTREAM, "six", listen="[::1]:0").listen)


def test_disabled_proxy_is_stored_unresolved(call: Any) -> None:
    body = {"name": "p", "upstream": UPSTREAM, "listen": "", "enabled": False}
    status, _, shown = call("POST", "/proxies", body)
    assert (status, json.loads(shown)["listen"], json.loads(shown)["enabled"]) == (201, "", False)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"upstream": UPSTREAM}, 400, "missing required field: name"),
        ({}, 400, "missing required field: name"),
        (None, 400, "bad request body: EOF"),
        ({"name": "", "upstream": UPSTREAM}, 400, "missing required field: name"),
        ({"name": "x"}, 400, "missing required field: upstream"),
        ({"name": "x", "upstream": UPSTREAM, "listen": "127.0.0.1"}, 500,
         "listen tcp: address 127.0.0.1: missing port in address"),
        ({"name": "x", "upstream": UPSTREAM, "listen": "127.0.0.1:99999"}, 500,
         "listen tcp: address 99999: invalid port"),
        ({"name": "x", "upstream": UPSTREAM, "listen": "127.0.0.1:nosuch"}, 500,
         "listen tcp: lookup tcp/nosuch: unknown port"),
    ],
)  # fmt: skip
def test_create_refuses(call: Any, kind: str, body: Any, status: int, error: Any) -> None:
    """Every refusal is a 4xx by default; what is no address is 500 from the original."""
    status = 400 if kind == "embedded" else status
    got, _, content = call("POST", "/proxies", body)
    assert (got, json.loads(content)) == (status, {"error": error, "status": status})
    assert call("GET", "/proxies")[2] == b"{}"


@pytest.mark.parametrize(
    "body",
    [b"{bad", b'{"name"', b"[1]", b'"text"', b'{"name": 1, "upstream": "a:1"}', b'{"name": NaN}',
     b'{"name": "a", "enabled": "yes"}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_undecodable_body_is_400(call: Any, body: Any) -> None:
    status, _, content = call("POST", "/proxies", body)
    assert status == 400
    assert json.loads(content)["error"].startswith("bad request body: ")


def test_null_is_an_absent_field_and_keys_match_in_any_case(call: Any) -> None:
    status, _, body = call(
        "POST", "/proxies", {"NAME": "p", "Upstream": UPSTREAM, "listen": "127.0.0.1:0", "enabled": None}
    )
    assert (status, json.loads(body)["enabled"]) == (201, True)


def test_what_follows_the_first_json_value_is_ignored(call: Any) -> None:
    body = json.dumps({"name": "p", "upstream": UPSTREAM, "listen": "127.0.0.1:0"}).encode() + b" trailing {"
    assert call("POST", "/proxies", body)[0] == 201


def test_name_in_use_is_409_before_anything_is_bound(call: Any, proxy: Proxy) -> None:
    status, _, body = call("POST", "/proxies", {"name": "p", "upstream": UPSTREAM, "listen": "nonsense"})
    assert (status, json.loads(body)["error"]) == (409, "proxy already exists")


def test_port_in_use_is_500_and_stores_nothing(call: Any, proxy: Proxy) -> None:
    status, _, body = call("POST", "/proxies", {"name": "q", "upstream": UPSTREAM, "listen": proxy.listen})
    error = json.loads(body)["error"]
    assert (status, error) == (500, f"listen tcp {proxy.listen}: bind: address already in use")
    assert call("GET", "/proxies/q")[0] == 404


def test_names_are_percent_decoded_and_html_is_escaped(call: Any) -> None:
    call("POST", "/proxies", {"name": "b é<>&", "upstream": UPSTREAM, "listen": "127.0.0.1:0"})
    status, _, body = call("GET", "/proxies/b%20%C3%A9%3C%3E%26")
    assert (status, json.loads(body)["name"]) == (200, "b é<>&")
    assert b"\\u003c\\u003e\\u0026" in body
    assert "é".encode() in body


def test_list_is_sorted_by_name(toxi: Any, call: Any) -> None:
    for name in ("b", "a", "B"):
        toxi.create(UPSTREAM, name)
    assert list(json.loads(call("GET", "/proxies")[2])) == ["B", "a", "b"]


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_update_keeps_what_it_does_not_name(call: Any, proxy: Proxy, method: str) -> None:
    status, _, body = call(method, "/proxies/p", {"enabled": False, "name": "renamed"})
    shown = json.loads(body)
    assert (status, shown["name"], shown["listen"], shown["enabled"]) == (200, "p", proxy.listen, False)


def test_empty_update_changes_nothing(call: Any, proxy: Proxy) -> None:
    before = call("GET", "/proxies/p")[2]
    assert call("PATCH", "/proxies/p", {})[2] == before
    assert call("PATCH", "/proxies/p", b"null")[2] == before
    assert call("PATCH", "/proxies/p")[0] == 400


def test_update_of_an_unknown_proxy_is_404_before_its_body_is_read(call: Any) -> None:
    assert call("PATCH", "/proxies/none", b"{bad")[0] == 404


def test_update_with_a_bad_listen_changes_nothing(call: Any, kind: str, proxy: Proxy) -> None:
    refusal = 400 if kind == "embedded" else 500
    before = call("GET", "/proxies/p")[2]
    status, _, body = call("PATCH", "/proxies/p", {"listen": "127.0.0.1:77777"})
    assert (status, json.loads(body)["error"]) == (refusal, "address 77777: invalid port")
    assert call("GET", "/proxies/p")[2] == before


@pytest.mark.parametrize("change", [{}, {"upstream": "127.0.0.1:10"}])
def test_update_to_a_port_in_use_changes_nothing_or_leaves_the_proxy_disabled_there(
    toxi: Any, call: Any, kind: str, proxy: Proxy, change: Any
) -> None:
    """By default nothing changes; the original stops the proxy first."""
    other = toxi.create(UPSTREAM, "other")
    before = json.loads(call("GET", "/proxies/p")[2])
    status, _, _ = call("PATCH", "/proxies/p", {"listen": other.listen, **change})
    shown = json.loads(call("GET", "/proxies/p")[2])
    moved = {**before, "enabled": False, "listen": other.listen, **change}
    assert (status, shown) == (500, before if kind == "embedded" else moved)
    other.destroy()
    assert call("PATCH", "/proxies/p", {"enabled": True})[0] == 200


def test_populate_to_a_port_in_use_keeps_the_old_proxy(toxi: Any, call: Any, kind: str, proxy: Proxy) -> None:
    """By default it goes on; the original disables it."""
    other = toxi.create(UPSTREAM, "other")
    status, _, _ = call("POST", "/populate", [{"name": "p", "upstream": UPSTREAM, "listen": other.listen}])
    shown = json.loads(call("GET", "/proxies/p")[2])
    assert (status, shown["enabled"], shown["listen"]) == (500, kind == "embedded", proxy.listen)


def test_port_zero_moves_to_a_new_port_and_a_host_name_of_the_same_address_does_not(
    call: Any, proxy: Proxy
) -> None:
    port = proxy.listen.rsplit(":", 1)[1]
    assert (
        json.loads(call("PATCH", "/proxies/p", {"listen": f"localhost:{port}"})[2])["listen"] == proxy.listen
    )
    assert json.loads(call("PATCH", "/proxies/p", {"listen": "127.0.0.1:0"})[2])["listen"] != proxy.listen


def test_listen_and_toxics_survive_disable_and_enable(toxi: Any, proxy: Proxy) -> None:
    proxy.add_toxic(type="latency", attributes={"latency": 1})
    listen = proxy.listen
    proxy.disable()
    proxy.enable()
    assert proxy.listen == listen
    assert list(proxy.toxics()) == ["latency_downstream"]


def test_delete_is_204_without_content(call: Any, proxy: Proxy) -> None:
    status, headers, body = call("DELETE", "/proxies/p")
    assert (status, body, headers["Content-Type"]) == (204, b"", None)
    assert call("DELETE", "/proxies/p")[0] == 404


def test_toxic_is_created_with_200_and_all_its_fields(call: Any, proxy: Proxy) -> None:
    status, _, body = call("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 5}})
    assert status == 200
    assert body == (
        b'{"attributes":{"latency":5,"jitter":0},"name":"latency_downstream","type":"latency",'
        b'"stream":"downstream","toxicity":1}'
    )


@pytest.mark.parametrize(
    ("toxic", "attributes"),
    [("latency", {"latency": 0, "jitter": 0}), ("timeout", {"timeout": 0}), ("reset_peer", {"timeout": 0}),
     ("limit_data", {"bytes": 0}), ("noop", {}), ("bandwidth", {"rate": 0}), ("slow_close", {"delay": 0})],
)  # fmt: skip
def test_each_type_shows_all_its_attributes(proxy: Proxy, toxic: str, attributes: dict[str, int]) -> None:
    assert proxy.add_toxic(type=toxic).attributes == attributes


def test_stream_is_echoed_as_spelled(proxy: Proxy) -> None:
    toxic = proxy.add_toxic(type="latency", stream="UpStream")
    assert (toxic.stream, toxic.name) == ("UpStream", "latency_UpStream")


def test_toxicity_has_single_precision(proxy: Proxy) -> None:
    assert proxy.add_toxic(type="noop", toxicity=0.333333333333).toxicity == 0.33333334
    assert proxy.add_toxic(type="noop", name="small", toxicity=1e-7).toxicity == 1e-7


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"type": "latency", "stream": "sideways"}, 400, BAD_STREAM),
        ({"type": "wrong", "stream": ""}, 400, BAD_STREAM),
        ({"type": "wrong"}, 400, "invalid toxic type"),
        ({}, 400, "invalid toxic type"),
        (None, 400, "bad request body: EOF"),
        ({"type": "noop", "name": "taken", "stream": "upstream"}, 409, "toxic already exists"),
    ],
)  # fmt: skip
def test_toxic_is_refused(call: Any, proxy: Proxy, body: Any, status: int, error: Any) -> None:
    proxy.add_toxic(name="taken", type="noop")
    got, _, content = call("POST", "/proxies/p/toxics", body)
    assert (got, json.loads(content)) == (status, {"error": error, "status": status})
    assert list(proxy.toxics()) == ["taken"]


@pytest.mark.parametrize("value", [100.0, 100.5, "100", True, 2**63, [1]])
def test_attributes_are_integers_of_64_bits(call: Any, proxy: Proxy, value: Any) -> None:
    body = json.dumps({"type": "latency", "attributes": {"latency": value}}).encode()
    status, _, content = call("POST", "/proxies/p/toxics", body)
    assert status == 400
    assert json.loads(content)["error"].startswith("bad request body: ")


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_toxic_update_merges_attributes_and_ignores_the_rest(call: Any, proxy: Proxy, method: str) -> None:
    proxy.add_toxic(type="latency", attributes={"latency": 5, "jitter": 2})
    body = {"attributes": {"jitter": 3}, "toxicity": 0.5, "name": "x", "type": "noop", "stream": "upstream"}
    status, _, content = call(method, "/proxies/p/toxics/latency_downstream", body)
    assert status == 200
    assert json.loads(content) == {
        "attributes": {"latency": 5, "jitter": 3},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }


def test_unknown_toxic_is_404(call: Any, proxy: Proxy) -> None:
    for method, body in (("GET", None), ("PATCH", b"{bad"), ("DELETE", None)):
        status, _, content = call(method, "/proxies/p/toxics/none", body)
        assert (status, json.loads(content)["error"]) == (404, "toxic not found")


def test_toxics_are_listed_upstream_first(call: Any, proxy: Proxy) -> None:
    for name, stream in (("a", "downstream"), ("b", "upstream"), ("c", "upstream")):
        proxy.add_toxic(name=name, type="noop", stream=stream)
    assert [toxic["name"] for toxic in json.loads(call("GET", "/proxies/p/toxics")[2])] == ["b", "c", "a"]


def test_reset_enables_everything_and_removes_toxics(toxi: Any, call: Any, proxy: Proxy) -> None:
    proxy.add_toxic(type="noop")
    proxy.disable()
    status, _, body = call("POST", "/reset", b"ignored")
    again = toxi.get_proxy("p")
    assert (status, body) == (204, b"")
    assert (again.enabled, again.toxics()) == (True, {})


def test_populate_creates_and_leaves_equal_proxies_alone(call: Any, toxi: Any) -> None:
    wanted = [{"name": "a", "upstream": UPSTREAM, "listen": "127.0.0.1:0"}]
    status, _, body = call("POST", "/populate", wanted)
    shown = json.loads(body)["proxies"][0]
    toxi.get_proxy("a").add_toxic(type="noop")
    again = call("POST", "/populate", [{**wanted[0], "listen": shown["listen"], "enabled": False}])
    kept = json.loads(again[2])["proxies"][0]
    assert (status, again[0]) == (201, 201)
    assert (kept["listen"], kept["enabled"], len(kept["toxics"])) == (shown["listen"], True, 1)


def test_populate_replaces_a_proxy_whose_address_differs(call: Any, toxi: Any, proxy: Proxy) -> None:
    proxy.add_toxic(type="noop")
    body = [{"name": "p", "upstream": "127.0.0.1:10", "listen": proxy.listen}]
    shown = json.loads(call("POST", "/populate", body)[2])["proxies"][0]
    assert (shown["upstream"], shown["toxics"]) == ("127.0.0.1:10", [])


@pytest.mark.parametrize("body", [b"[]", b"null"])
def test_populate_with_nothing_answers_null(call: Any, body: Any) -> None:
    assert call("POST", "/populate", body)[::2] == (201, b'{"proxies":null}')


def test_populate_checks_the_whole_list_first(call: Any) -> None:
    status, headers, body = call("POST", "/populate", [{"name": "a", "upstream": UPSTREAM}, {"name": "b"}])
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert json.loads(body) == {
        "error": "missing required field: upstream at proxy 2",
        "status": 400,
        "proxies": None,
    }
    assert call("GET", "/proxies")[2] == b"{}"


def test_populate_stops_at_the_first_error_and_shows_what_was_done(call: Any, proxy: Proxy) -> None:
    body = [
        {"name": "a", "upstream": UPSTREAM, "listen": "127.0.0.1:0"},
        {"name": "b", "upstream": UPSTREAM, "listen": proxy.listen},
        {"name": "c", "upstream": UPSTREAM, "listen": "127.0.0.1:0"},
    ]
    status, _, content = call("POST", "/populate", body)
    shown = json.loads(content)
    assert (status, shown["status"], [each["name"] for each in shown["proxies"]]) == (500, 500, ["a"])
    assert sorted(json.loads(call("GET", "/proxies")[2])) == ["a", "p"]


def test_connection_is_kept_alive(toxi: Any) -> None:
    connection = http.client.HTTPConnection(urlsplit(toxi.url).netloc, timeout=10)
    connection.connect()
    with connection.sock as first:
        for _ in range(3):
            connection.request("GET", "/version")
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:11]) == (200, b'{"version":')
            assert connection.sock is first
