"""What the work at hand belongs to, for the log: request, connection, jobs and the rows they are about.

Whoever begins something says so with `about`; every line that is logged inside carries it, in a thread's or a task's own context.
The tenant needs no saying: it is that of the tenancy scope. This is read from the first line on, so it imports nothing of ours.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, object] = MappingProxyType({})
_facts: ContextVar[Mapping[str, object]] = ContextVar("trace", default=_NOTHING)
SOURCES: list[Callable[[], Mapping[str, object]]] = []
"""What else knows something of the work at hand; added when the apps are ready."""


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Adds facts to those of the surroundings, for what is done inside."""
    token = _facts.set({**_facts.get(), **facts})
    try:
        yield
    finally:
        _facts.reset(token)


def note(**facts: object) -> None:
    """Adds what was learned midway, for the rest of what the surrounding `about` is around."""
    _facts.set({**_facts.get(), **facts})


def facts() -> dict[str, object]:
    found: dict[str, object] = {}
    for source in SOURCES:
        found.update(source())
    return {**found, **_facts.get()}
