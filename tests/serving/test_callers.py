"""A page of another site cannot make the browser of a person change the studies."""

from __future__ import annotations

import socket

import pytest

from gliomaseg.serving.callers import refusal_of


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "192.168.1.5", socket.gethostname(), "mri:80"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_that_calls_the_server_by_its_own_names_is_answered(host: str, method: str) -> None:
    assert refusal_of(method, {"host": host}, "MRI") is None


@pytest.mark.parametrize("host", ["evil.example:8000", "", "localhost.evil.example", "[::1", "127.0.0.1.nip"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_is_not_ours_is_not_answered(host: str, method: str) -> None:
    words = refusal_of(method, {"host": host, "origin": f"http://{host}"}, "127.0.0.1")
    assert words is not None
    assert f"but {host!r} was called; use one of these, or have whoever runs it add a --name." in words


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:3000", "http://[", ""])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_another_page_changes_nothing(origin: str, method: str) -> None:
    words = refusal_of(method, {"host": "127.0.0.1:8000", "origin": origin}, "127.0.0.1")
    assert words is not None
    assert f"but a page of {origin} sent {method}; send it from a program" in words


def test_the_pages_of_the_server_itself_may_ask() -> None:
    headers = {"host": "localhost:8000", "origin": "http://localhost:8000"}
    assert refusal_of("POST", headers, "127.0.0.1") is None


def test_a_server_may_have_several_names() -> None:
    names = ("seg.example.org", "gliomaseg")
    for name in names:
        headers = {"host": "127.0.0.1:8000", "origin": f"https://{name}"}
        assert refusal_of("POST", headers, "127.0.0.1", names) is None
        assert refusal_of("GET", {"host": f"{name.upper()}:8000"}, "127.0.0.1", names) is None
    assert refusal_of("GET", {"host": "other"}, "127.0.0.1", names) is not None


def test_other_pages_may_read_as_far_as_the_browser_lets_them() -> None:
    assert refusal_of("GET", {"host": "127.0.0.1", "origin": "https://evil.example"}, "127.0.0.1") is None
