"""A small share of `script/bench fuzz`, with the same seed: whatever comes is taken whole or refused, soon, and within memory."""

from typing import Any

from tests.attacks import pure
from tests.attacks.doors import Doors
from tests.attacks.fuzzing import Campaign, Target
from tests.attacks.world import make_world

AT_THE_DOORS, WITHIN = 600, 1400


def findings(targets: tuple[Target, ...], inputs: int) -> str:
    shares = sum(one.share for one in targets)
    campaign = Campaign()
    campaign.run(targets, inputs * 1000 // shares)
    assert campaign.inputs >= inputs - len(targets)
    return "\n".join(map(str, campaign.findings))


def test_nothing_hostile_at_the_doors_does_harm(db: None, settings: Any) -> None:
    assert not findings(Doors(make_world(settings)).targets(), AT_THE_DOORS)


def test_nothing_hostile_inside_does_harm() -> None:
    try:
        assert not findings(pure.TARGETS, WITHIN)
    finally:
        pure.close()
