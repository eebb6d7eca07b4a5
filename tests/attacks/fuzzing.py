"""Fires hostile inputs at a target and watches: no error that is not a refusal, nothing that takes a second, no memory that grows.

A target is a function that makes one input from a `Hostile`, sends it, and raises for whatever must not happen. It returns a word
for what became of it. Each input has a seed of its own, named in the report, and can be tried alone (`Campaign.again`).
"""

import gc
import logging
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.attacks.nasties import Hostile

REFUSED, TAKEN = "refused", "taken"
LONGEST = 1.0
"""Seconds that one input may take."""
STUCK = 30.0
"""Seconds after which it is stopped, and the rest goes on."""
MOST_GROWTH_MB = 150.0
MOST_CHILD_MB = 150.0
LOOKED_EVERY = 500
MOST_FINDINGS = 25
ALIKE = 2
"""So many of one kind are shown."""

Strike = Callable[[Hostile], str]


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    strike: Strike
    share: int
    """Of a thousand inputs."""


class Stuck(Exception):
    """An input took so long that it was stopped."""


@dataclass(frozen=True, slots=True)
class Finding:
    seed: str
    what: str
    sent: str

    def __str__(self) -> str:
        return f"{self.seed}: {self.what}\n    sent {self.sent}"


@dataclass
class Row:
    """What became of one target's inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def share(self, part: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


class Campaign:
    def __init__(self, seed: str = "7") -> None:
        self.seed = seed
        self.rows: dict[str, Row] = {}
        self.findings: list[Finding] = []
        self.kinds: Counter[str] = Counter()
        self.started_mb = self.peak_mb = self.child_mb = 0.0

    def run(self, targets: Sequence[Target], total: int) -> None:
        with _quiet():
            for target in targets:
                self._warm(target)
            self.started_mb = self.peak_mb = _own_mb()
            for target in targets:
                row = self.rows.setdefault(target.name, Row())
                for number in range(max(1, total * target.share // 1000)):
                    self._one(target, f"{self.seed}:{target.name}:{number}", row)
                    if number % LOOKED_EVERY == 0:
                        self._look(target.name)
                self._look(target.name)

    def again(self, targets: Sequence[Target], seed: str) -> str:
        """Tries one input once more; raises what it raised."""
        target = next(one for one in targets if one.name == seed.split(":")[1])
        return target.strike(Hostile(seed))

    @property
    def inputs(self) -> int:
        return sum(len(row.seconds) for row in self.rows.values())

    def _warm(self, target: Target) -> None:
        """Caches fill before memory is measured."""
        for number in range(10):
            seed = f"warm:{target.name}:{number}"
            hostile = Hostile(seed)
            outcome, _seconds = self._try(target, hostile)
            if isinstance(outcome, Exception):
                self._note(seed, outcome, hostile.sent)

    def _one(self, target: Target, seed: str, row: Row) -> None:
        hostile = Hostile(seed)
        outcome, seconds = self._try(target, hostile)
        if seconds > LONGEST:  # a busy machine, or a slow input: the same again tells
            seconds = min(seconds, *(self._try(target, Hostile(seed))[1] for _ in range(3)))
            if seconds > LONGEST:
                outcome = outcome if isinstance(outcome, Exception) else Stuck(f"took {seconds:.1f} s")
        row.seconds.append(seconds)
        if isinstance(outcome, Exception):
            row.outcomes["finding"] += 1
            self._note(seed, outcome, hostile.sent)
        else:
            row.outcomes[outcome] += 1

    def _try(self, target: Target, hostile: Hostile) -> tuple[str | Exception, float]:
        outcome: str | Exception
        started = time.perf_counter()
        try:
            with _alarm():
                outcome = target.strike(hostile)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            outcome = error
        return outcome, time.perf_counter() - started

    def _look(self, name: str) -> None:
        own = psutil.Process()
        self.peak_mb = max(self.peak_mb, _own_mb())
        if self.peak_mb - self.started_mb > MOST_GROWTH_MB:
            gc.collect()
            if _own_mb() - self.started_mb > MOST_GROWTH_MB:
                self._note(
                    f"{self.seed}:{name}:*", MemoryError(f"grew from {self.started_mb:.0f} to {_own_mb():.0f} MB"), None
                )
        for child in own.children(recursive=True):
            try:
                self.child_mb = max(
                    self.child_mb, child.memory_info().rss / 1e6 if "sandbox_child" in " ".join(child.cmdline()) else 0
                )
            except psutil.Error:
                continue
        if self.child_mb > MOST_CHILD_MB:
            self._note(f"{self.seed}:{name}:*", MemoryError(f"a sandbox took {self.child_mb:.0f} MB"), None)

    def _note(self, seed: str, error: Exception, sent: Any) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1:] if error.__traceback__ else []
        kind = type(error).__name__ + "".join(f" at {one.filename}:{one.lineno}" for one in last)
        self.kinds[kind] += 1
        if self.kinds[kind] <= ALIKE and len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(seed, f"{kind}: {str(error)[:300]}", repr(sent)[:300]))


def _own_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Stuck(f"was stopped after {STUCK:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, STUCK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
