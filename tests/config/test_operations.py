"""The operator's book says something of every alert, and names only what exists."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from config.metrics import GAUGES
from sync.models import AlertKind

BOOK = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
OTHER_METRICS = {"calls", "crm_requests_total", "database_up", "build_info"}


@pytest.mark.parametrize("kind", AlertKind.values)
def test_every_alert_has_a_section_that_says_what_it_means_where_to_look_and_what_to_do(kind: str) -> None:
    section = BOOK.partition(f"\n## Alert: {kind}\n")[2].partition("\n## ")[0]
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert len(section.partition(part)[2].split("\n\n")[0]) > 40, f"{kind} lacks {part}"


def test_no_section_is_about_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^## Alert: (\w+)$", BOOK, re.M)) == set(AlertKind.values)


def test_every_command_in_it_exists() -> None:
    assert set(re.findall(r"manage\.py (\w+)", BOOK)) <= set(get_commands())


def test_every_metric_in_it_exists() -> None:
    known = {gauge.name for gauge in GAUGES.values()} | OTHER_METRICS
    assert set(re.findall(r"dialbridge_([a-z_]+)", BOOK)) <= known
