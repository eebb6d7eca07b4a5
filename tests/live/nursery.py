"""Starts change listeners by fork, each to be killed: loading Django a hundred times would take minutes.

Reads one order per line, `{"statement": 3, "when": "after"}`, and prints the pid of the listener that it starts. The listener
kills itself with SIGKILL before or after that SQL statement, counted from the moment at which its stream brings an event; with
`null` it lives until somebody else kills it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django

LEASE, EVERY = 5.0, 0.1


def main() -> None:
    django.setup()
    from sync.listening import streaming_providers

    assert "fakecrm" in streaming_providers(), "and everything is loaded before the first fork"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            sys.stdin.close()
            listen(order["statement"], order["when"])
            os._exit(0)
        print(pid, flush=True)


def listen(statement: int | None, when: str) -> None:
    from sync.listening import Listener

    if statement is not None:
        die_at(statement, when)
    listener = Listener(lease=LEASE, every=EVERY)
    signal.signal(signal.SIGTERM, listener.stop)
    listener.run()


def die_at(statement: int, when: str) -> None:
    """Counts the statements of the thread that got an event, from then on."""
    from django.db import connection
    from django.db.backends.signals import connection_created

    from integrations.records.events import StreamPage
    from tests.fake_crm.events import FakeStream

    seen = threading.local()
    pages = FakeStream.pages

    def telling(self: FakeStream) -> Iterator[StreamPage]:
        for page in pages(self):
            seen.count = 0 if page.events else getattr(seen, "count", None)
            yield page

    def counting(execute: Callable[..., Any], *arguments: Any) -> Any:
        counted = getattr(seen, "count", None)
        if counted is None:
            return execute(*arguments)
        seen.count = counted + 1
        if seen.count == statement and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = execute(*arguments)
        if seen.count == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def watch(**_: Any) -> None:
        if counting not in connection.execute_wrappers:  # each time the thread connects anew
            connection.execute_wrappers.append(counting)

    FakeStream.pages = telling  # type: ignore[method-assign]
    connection_created.connect(watch, weak=False)


if __name__ == "__main__":
    main()
