"""What a person sets of the server is taken as meant, or refused in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gliomaseg.serving.settings import FROM_ENVIRONMENT, ServeSettings, read_token
from gliomaseg.workflows.system.files import InputError


@pytest.mark.parametrize(
    ("given", "meant"), [("", ""), ("/", ""), ("glioma", "/glioma"), ("/a/b/", "/a/b"), ("/v1.0", "/v1.0")]
)
def test_a_path_is_taken_with_or_without_its_slashes(given: str, meant: str) -> None:
    assert ServeSettings(root_path=given).root_path == meant


@pytest.mark.parametrize("path", ["https://seg.example.org/a", "/a b", "/a//b", "?x"])
def test_what_is_no_path_is_refused(path: str) -> None:
    words = f"--root-path is a path such as /glioma, got {path!r}; leave it out for none."
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        ServeSettings(root_path=path)


@pytest.mark.parametrize("token", ["", "short", "has a space in its middle", "zw\u00f6lf-und-mehr-zeichen"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    words = (
        f"A token is at least 16 ASCII characters without spaces, got one of {len(token)}; make one: "
        "openssl rand -hex 16"
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        ServeSettings(token=token)


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FROM_ENVIRONMENT, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(FROM_ENVIRONMENT, "from-the-environment")
    assert read_token(None) == "from-the-environment"
    file = tmp_path / "token"
    file.write_text("  from-the-file \nanother line\n", encoding="utf-8")
    assert read_token(file) == "from-the-file"
    file.write_text("", encoding="utf-8")
    assert read_token(file) == ""  # refused by the settings: whoever names a file wants a token
    with pytest.raises(
        InputError, match=r"^--token-file is a file with the token in its first line, but .*; write"
    ):
        read_token(tmp_path / "none")
