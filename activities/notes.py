"""The text that a call leaves in the CRM: by the tenant's template, else in the usual sections, none of them empty. Pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from activities.templates import Template, Value, compile_template

NAMES = (
    "summary", "notes", "key_points", "has_key_points", "next_steps", "has_next_steps", "metrics", "duration", "ai_score",
    "sentiment", "talk_ratio", "disposition", "direction", "agent",
)  # fmt: skip
"""What a template may name. key_points and next_steps are lists; their has_… are there for what stands once above a list."""

USUAL = """\
{{#summary}}
--- Call Summary (AI Generated) ---
{{summary}}

{{/summary}}
{{#notes}}
--- Agent Notes ---
{{notes}}

{{/notes}}
{{#has_key_points}}
--- Key Points ---
{{#key_points}}
- {{.}}
{{/key_points}}

{{/has_key_points}}
{{#has_next_steps}}
--- Next Steps ---
{{#next_steps}}
- [ ] {{.}}
{{/next_steps}}

{{/has_next_steps}}
--- Call Metrics ---
{{metrics}}
"""
"""The template of a tenant that has none of its own."""


def call_notes(
    *,
    template: str = "",
    notes: str = "",
    summary: str = "",
    key_points: Sequence[str] = (),
    next_steps: Sequence[str] = (),
    duration_seconds: int = 0,
    metrics: Mapping[str, Any] | None = None,
    disposition: str = "",
    direction: str = "",
    agent: str = "",
) -> str:
    """Raises TemplateError for a template that is wrong; what is saved was checked."""
    told = metrics or {}
    values: dict[str, Value] = {
        "summary": summary.strip(),
        "notes": notes.strip(),
        "key_points": [str(point) for point in key_points],
        "has_key_points": "yes" if key_points else "",
        "next_steps": [str(step) for step in next_steps],
        "has_next_steps": "yes" if next_steps else "",
        "metrics": _metrics(duration_seconds, told),
        "duration": clock(duration_seconds),
        "disposition": disposition,
        "direction": direction,
        "agent": agent,
        **_measured(told),
    }
    return compiled(template if template.strip() else USUAL).render(values).strip()


@lru_cache(maxsize=200)
def compiled(template: str) -> Template:
    return compile_template(template, NAMES)


def _measured(metrics: Mapping[str, Any]) -> dict[str, Value]:
    """Those that were measured, as people read them."""
    score, sentiment, ratio = (metrics.get(name) for name in ("ai_score", "sentiment", "talk_ratio"))
    return {
        "ai_score": "" if score is None else str(score),
        "sentiment": str(sentiment).capitalize() if sentiment else "",
        "talk_ratio": "" if ratio is None else _talk_ratio(ratio),
    }


def _metrics(duration_seconds: int, metrics: Mapping[str, Any]) -> str:
    told = _measured(metrics)
    first = [f"Duration: {clock(duration_seconds)}"]
    if told["ai_score"]:
        first.append(f"AI Score: {told['ai_score']}/100")
    if told["sentiment"]:
        first.append(f"Sentiment: {told['sentiment']}")
    lines = [" | ".join(first)]
    if told["talk_ratio"]:
        lines.append(f"Talk Ratio: {told['talk_ratio']}")
    return "\n".join(lines)


def _talk_ratio(value: Any) -> str:
    """A share of the agent's talking (0.38 or 38), or the shares by name."""
    if isinstance(value, Mapping):
        return " / ".join(f"{str(who).capitalize()} {_share(share)}" for who, share in value.items())
    if _is_share(value):
        agent = _percent(value)
        return f"Agent {agent}% / Prospect {100 - agent}%"
    return str(value)


def _percent(share: float) -> int:
    return round(share * 100 if share <= 1 else share)


def _share(value: Any) -> str:
    """What is no share stays as the dialer wrote it."""
    return f"{_percent(value)}%" if _is_share(value) else str(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 100


def clock(seconds: int) -> str:
    """342 → 5:42, 3723 → 1:02:03."""
    minutes, rest = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
