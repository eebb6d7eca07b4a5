"""One function for a whole record, in which each row of a mapping is a few lines of its own instead of a turn of a loop.

What usually comes for a row is settled in these lines: a text that may be copied or is converted by one call, yes or no, or nothing
at all. Everything else goes to the row's full step. The source consists of numbered names alone, nothing
of the mapping is written into it, so mappings of the same shape share one compiled body.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from mapping.places import MISSING

COPIED, CONVERTED, KEPT = "copied", "converted", "kept"


class Line(NamedTuple):
    """How one row is worked. Without a `source` the full step does everything."""

    full: Any
    target: str = ""
    source: str | Callable[[Any], Any] | None = None
    """The name of a field, or a function that reads the place."""
    usual: str = ""
    """What is settled on the spot: a text copied up to the length `one` or converted by `one`, or a value of type `one`."""
    one: Any = None
    two: Any = None
    three: Any = None
    """What the function takes besides the text. It gives None when only the full step can tell."""
    blank: bool = False
    """Nothing is stored as None, and what the record doesn't have is left out, without more ado."""

    @property
    def shape(self) -> tuple[str, str, bool]:
        reading = "" if self.source is None else "name" if isinstance(self.source, str) else "place"
        return reading, self.usual, self.blank


class Frame(NamedTuple):
    """What is around the lines: it takes `given`, from which is read, and makes `into`, where it is stored."""

    head: str
    call: str
    """What a full step is called with."""
    end: str


def unroll(lines: Sequence[Line], frame: Frame, **names: Any) -> Any:
    """The function. `names` are what its frame needs."""
    known: dict[str, Any] = {**names, "MISSING": MISSING}
    for at, line in enumerate(lines):
        known |= {f"full{at}": line.full, f"target{at}": line.target, f"source{at}": line.source}
        known |= {f"one{at}": line.one, f"two{at}": line.two, f"three{at}": line.three}
    exec(_code(tuple(line.shape for line in lines), frame), known)  # noqa: S102 - numbered names only
    return known["made"]


@lru_cache(256)
def _code(shapes: tuple[tuple[str, str, bool], ...], frame: Frame) -> CodeType:
    lines = "".join(_text(*shape).replace("#", str(at)).replace("@", frame.call) for at, shape in enumerate(shapes))
    return compile(f"{frame.head}{lines}{frame.end}", "<mapping>", "exec")


_READ = {"name": "get(source#, MISSING)", "place": "source#(given)"}
_USUAL = {
    COPIED: """
    if value.__class__ is str and value and len(value) <= one#: into[target#] = value
""",
    CONVERTED: """
    if value.__class__ is str and value and (found := one#(value, two#, three#)) is not None: into[target#] = found
""",
    KEPT: """
    if value.__class__ is one#: into[target#] = value
""",
    "": """
    if False: pass
""",
}
_BLANK = """
    elif value is MISSING: pass
    elif value is None or value == '': into[target#] = None
"""


def _text(reading: str, usual: str, blank: bool) -> str:
    if not reading:
        return "    full#(@)\n"
    return f"    value = {_READ[reading]}{_USUAL[usual]}{_BLANK if blank else ''}    else: full#(@)\n"
