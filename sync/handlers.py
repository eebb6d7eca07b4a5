"""Who does which kind of job. Apps above register theirs when they are ready, so that the queue knows none of them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from integrations.providers.base import CrmProvider
from sync.models import SyncRecord
from sync.queue import Claim, Outcome


class Handler(Protocol):
    def batch_size(self, provider: type[CrmProvider]) -> int:
        """How many jobs of this kind one go takes."""

    def work(self, provider: CrmProvider, claimed: Claim) -> "Result":
        """Does the jobs. An error that concerns all of them is raised; one that concerns a job stands in its outcome."""


class Result:
    """The outcomes of a claim, the links to keep with them, and what else belongs into the same transaction."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        links: Sequence[SyncRecord] = (),
        after: Callable[[], None] | None = None,
    ) -> None:
        self.outcomes = outcomes
        self.links = links
        self.after = after


_HANDLERS: dict[str, Handler] = {}


LASTING: set[str] = set()
"""Kinds whose jobs tell what became of something that is kept, such as a call: they are never forgotten."""


HURRIED: set[str] = set()
"""Kinds that wait for no turn in a worker: one that finds a limit used up goes back at once, so that nothing else is held up."""


def register(kind: str, handler: Handler, *, lasting: bool = False, hurried: bool = False) -> None:
    _HANDLERS[kind] = handler
    if lasting:
        LASTING.add(kind)
    if hurried:
        HURRIED.add(kind)


def kinds() -> list[str]:
    """Every kind of job that somebody does."""
    return list(_HANDLERS)


def handler_of(kind: str) -> Handler:
    return _HANDLERS[kind]
