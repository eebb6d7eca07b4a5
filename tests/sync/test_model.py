"""Whatever happens between our side and the CRMs, in whatever order: nothing is lost, nothing done twice, nothing in silence.

The machine in `tests.sync.model` does what people, CRMs, networks and dying workers do, with the real engine on the database. When
all has come to rest, `tests.sync.model.checks` says what must be true.
"""

import pytest

from tests.sync.model.running import run

STEPS = 50


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("examples", "fewest"), [(8, 280), pytest.param(56, 2000, marks=pytest.mark.thorough)], ids=["some", "many"]
)
def test_nothing_is_lost_whatever_happens(examples: int, fewest: int) -> None:
    assert run(examples, STEPS, derandomize=True) >= fewest
