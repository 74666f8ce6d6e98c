from __future__ import annotations

import pytest

from openenv.client import EnvClient
from openenv.client.address import Address
from openenv.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given", "websocket", "http"),
    [
        ("ws://localhost:8004", "ws://localhost:8004/ws", "http://localhost:8004"),
        ("wss://example.org", "wss://example.org/ws", "https://example.org"),
        ("http://localhost:8004/", "ws://localhost:8004/ws", "http://localhost:8004"),
        ("https://example.org/", "wss://example.org/ws", "https://example.org"),
        ("HTTPS://Example.org", "wss://Example.org/ws", "https://Example.org"),
        ("localhost:8004", "ws://localhost:8004/ws", "http://localhost:8004"),
        ("127.0.0.1", "ws://127.0.0.1/ws", "http://127.0.0.1"),
        ("[::1]:8004", "ws://[::1]:8004/ws", "http://[::1]:8004"),
        ("ws://h/a/b//", "ws://h/a/b/ws", "http://h/a/b"),
        ("ws://h/a/ws", "ws://h/a/ws", "http://h/a"),
        ("ws://h/ws/", "ws://h/ws", "http://h"),
        ("ws://h/laws", "ws://h/laws/ws", "http://h/laws"),
        (" ws://h ", "ws://h/ws", "http://h"),
        ("ws://h?token=a%20b", "ws://h/ws?token=a+b", "http://h"),
    ],
)
def test_urls_that_are_understood(given: str, websocket: str, http: str) -> None:
    address = Address.parse(given)
    assert address.websocket_url() == websocket
    assert address.http_url == http
    assert EnvClient(given).base_url == http


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ws://h", "ws://h/ws?session_id=a%2Fb"),
        ("ws://h?token=x", "ws://h/ws?token=x&session_id=a%2Fb"),
        ("ws://h/ws?session_id=old&token=x", "ws://h/ws?token=x&session_id=a%2Fb"),
    ],
)
def test_a_session_id_joins_the_query_once(given: str, url: str) -> None:
    assert Address.parse(given).websocket_url("a/b") == url


def test_a_session_id_in_the_url_is_one_to_attach_to() -> None:
    assert EnvClient("ws://h/ws?session_id=s1").session_id == "s1"
    assert EnvClient("ws://h?session_id=s1", session_id="s2").session_id == "s2"
    assert EnvClient("ws://h").session_id is None


@pytest.mark.parametrize(
    "given",
    [
        "",
        "  ",
        "ftp://h",
        "ws://",
        "ws://:8000",
        "ws://h:port",
        "ws://h:99999",
        "ws://h/#top",
        "ws://a b",
        "ws://h\r\nX: y",
        8000,
    ],
)
def test_a_bad_url_is_refused_with_a_right_one(given: str) -> None:
    with pytest.raises(ConfigurationError, match="Bad server URL") as caught:
        EnvClient(given)
    assert caught.value.field == "base_url"
    assert "ws://localhost:8000" in (caught.value.hint or "")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(EnvClient("ws://me:secret@h"))
    with pytest.raises(ConfigurationError) as caught:
        EnvClient("ws://me:secret@h:port")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("env.localhost", True),
        ("127.3.2.1", True),
        ("[::1]", True),
        ("0.0.0.0", True),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    assert Address.parse(host).is_loopback is loopback


@pytest.mark.parametrize(
    "name",
    ["connect_timeout_s", "message_timeout_s", "max_message_size_mb", "websocket_ping_interval_s", "websocket_ping_timeout_s"],
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), "10", True])
def test_a_limit_that_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        EnvClient("ws://h", **{name: value})  # type: ignore[arg-type]
