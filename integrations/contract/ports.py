"""What a provider is given, and the one thing that it gives back which lives on: no network and no model in sight."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import requests

from integrations.records.events import StreamPage


class Api(Protocol):
    """What a provider may ask of the transport. `path` is joined to the provider's base URL; an absolute URL of an allowed
    host is taken as it is. Answers are 2xx (or listed in `accept`); everything else is raised as an error.

    `repeatable` says that sending the request twice does no harm: only then may the transport try again by itself. It is true
    for GET unless said otherwise. A request that is not repeatable and got no answer raises `OutcomeUnknown`.

    `data` is a body that is not JSON; an iterable of bytes is sent as it comes, and never repeated by itself. With `stream`
    the body of a good answer has not been read yet: the caller reads it in pieces and closes the response. Cookies are kept
    between requests.
    """

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        accept: Sequence[int] = (),
        read_timeout: float | None = None,
        stream: bool = False,
    ) -> requests.Response: ...


class TokenCall(Protocol):
    """Sends one form-encoded request to a token endpoint: allowed hosts only, time-outs, no retry, any status returned.

    Raises `Retry` when no answer came.
    """

    def __call__(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None, method: str = "POST"
    ) -> requests.Response: ...


class ChangeStream(Protocol):
    """A subscription to one connection's changes. `pages` blocks and is iterated in one thread; `close` may come from another."""

    def pages(self) -> Iterator[StreamPage]:
        """Pages in the order of the CRM, until `close`. The next one is asked for once the caller has stored the last.

        Raises the errors of `Api.request`; FixConfig for a right or a switch that somebody has to change in the CRM. It
        reconnects and subscribes again by itself where the service asks for it.
        """

    def close(self) -> None:
        """Ends `pages` within a second or two, telling the CRM where that is possible. May be called twice."""
