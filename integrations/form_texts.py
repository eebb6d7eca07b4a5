"""JSON scalars as they stand in a form's text fields, and back: what nobody changed keeps its type."""

from collections.abc import Iterable
from typing import Any

EMPTY = "(empty)"
"""What stands for an empty value where a text that is left out means something else."""


def text_of(value: Any) -> str:
    if value is None:
        return EMPTY
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def by_text(values: Iterable[Any]) -> dict[str, Any]:
    """What was held, by its text."""
    return {text_of(value): value for value in values}
