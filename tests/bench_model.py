"""The model of both sides with random seeds: many more steps than the test suite takes, and each failure it finds."""

import time
import traceback

STEPS = 20_000
LONGEST = 50
"""Steps of one example."""
EXAMPLES = 20
"""Of one round; a failure ends its round, not the others."""


def bench_model() -> None:
    """Prints the steps taken and, for each failure, the shortest way to it that was found."""
    from tests.sync.model.machine import BothSides
    from tests.sync.model.running import run

    taken, failures, started = 0, 0, time.perf_counter()
    while taken < STEPS:
        try:
            run(EXAMPLES, LONGEST, print_blob=True)
        except AssertionError:
            failures += 1
            traceback.print_exc()
        taken += max(BothSides.steps, 1)
    seconds = time.perf_counter() - started
    print(
        f"model      {failures:5d} failures in {taken:,} steps   {seconds:.0f} s, {seconds / taken * 1000:.0f} ms a step"
    )
