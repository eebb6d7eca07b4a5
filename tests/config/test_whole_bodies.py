"""A body without a length arrives whole, and one that is too large arrives as too large."""

import io
from collections.abc import Iterable
from typing import Any

import pytest

from config.whole_bodies import WholeBodies

MOST = 100
PIECES = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


def framework(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Reads as much as it is told of, as the framework does."""
    start("200 OK", [])
    return [environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]


def arrived(body: bytes, **environ: Any) -> bytes:
    asked = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/v1/calls/", "wsgi.input": io.BytesIO(body), **environ}
    return b"".join(WholeBodies(framework, MOST)(asked, lambda *_: None))


def test_what_comes_in_pieces_arrives_whole() -> None:
    assert arrived(b"a call", **PIECES) == b"a call"
    assert arrived(b"", **PIECES) == b""


def test_of_too_much_arrives_enough_to_be_refused() -> None:
    assert len(arrived(b"x" * 10_000, **PIECES)) == MOST + 1


@pytest.mark.parametrize(
    "environ",
    [{}, {**PIECES, "wsgi.input_terminated": False}, {**PIECES, "PATH_INFO": "/webhooks/hubspot/"}],
    ids=["no body", "the server knows no end", "a webhook reads by itself"],
)
def test_nothing_else_is_read(environ: dict[str, Any]) -> None:
    assert arrived(b"left alone", **environ) == b""


def test_a_length_that_is_told_is_believed() -> None:
    assert arrived(b"a call and more", CONTENT_LENGTH="6", **PIECES) == b"a call"
