"""`script/bench fuzz`: a hundred thousand hostile inputs at the doors and inside. It fails when one does harm."""

import os
import time


def bench_fuzz() -> None:
    """BENCH_FUZZ inputs (100,000) with the seed BENCH_FUZZ_SEED (7); a finding names the seed of its one input."""
    from django.conf import settings

    from tests.attacks import pure
    from tests.attacks.doors import Doors
    from tests.attacks.fuzzing import Campaign
    from tests.attacks.world import make_world

    total, seed = int(os.environ.get("BENCH_FUZZ", "100000")), os.environ.get("BENCH_FUZZ_SEED", "7")
    targets = (*Doors(make_world(settings)).targets(), *pure.TARGETS)
    shares = sum(one.share for one in targets)
    campaign, started = Campaign(seed), time.perf_counter()
    campaign.run(targets, -(-total * 1000 // shares) + len(targets))
    pure.close()
    took = time.perf_counter() - started
    print(
        f"fuzz       {'input':<26} {'inputs':>7} {'refused':>8} {'taken':>7} {'harm':>5}  {'p50':>8} {'p99':>8} {'longest':>8}"
    )
    for name, row in campaign.rows.items():
        counts = [row.outcomes[one] for one in ("refused", "taken", "finding")]
        times = [f"{row.share(part) * 1000:6.1f}ms" for part in (0.5, 0.99, 1.0)]
        print(
            f"fuzz       {name:<26} {len(row.seconds):>7,} {counts[0]:>8,} {counts[1]:>7,} {counts[2]:>5}  {' '.join(times)}"
        )
    harm = sum(row.outcomes["finding"] for row in campaign.rows.values())
    print(
        f"fuzz       {campaign.inputs:,} inputs of seed {seed} in {took:.0f} s, {harm} did harm; memory "
        f"{campaign.started_mb:.0f} to {campaign.peak_mb:.0f} MB, a sandbox for expressions {campaign.child_mb:.0f} MB at most"
    )
    for finding in campaign.findings:
        print(f"fuzz       {finding}")
    if campaign.findings:
        raise SystemExit(1)
