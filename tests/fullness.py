"""How full a sliding window was, from what the vendor's side saw."""

from bisect import bisect_right
from collections.abc import Sequence


def mean_use(times: Sequence[float], quota: int, window: float, until: float, steps: int = 2000) -> float:
    """The part of the quota that was used in the `window` seconds before a moment, in the mean of all moments.

    Counted from when the first window can have been full: a burst at the beginning counts for no more than its window, and a slow
    one takes nothing from what comes after.
    """
    ordered = sorted(times)
    begins = ordered[0] + window
    moments = [begins + (until - begins) * (step + 0.5) / steps for step in range(steps)]
    counts = (bisect_right(ordered, at) - bisect_right(ordered, at - window) for at in moments)
    return sum(counts) / (quota * steps)


def overdrawn(times: Sequence[float], quota: int, window: float) -> int:
    """How many requests came before the one `quota` places ahead of them had left the window."""
    ordered = sorted(times)
    return sum(late - early < window for early, late in zip(ordered, ordered[quota:], strict=False))
