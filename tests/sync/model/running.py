"""Runs the state machine: in the test suite always the same way, elsewhere at random."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from integrations import registry
from tests.sync.model.machine import BothSides

MODELS = {
    "telling": ("Telling CRM", "tests.sync.model"),
    "silent": ("Silent CRM", "tests.sync.model.silent"),
}


@contextmanager
def models() -> Iterator[None]:
    """The CRMs in memory are known, and nobody is woken: the machine says who works when."""
    registry.provider_class.cache_clear()
    with ExitStack() as stack:
        stack.enter_context(patch.dict(registry.PROVIDERS, MODELS))
        for module in ("queue", "inbox"):
            stack.enter_context(patch(f"sync.{module}.async_task", lambda *_given: None))
        stack.enter_context(patch("sync.work.log.exception", _raise_again))
        stack.enter_context(patch("sync.fetching.log.error", _raise_again))
        yield
    registry.provider_class.cache_clear()


def _raise_again(*_told: Any, **_more: Any) -> None:
    """A fault in our own code, which a worker would lay aside, ends the run."""
    error = sys.exception()
    raise AssertionError(f"A fault in our own code: {error!r}") from error


def run(examples: int, steps: int, **more: Any) -> int:
    """Returns how many steps were taken. Raises what was found, after the shortest way to it was printed."""
    BothSides.steps = 0
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
    with models():
        run_state_machine_as_test(BothSides, settings=chosen)
    return BothSides.steps
