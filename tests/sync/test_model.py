"""Whatever happens between our side and the CRMs, in whatever order: nothing is lost, nothing done twice, nothing in silence.

The machine in `tests.sync.model` does what people, CRMs, networks and dying workers do, with the real engine on the database. When
all has come to rest, `tests.sync.model.checks` says what must be true.
"""

import pytest

from tests.sync.model.running import run

EXAMPLES, STEPS = 56, 50
FEWEST = 2000


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_whatever_happens() -> None:
    assert run(EXAMPLES, STEPS, derandomize=True) >= FEWEST
