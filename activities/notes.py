"""The text that a call leaves in the CRM, in sections that are left out when they would be empty. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def call_notes(
    *,
    notes: str = "",
    summary: str = "",
    key_points: Sequence[str] = (),
    next_steps: Sequence[str] = (),
    duration_seconds: int = 0,
    metrics: Mapping[str, Any] | None = None,
) -> str:
    sections = [
        ("Call Summary (AI Generated)", summary.strip()),
        ("Agent Notes", notes.strip()),
        ("Key Points", "\n".join(f"- {point}" for point in key_points)),
        ("Next Steps", "\n".join(f"- [ ] {step}" for step in next_steps)),
        ("Call Metrics", _metrics(duration_seconds, metrics or {})),
    ]
    return "\n\n".join(f"--- {title} ---\n{text}" for title, text in sections if text)


def _metrics(duration_seconds: int, metrics: Mapping[str, Any]) -> str:
    first = [f"Duration: {clock(duration_seconds)}"]
    if metrics.get("ai_score") is not None:
        first.append(f"AI Score: {metrics['ai_score']}/100")
    if metrics.get("sentiment"):
        first.append(f"Sentiment: {str(metrics['sentiment']).capitalize()}")
    lines = [" | ".join(first)]
    if metrics.get("talk_ratio") is not None:
        lines.append(f"Talk Ratio: {_talk_ratio(metrics['talk_ratio'])}")
    return "\n".join(lines)


def _talk_ratio(value: Any) -> str:
    """A share of the agent's talking (0.38 or 38), or the shares by name."""
    if isinstance(value, Mapping):
        return " / ".join(f"{str(who).capitalize()} {_percent(share)}%" for who, share in value.items())
    if isinstance(value, int | float):
        agent = _percent(value)
        return f"Agent {agent}% / Prospect {100 - agent}%"
    return str(value)


def _percent(share: Any) -> int:
    number = float(share)
    return round(number * 100 if 0 <= number <= 1 else number)


def clock(seconds: int) -> str:
    """342 → 5:42, 3723 → 1:02:03."""
    minutes, rest = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
