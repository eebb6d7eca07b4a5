"""Reads the pages of a feed for one slice and maps their records, where it pays while the page before is stored.

Reading waits for the CRM, storing for the database. A page moves nothing before it is stored: what was read ahead when a slice is
broken off is read again by the next.
"""

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import chain

from django.db import connection as database

from integrations.records.remote import ChangePage
from integrations.transport.client import CrmApi
from mapping.compiled import CompiledMapping
from sync.ahead import ahead
from sync.joining import joined
from sync.page import Work, works_of


@dataclass(frozen=True, slots=True)
class Read:
    page: ChangePage
    works: Sequence[Work]
    calls: int
    """Requests that were made by then."""


class Reading:
    """`seconds` is how long new pages are begun. At least one is read."""

    def __init__(
        self, pages: Iterable[ChangePage], api: CrmApi, mapping: CompiledMapping, seconds: float | None = None
    ) -> None:
        self.finished = True
        """False: time was up before the feed's end."""
        self._pages = joined(pages)
        self._api, self._mapping = api, mapping
        self._until = None if seconds is None else time.monotonic() + seconds

    def pages(self) -> AbstractContextManager[Generator[Read, None, None]]:
        """To be closed by whoever breaks off."""
        first = next(self._pages, None)
        read = self._read(chain([first], self._pages) if first else ())
        return closing(ahead(read, _is_not_last) if first and self._pays(first) else read)

    def _pays(self, first: ChangePage) -> bool:
        """Most slices are one page. Inside of a transaction another connection would not see what it wrote."""
        return not (first.last or self._time_is_up() or database.in_atomic_block)

    def _read(self, pages: Iterable[ChangePage]) -> Generator[Read, None, None]:
        with self._mapping.session() as session:
            for page in pages:
                yield Read(page, works_of(session, page.records), self._api.calls)
                if not page.last and self._time_is_up():
                    self.finished = False
                    return

    def _time_is_up(self) -> bool:
        return self._until is not None and time.monotonic() > self._until


def _is_not_last(read: Read) -> bool:
    """After a feed's last page the provider may clear away what the page was read from."""
    return not read.page.last
