"""Keeps one django-q2 cluster working whatever is killed, and leaves no process behind.

The cluster runs as a child in its own session, so its process group holds all of its processes and nothing
else. The supervisor reads the signs of life that they write to a pipe (`sync.pulse` says which) and
replaces the cluster, by SIGKILL to the whole group and a new start, when its main process ends, when it
reports a process that was killed, or when it has been silent for longer than a task may take. The pipe is
local: with clusters on many machines each supervisor judges its own.

A restart costs the tasks in flight. They are wake-ups for rows of the job table, which come back when their
lease ends.

To stop, the main process gets SIGTERM and finishes what is in flight; after `grace` seconds, or when asked
a second time, the group is killed. This module touches neither Django nor the database, so an outage there
cannot hold it up.
"""

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

logger = logging.getLogger("dialbridge.supervisor")

# What the cluster writes. A knock only tells the cluster itself whether anybody still reads.
ALIVE, BROKEN, KNOCK = b"a", b"b", b"k"
LOOK_EVERY = 0.25  # seconds
STARTS_WITHIN = 60.0  # seconds to the first sign of life, since a busy machine imports slowly
STEADY_AFTER = 30.0  # seconds; a cluster that lived this long was no failed start
LONGEST_PAUSE = 30.0  # seconds
GROUP_ENDS_WITHIN = 0.5  # seconds from SIGKILL; zombies that nobody collects would keep the group for ever
SAME_REQUEST_WITHIN = 1.0  # seconds; Ctrl-C arrives twice when the script that started us passes it on


def pause_before_restart(failures: int) -> float:
    """Seconds to wait after this many quick ends in a row: three restarts are at once, then 0.5, 1, 2 … 30."""
    return 0.0 if failures <= 3 else min(LONGEST_PAUSE, 0.5 * 2.0 ** min(failures - 4, 10))


def why_replace(*, exit_code: int | None, signs: bytes, silent_for: float, allowed_silence: float) -> str | None:
    """What is wrong with a cluster, in words for the log; None when it is well."""
    if exit_code is not None:
        return f"its main process ended with code {exit_code}"
    if BROKEN in signs:
        return "one of its processes was killed"
    if silent_for > allowed_silence:
        return f"it has shown no sign of life for {silent_for:.0f} s"
    return None


class ClusterProcess:
    """One run of the cluster: the child, its process group and the pipe from it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._signs, cluster_end = os.pipe()
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the command is our own, no shell is involved
                [*command, "--pulse-fd", str(cluster_end)],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(cluster_end,),
                env=environment,
            )
        finally:
            os.close(cluster_end)
        self.pid = self._child.pid
        self.started = time.monotonic()

    def read_signs(self, wait: float) -> bytes:
        """The signs that have arrived, waiting up to `wait` seconds for the first."""
        if not select.select([self._signs], [], [], wait)[0]:
            return b""
        signs = os.read(self._signs, 65536)
        if not signs:  # end of file: every process has gone, and asking again would not wait
            time.sleep(wait)
        return signs

    def exit_code(self) -> int | None:
        return self._child.poll()

    def finish(self) -> None:
        """Asks the main process to end after the tasks in flight."""
        self._child.send_signal(signal.SIGTERM)

    def destroy(self) -> None:
        """Kills what is left of the group, also what the main process has left behind, and waits for its end."""
        give_up = time.monotonic() + GROUP_ENDS_WITHIN
        while _signal_group(self.pid, signal.SIGKILL) and time.monotonic() < give_up:
            self._child.poll()
            _reap_group(self.pid)
            time.sleep(0.02)
        self._child.wait()
        os.close(self._signs)


class Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        *,
        allowed_silence: float,
        grace: float,
        environment: Mapping[str, str] | None = None,
        starts_within: float = STARTS_WITHIN,
    ) -> None:
        self._command = command
        self._environment = environment
        self._starts_within = starts_within
        self._allowed_silence = allowed_silence
        self._grace = grace
        self._stop_requests = 0
        self._first_request = 0.0
        self._last_sign: float | None = None

    def request_stop(self, *_signal: object) -> None:
        """Once: end after the tasks in flight. Again, a second later: end now. Also a signal handler."""
        now = time.monotonic()
        if not self._stop_requests:
            self._stop_requests, self._first_request = 1, now
        elif now - self._first_request > SAME_REQUEST_WITHIN:
            self._stop_requests += 1

    def silent_for(self) -> float | None:
        """Seconds since the last sign of life of any run; None before the first."""
        return None if self._last_sign is None else time.monotonic() - self._last_sign

    def run(self) -> None:
        """Returns after `request_stop`, when no process of the cluster is left."""
        failures = 0
        while not self._stop_requests:
            cluster = ClusterProcess(self._command, self._environment)
            reason = self._watch(cluster)
            if reason is None:
                self._finish(cluster)
            cluster.destroy()
            if reason is not None:
                failures = 1 if time.monotonic() - cluster.started > STEADY_AFTER else failures + 1
                self._pause(reason, pause_before_restart(failures))

    def _watch(self, cluster: ClusterProcess) -> str | None:
        """Returns what is wrong, or None when it is time to stop."""
        last_sign, allowed_silence = cluster.started, max(self._allowed_silence, self._starts_within)
        while not self._stop_requests:
            signs = cluster.read_signs(LOOK_EVERY)
            now = time.monotonic()
            if ALIVE in signs:
                last_sign = self._last_sign = now
                allowed_silence = self._allowed_silence
            reason = why_replace(
                exit_code=cluster.exit_code(),
                signs=signs,
                silent_for=now - last_sign,
                allowed_silence=allowed_silence,
            )
            if reason:
                return reason
        return None

    def _finish(self, cluster: ClusterProcess) -> None:
        cluster.finish()
        give_up = time.monotonic() + self._grace
        while cluster.exit_code() is None and time.monotonic() < give_up and self._stop_requests < 2:
            cluster.read_signs(0.05)
        if cluster.exit_code() is None:
            logger.warning("The cluster had not finished its tasks: it is killed, they will be run again.")

    def _pause(self, reason: str, seconds: float) -> None:
        logger.error("The cluster is started again in %g s because %s.", seconds, reason)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop_requests:
            time.sleep(0.1)


def _signal_group(group: int, number: signal.Signals) -> bool:
    """False when the group has no process any more (macOS denies permission when all of them are zombies)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap_group(group: int) -> None:
    """As the first process of a container we inherit the orphans of a dead main process and have to collect them."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
