"""The first load takes as much memory for a large organisation as for one twice as large."""

import pytest

from tests.bench_bulk import bulk_pull

MOST_MB = 300


@pytest.mark.live
@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_twice_as_many_leads_take_no_more_memory() -> None:
    half, whole = bulk_pull(20_000), bulk_pull(40_000)
    assert (half["records"], whole["records"]) == (20_000, 40_000)
    assert whole["peak_mb"] < half["peak_mb"] * 1.2
    assert whole["peak_mb"] < MOST_MB
    assert whole["requests"] < 20
