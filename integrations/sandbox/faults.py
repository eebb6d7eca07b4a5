"""Fault dials: what the sandbox does wrong on purpose, and how often. Set over HTTP, drawn from one seeded generator."""

import random
import re
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(slots=True)
class Fault:
    """One dial. It applies to requests whose "METHOD /path" matches `match`, with `rate` probability, at most `times`."""

    kind: str
    """drop_after (write, then cut the connection), drop_before, status, slow, html502, hang (take the request, say nothing for
    `seconds`, cut the connection), half (answer half of the body, then cut), or a service's own word"""
    rate: float = 1.0
    match: str = ""
    times: int | None = None
    status: int = 500
    seconds: float = 0.0
    headers: dict[str, str] | None = None
    body: Any = None
    kept: int = 0
    """How often it struck."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fault":
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"A fault has no {', '.join(unknown)}. It takes: {', '.join(sorted(known))}.")
        return cls(**data)


class Faults:
    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.dials: list[Fault] = []

    def set(self, dials: list[dict[str, Any]]) -> None:
        self.dials = [Fault.from_json(dial) for dial in dials]

    def draw(self, method: str, path: str, *kinds: str) -> Fault | None:
        """The first dial of these kinds that strikes this request."""
        for dial in self.dials:
            if dial.kind not in kinds or dial.times == 0:
                continue
            if dial.match and not re.search(dial.match, f"{method} {path}"):
                continue
            if self._random.random() < dial.rate:
                dial.kept += 1
                if dial.times is not None:
                    dial.times -= 1
                return dial
        return None

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(dial) for dial in self.dials]
