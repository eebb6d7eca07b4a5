"""What benchmarks found, for the table at the end of a run and for comparing two runs.

A benchmark that has percentiles or an aim says a `Figure`. Of others each printed line `name  0.93 of the floor   words` is one.
"""

import io
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import quantiles
from typing import Any, TextIO

_LINE = re.compile(r"^(?P<bench>[\w-]+) +(?P<ratio>\d+(?:\.\d+)?) of (?P<of>[^\d]+?) {2,}(?P<what>.+)$")
_TIMES = re.compile(r"p50/p95/p99 ([\d.]+)/([\d.]+)/([\d.]+) ms")
_RATE = re.compile(r"([\d,]+(?:\.\d+)?)(?:/s| a second)")
WIDTH = 46


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is of a floor, a quota or another size; times are milliseconds, `rate` is pieces a second."""

    bench: str
    what: str
    ratio: float | None = None
    of: str = ""
    aim: float | None = None
    """The least ratio that is wanted."""
    rate: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    work: float | None = None
    """Milliseconds of processor, ours and the database's: what is left where the machine has nothing else to do."""
    most: float | None = None
    """The most work that is wanted."""
    count: float | None = None
    """Statements, or refusals."""
    highest: float | None = None
    """Of the count."""

    @property
    def is_under(self) -> bool:
        return bool(
            (self.aim is not None and self.ratio is not None and self.ratio < self.aim)
            or (self.most is not None and self.work is not None and self.work > self.most)
            or (self.highest is not None and self.count is not None and self.count > self.highest)
        )


FIGURES: list[Figure] = []


def say(figure: Figure) -> None:
    """Notes it and prints it at once."""
    FIGURES.append(figure)
    print(row(figure), flush=True)


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99."""
    cuts = quantiles(milliseconds, n=100, method="inclusive") if len(milliseconds) > 1 else list(milliseconds) * 99
    return cuts[49], cuts[94], cuts[98]


class Overheard(io.TextIOBase):
    """Lets everything through, and notes each line that tells a ratio."""

    def __init__(self, to: TextIO, aims: Iterable[tuple[str, str, float]]) -> None:
        self._to, self._aims, self._begun = to, list(aims), ""

    def write(self, text: str) -> int:
        self._begun += text
        *lines, self._begun = self._begun.split("\n")
        for line in lines:
            self._note(line)
        self._to.write(text)
        return len(text)

    def flush(self) -> None:
        self._to.flush()

    def _note(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None or any(row(one) == line for one in FIGURES[-1:]):
            return
        times, rate = _TIMES.search(line), _RATE.search(line)
        made = Figure(
            found["bench"], found["what"].strip(), ratio=float(found["ratio"]), of=found["of"].strip(),
            rate=float(rate[1].replace(",", "")) if rate else None,
            **({name: float(value) for name, value in zip(("p50", "p95", "p99"), times.groups(), strict=True)} if times else {}),
        )  # fmt: skip
        aim = next(
            (least for bench, of, least in self._aims if bench == made.bench and of in f"{made.of} {made.what}"), None
        )
        FIGURES.append(replace(made, aim=aim))


def overhearing(to: TextIO, aims: Iterable[tuple[str, str, float]]) -> redirect_stdout[Any]:
    return redirect_stdout(Overheard(to, aims))


# --- showing ------------------------------------------------------------------------------------------------------------

HEADERS = ("", "what", "a second", "p50 ms", "p95 ms", "p99 ms", "ratio", "of", "aim; work, statements")
_WIDTHS = (10, WIDTH, 9, 8, 8, 8, 6, 14, 24)


def row(figure: Figure) -> str:
    times = [_number(one) for one in (figure.rate, figure.p50, figure.p95, figure.p99)]
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    cells = [figure.bench, _short(figure.what), *times, ratio, figure.of, _aim(figure)]
    return _line(cells) + ("  UNDER ITS AIM" if figure.is_under else "")


def table(figures: Sequence[Figure]) -> str:
    under = [one for one in figures if one.is_under]
    told = f"{len(under)} of {len(figures)} figures are under their aim" if under else "No figure is under its aim"
    rows = [_line(HEADERS), _line(["-" * width for width in _WIDTHS]), *map(row, figures)]
    return "\n".join([*rows, f"{told}{':' if under else '.'}", *(f"  {one.bench}: {one.what}" for one in under)])


def write_json(path: Path, figures: Sequence[Figure], facts: dict[str, Any]) -> None:
    rows = [{**asdict(one), "under": one.is_under} for one in figures]
    path.write_text(json.dumps({**facts, "figures": rows}, indent=1) + "\n", encoding="utf-8")


def compared(before: Path, figures: Sequence[Figure]) -> str:
    """Figures that both runs have, with how they went: the ratios, which alone can be compared."""
    held = {(one["bench"], one["what"]): one for one in json.loads(before.read_text(encoding="utf-8"))["figures"]}
    lines = []
    for one in figures:
        was = held.get((one.bench, one.what))
        if was and was["ratio"] is not None and one.ratio is not None:
            lines.append(f"{one.bench:<10} {was['ratio']:6.2f} → {one.ratio:6.2f}  {one.what}")
    return "\n".join(lines) or "The two runs have no ratio in common."


def _line(cells: Sequence[str]) -> str:
    made = [
        f"{cell:<{width}}" if place in (0, 1, 7, 8) else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    ]
    return " ".join(made).rstrip()


def _aim(figure: Figure) -> str:
    if figure.aim is not None:
        return f"≥ {figure.aim:g}"
    if figure.most is not None:
        count = f", {figure.count:.0f} ≤ {figure.highest:.0f}" if figure.highest and figure.count is not None else ""
        return f"{figure.work or 0:.0f} ≤ {figure.most:g} ms{count}"
    return (
        f"{figure.count:.0f} ≤ {figure.highest:.0f}" if figure.highest is not None and figure.count is not None else ""
    )


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
