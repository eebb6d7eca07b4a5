"""Do-not-call is taken at once from whoever says it, and taken back only by somebody who spoke later.

Each link remembers when "don't call" was last set on our side or carried to its record (by our clock). A record that says "call"
and is older than that is a voice from the past, such as a page that was read before our own write arrived. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sync.merge import DO_NOT_CALL, Decision

STAMP = "do_not_call_at"
"""Key in a link's metadata."""


def stamped(metadata: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {**metadata, STAMP: now.isoformat()}


def said_at(metadata: Mapping[str, Any]) -> datetime | None:
    text = metadata.get(STAMP)
    return datetime.fromisoformat(text) if text else None


def keep(decision: Decision, said: datetime | None, theirs_at: datetime) -> Decision:
    """The decision, or one that stays at "don't call": then it counts as a conflict that we won, and is written back."""
    loosens = decision.field == DO_NOT_CALL and bool(decision.ours) and not decision.value
    if not loosens or said is None or theirs_at > said:
        return decision
    return replace(decision, value=True, agreed=decision.theirs, changed=False, conflict=True, winner="dialer")
