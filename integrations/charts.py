"""Charts as SVG that the server draws: the geometry here, the marks in templates/admin/chart.html and index.html.

Every chart shows one series, so that no colour has to tell anything apart; it has a name and a description, and what is drawn
stands beside it as a table. Where nothing was measured there is a gap, not a nought. Sizes are attributes and colours are classes,
so a strict Content-Security-Policy has nothing to object to.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Values = Sequence[float | None]
Wording = Callable[[float], str]

SPARK_HEIGHT = 20
SPARK_LEAST = 1
"""A bar that is more than nothing is seen."""
WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 88, 8, 12, 28
LINES = 4
"""Spaces between the lines across."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A small chart without axes: a row of steps. `path` is drawn in a box `width` by SPARK_HEIGHT."""

    name: str
    path: str
    width: int
    height: int = SPARK_HEIGHT


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    words: str
    """What is told to whoever points at it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across, or a time below, with what is written beside it."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    about: str
    """What the chart shows, in a sentence, for whoever can't see it."""
    bars: Sequence[Bar]
    gaps: Sequence[Bar]
    lines: Sequence[Mark]
    times: Sequence[Mark]
    limit: Mark | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def spark(name: str, values: Values) -> Spark:
    """One unit of width for each value; the highest fills the height."""
    top = max((value for value in values if value), default=0) or 1
    path, is_drawn = [], False
    for number, value in enumerate(values):
        if value is None:
            path.append(f"V{SPARK_HEIGHT}" if is_drawn else "")
            is_drawn = False
            continue
        height = max(SPARK_LEAST, round(value * SPARK_HEIGHT / top)) if value else 0
        begin = "" if is_drawn else f"M{number} {SPARK_HEIGHT}"
        path.append(f"{begin}V{SPARK_HEIGHT - height}h1")
        is_drawn = True
    if is_drawn:
        path.append(f"V{SPARK_HEIGHT}")
    return Spark(name, "".join(path), len(values))


def chart(
    name: str,
    about: str,
    values: Values,
    times: Sequence[str],
    wording: Wording,
    *,
    not_measured: str,
    time_marks: Sequence[tuple[int, str]],
    least_top: float = 4,
    limit: tuple[float, str] | None = None,
) -> Chart:
    """`times` says for each value when it was; `time_marks` which of them are written below, and how."""
    top = ceiling(max([*(value for value in values if value is not None), limit[0] if limit else 0, least_top]))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    bottom = HEIGHT - BOTTOM
    bars, gaps = [], []
    for number, (value, time) in enumerate(zip(values, times, strict=True)):
        x, width = round(LEFT + number * step + 1, 1), round(step - 2, 1)
        if value is None:
            gaps.append(Bar(x, TOP, width, bottom - TOP, f"{time}: {not_measured}"))
        else:
            height = max(1.0 if value else 0.0, round(value * (bottom - TOP) / top, 1))
            bars.append(Bar(x, round(bottom - height, 1), width, height, f"{time}: {wording(value)}"))
    lines = [Mark(_height(top * number / LINES, top), wording(top * number / LINES)) for number in range(LINES + 1)]
    marks = [Mark(round(LEFT + number * step, 1), words) for number, words in time_marks]
    bound = Mark(_height(limit[0], top), limit[1]) if limit else None
    return Chart(name, about, bars, gaps, lines, marks, bound)


def _height(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP) / top, 1)


def ceiling(value: float) -> float:
    """The next number that is easily divided by four: 4, 8, 20, 40, 80, 200 and so on."""
    if value <= 0:
        return 4
    power = 10 ** math.floor(math.log10(value))
    for factor in (1, 2, 4, 8, 10):
        if value <= factor * power and (factor * power) % LINES == 0:
            return float(factor * power)
    return float(20 * power)


def marked(count: int, every: int, words: Callable[[int], Any]) -> list[tuple[int, str]]:
    """Every so many of `count` steps, counted back from where there is room for the words."""
    return sorted((number, str(words(number))) for number in range(count - every, -1, -every))
