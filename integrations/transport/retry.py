"""When to try again. Pure: attempts, the service's wish and a random number in; seconds out."""

MAX_RETRIES = 5
LONGEST = 16.0
JITTER = 0.25


def delay(attempt: int, *, after: float | None = None, random: float = 0.5) -> float:
    """Seconds before retry number `attempt` (1 is the first): 1, 2, 4, 8, 16 and up to a quarter more, or the service's wish.

    `random` is between 0 and 1. A wish longer than the series wins; it gets its jitter too, so that not all wait for the
    same instant.
    """
    base = max(min(LONGEST, 2.0 ** (attempt - 1)), after or 0.0)
    return base + min(base, LONGEST) * JITTER * random


def exhausted(attempts: int) -> bool:
    """Whether a piece of work that was tried so often (the first time included) has used up its retries."""
    return attempts > MAX_RETRIES
