"""Work that comes in requests of their own and is done together: what a fixed number of statements does for one, it does for many.

What comes while others are being worked on waits for them, and then one of the waiting threads does all of it. While several come
at the same time, that thread gives those of the last round a moment to come back. Whoever comes alone waits for nobody.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Lock
from typing import Generic, TypeVar

A_MOMENT = 0.004
"""Seconds that somebody waits for others at most: a small part of what the work takes."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Slip(Generic[Item, Result]):
    """An item in line. Its thread sleeps until the item is done, or until it has to do those that wait."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done: list[Result] = []
        self.leads = False
        self._called = Lock()
        self._called.acquire()

    def sleep(self) -> None:
        self._called.acquire()

    def wake(self) -> None:
        self._called.release()


class Line(Generic[Item, Result]):
    """`work` gets items and gives a result for each, in their order."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._work = work
        self._waiting: deque[_Slip[Item, Result]] = deque()
        self._led = False
        self._came = Condition(Lock())
        self._usual = 1
        """How many come at the same time, as far as the last round could tell."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def do(self, item: Item) -> Result:
        """The item's result. Where the work fails for several, each is tried alone, so that nobody answers for another's fault."""
        slip: _Slip[Item, Result] = _Slip(item)
        self._join(slip)
        if slip.leads:
            taken = self._take()
            try:
                self._try(taken)
            finally:
                self._hand_over(slip, taken)
        return slip.done[0] if slip.done else self._work([item])[0]

    def _join(self, slip: _Slip[Item, Result]) -> None:
        """Afterwards the slip is done, or leads."""
        with self._came:
            self._waiting.append(slip)
            slip.leads = not self._led
            self._led = True
            if len(self._waiting) >= self._usual:
                self._came.notify()
        if not slip.leads:
            slip.sleep()

    def _take(self) -> list[_Slip[Item, Result]]:
        """All that wait, the one who leads among them."""
        deadline = time.monotonic() + A_MOMENT
        with self._came:
            while len(self._waiting) < self._usual and (left := deadline - time.monotonic()) > 0:
                self._came.wait(left)
            return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _try(self, taken: Sequence[_Slip[Item, Result]]) -> None:
        with suppress(Exception):  # whoever has the fault meets it again alone
            for one, result in zip(taken, self._work([one.item for one in taken]), strict=True):
                one.done.append(result)

    def _hand_over(self, leader: _Slip[Item, Result], taken: Sequence[_Slip[Item, Result]]) -> None:
        """Wakes those that were taken, and lets somebody who came meanwhile lead."""
        with self._came:
            self._usual = len(taken) + len(self._waiting)
            self._led = bool(self._waiting)
            following = self._waiting[0] if self._waiting else None
        if following is not None:
            following.leads = True
            following.wake()
        for one in taken:
            if one is not leader:
                one.wake()
