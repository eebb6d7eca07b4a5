"""Lets a thread of its own run ahead of whoever works: while one item is worked, the next one is got ready.

No more than one is ever ready before it is asked for, so memory stays as it was. What the thread raises is raised here, after
the items that came before it. The thread knows the tenant and the trace of whoever began; its connection to the database is
its own, and gone with it.
"""

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from queue import SimpleQueue
from typing import Generic, TypeVar

from django.db import connections

Item = TypeVar("Item")


def ahead(items: Generator[Item, None, None], may_follow: Callable[[Item], bool]) -> Generator[Item, None, None]:
    """The same items. The thread goes on as soon as one is taken; after one that nothing `may_follow` only once it was worked.

    Whoever breaks off has to close this generator: it waits for the thread, which ends with what it is at.
    """
    runner = _Runner(items)
    runner.start()
    try:
        while (item := runner.take()) is not None:
            goes_on = may_follow(item.value)
            if goes_on:
                runner.go_on()
            yield item.value
            if not goes_on:
                runner.go_on()
    finally:
        runner.stop()


class _Got(Generic[Item]):
    def __init__(self, value: Item) -> None:
        self.value = value


class _Runner(Generic[Item]):
    def __init__(self, items: Generator[Item, None, None]) -> None:
        self._items = items
        self._found: SimpleQueue[_Got[Item] | BaseException | None] = SimpleQueue()
        self._turns = threading.Semaphore(1)
        self._stopping = False
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="ahead", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> _Got[Item] | None:
        """None at the end."""
        found = self._found.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def go_on(self) -> None:
        self._turns.release()

    def stop(self) -> None:
        self._stopping = True
        self.go_on()
        self._thread.join()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._get_all()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            end = error
        finally:
            self._found.put(end)

    def _get_all(self) -> None:
        try:
            while self._may_go_on():
                try:
                    item = next(self._items)
                except StopIteration:
                    return
                self._found.put(_Got(item))
        finally:
            self._items.close()
            connections.close_all()

    def _may_go_on(self) -> bool:
        self._turns.acquire()
        return not self._stopping
