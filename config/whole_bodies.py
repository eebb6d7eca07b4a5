"""Bodies that come in pieces, without a length: read whole before the framework looks, which would take them for empty.

The server knows where such a body ends and says so. Webhooks are left alone: they read as much as they will take by themselves.
"""

import io
from collections.abc import Callable, Iterable
from typing import Any

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]

READ_BY_THEMSELVES = "/webhooks/"


class WholeBodies:
    def __init__(self, application: Application, most: int) -> None:
        """`most`: bytes that the framework takes. It is given one more of a larger body, so that it refuses it as too large."""
        self._application = application
        self._most = most

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if _is_endless(environ):
            body = environ["wsgi.input"].read(self._most + 1)
            environ = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return self._application(environ, start_response)


def _is_endless(environ: dict[str, Any]) -> bool:
    return (
        not environ.get("CONTENT_LENGTH")
        and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        and bool(environ.get("wsgi.input_terminated"))
        and not environ.get("PATH_INFO", "").startswith(READ_BY_THEMSELVES)
    )
