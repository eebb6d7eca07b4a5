"""Finds and runs the Redis that the broker tests use. `python -m tests.redis_server` exits 0 if there is one."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

MISSING = (
    "No redis-server was found. These tests need one: script/test installs it on Debian as root; else install Redis, or name the "
    "program in REDIS_SERVER=/path."
)


def redis_server() -> str | None:
    return os.environ.get("REDIS_SERVER") or shutil.which("redis-server")


class RedisServer:
    """One server that keeps nothing, on one port; it can be killed and started again."""

    def __init__(self, port: int, folder: Path, host: str = "127.0.0.1", launcher: tuple[str, ...] = ()) -> None:
        self.host, self.port = host, port
        self._folder, self._launcher = folder, launcher
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        program = redis_server()
        if program is None:
            raise RuntimeError(MISSING)
        options = ["--port", str(self.port), "--bind", self.host, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*self._launcher, program, *options, "--protected-mode", "no", "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} did not start on port {self.port}.")
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


if __name__ == "__main__":
    raise SystemExit(0 if redis_server() else 1)
