"""The parent's end of the process that runs tenants' JavaScript (`mapping.sandbox_child`).

A process of its own, because an in-process engine cannot be stopped inside one long native call: of 69 hostile
expressions tried in-process, 22 held the thread for over 6 seconds, some for ever. Here the worst of them costs half a
second of processor time, and a fault in the engine cannot reach our tokens or database connection.
Starting the process takes about 0.1 s, so a few idle ones are kept for the next batch; a question costs about 0.1 ms.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

CHILD = Path(__file__).with_name("sandbox_child.py")
ANSWER_SECONDS = 10.0  # only a backstop: the child is ended by its own processor limit long before
MAX_ANSWER_BYTES = 1024 * 1024
MAX_IDLE = 2

_Message = dict[str, Any]


class SandboxUnavailableError(RuntimeError):
    """The machine could not start the process; nothing is known about the tenant's expression."""


class SandboxDiedError(RuntimeError):
    """The process ended while it worked on a request: the expression used up what it was allowed."""


class Sandbox:
    """One child process. Not thread-safe; a request that fails in any way ends it."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
                [sys.executable, "-I", str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"TZ": "UTC"},  # no secret of ours is in reach, and dates do not depend on the machine
                cwd="/",
            )
        except OSError as error:
            raise SandboxUnavailableError(f"The sandbox for expressions could not be started: {error}.") from error
        self._asked = False
        self.owner = os.getpid()

    def ask(self, request: _Message) -> _Message:
        """SandboxDiedError: the request used too much. SandboxUnavailableError: the child never worked."""
        try:
            answer = self._exchange(json.dumps(request).encode() + b"\n")
        except BaseException:  # also a worker's time-out signal: half an exchange must never be taken up again
            self.close()
            raise
        if answer is None:
            self.close()
            if not self._asked:
                raise SandboxUnavailableError("The sandbox for expressions ended before it answered a first request.")
            raise SandboxDiedError
        self._asked = True
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                cast("Any", pipe).close()
            except BrokenPipeError:
                continue  # what was left unsent is of no use any more

    def _exchange(self, line: bytes) -> _Message | None:
        try:
            stdin = cast("Any", self._process.stdin)
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            return None
        raw = self._read_line(time.monotonic() + ANSWER_SECONDS)
        return None if raw is None else cast("_Message", json.loads(raw))

    def _read_line(self, deadline: float) -> bytes | None:
        source = cast("Any", self._process.stdout).fileno()
        readable = select.poll()
        readable.register(source, select.POLLIN)
        parts = bytearray()
        while not parts.endswith(b"\n"):
            wait_ms = max(deadline - time.monotonic(), 0) * 1000
            if len(parts) > MAX_ANSWER_BYTES or not readable.poll(wait_ms):
                return None
            chunk = os.read(source, 65536)
            if not chunk:
                return None
            parts += chunk
        return bytes(parts)


# A deque's append and pop are atomic, so no lock is needed, not even when a garbage collection gives a sandbox back.
_idle: deque[Sandbox] = deque()
_inherited: list[Sandbox] = []


def borrow() -> Sandbox:
    """A sandbox nobody else uses, with an untouched JavaScript runtime."""
    while _idle:
        sandbox = _idle.pop()
        if sandbox.owner != os.getpid():
            _inherited.append(sandbox)  # the process that forked us still talks to it
            continue
        try:
            sandbox.ask({"do": "reset"})
        except SandboxDiedError:
            continue
        return sandbox
    return _started()


def _started() -> Sandbox:
    sandbox = Sandbox()
    sandbox.ask({"do": "reset"})
    return sandbox


def give_back(sandbox: Sandbox) -> None:
    if sandbox.owner != os.getpid():
        _inherited.append(sandbox)
    elif len(_idle) < MAX_IDLE:
        _idle.append(sandbox)
    else:
        sandbox.close()


def close_idle() -> None:
    """Ends the processes kept for later; for the end of a program or of a test run."""
    while _idle:
        sandbox = _idle.pop()
        if sandbox.owner == os.getpid():
            sandbox.close()


atexit.register(close_idle)
