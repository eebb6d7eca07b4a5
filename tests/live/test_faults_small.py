"""The fault campaign, small: some seconds of it, with the shocks that need no database of their own."""

from pathlib import Path

import pytest
from django.db import connection as database

from tests.faults.campaign import Campaign, report
from tests.faults.site import standing
from tests.live import fire
from tests.live.system import database_url

SHOCKS = (
    "web killed", "worker killed", "listener killed", "broker lost", "CRM: half an answer", "CRM: answer lost after the write",
)  # fmt: skip
SECONDS = 8.0


@pytest.mark.live
@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_what_was_acknowledged_while_everything_was_killed_and_lost_is_on_both_sides_once(tmp_path: Path) -> None:
    said: list[str] = []
    with standing(7, folder=tmp_path, database_url=database_url(), lease=8) as site:
        fire.look_up_soon()
        database.close()
        campaign = Campaign(site, 7, said.append, SHOCKS, pause=(0.0, 0.5), lasts=(1.5, 2.5))
        campaign.each = fire.close_breakers
        outcome = campaign.run(SECONDS)
    assert outcome.ok, "\n".join([*said, report(outcome)])
    assert all(outcome.struck[name] for name in SHOCKS), "every shock has to strike"
    assert all(one.counts["calls once"] and one.counts["people compared"] for one in outcome.verdicts)
    assert outcome.total("edits compared")
    assert outcome.total("events stored")
