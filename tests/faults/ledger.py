"""What the traffic knows: what it was acknowledged, and what it sent without ever hearing an answer."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Known:
    """A value as it must be at the end: the last one that was acknowledged, or one of those that nobody answered for."""

    sure: str
    maybe: set[str] = field(default_factory=set)

    def sent(self, value: str) -> None:
        self.maybe.add(value)

    def acknowledged(self, value: str) -> None:
        self.sure, self.maybe = value, set()

    def refused(self, value: str) -> None:
        self.maybe.discard(value)

    def fits(self, value: str) -> bool:
        return value == self.sure or value in self.maybe


@dataclass
class Logged:
    """One call."""

    external_id: str
    record_id: str
    contact_id: str
    disposition: Known
    notes: Known
    id: str = ""
    """Ours, once it was acknowledged."""
    stages: int = 0
    said: set[str] = field(default_factory=set)
    """Every disposition that it ever had."""


@dataclass
class Newcomer:
    """A person who was made on one side and has to be on both, once. E-mail tells who it is."""

    email: str
    side: str
    acknowledged: bool = False


@dataclass
class Ledger:
    """Of one tenant."""

    calls: list[Logged] = field(default_factory=list)
    edits: dict[tuple[str, str], Known] = field(default_factory=dict)
    """(contact, field) → what it must be on both sides, where one side alone edits it."""
    disputed: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """(contact, field) → what either side said, where both edit it."""
    newcomers: list[Newcomer] = field(default_factory=list)
    records: dict[str, str] = field(default_factory=dict)
    """Contact → its record in the CRM."""
    sent: Counter[str] = field(default_factory=Counter)
    """How often the traffic did what."""
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """Answers that must never be given."""
