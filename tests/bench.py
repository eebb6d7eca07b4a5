"""Benchmarks, as ratios to a bare floor in the same run: `script/bench [--quick] [--json FILE] [--against FILE] [NAME …]`.

docs/benchmarks.md tells what each does. `--quick` runs all of them small, and tells which figure is under its aim.
"""

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

from tests import bench_table

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))

BENCHES = {
    "mapping": "tests.bench_mapping:bench_mapping",
    "ingest": "tests.bench_http:bench_ingest",
    "webhooks": "tests.bench_http:bench_webhooks",
    "bulk": "tests.bench_bulk:bench_bulk",
    "first_load": "tests.bench_sync:bench_load",
    "load_memory": "tests.bench_sync:bench_memory",
    "outbound": "tests.bench_sync:bench_outbound",
    "matching": "tests.bench_sync:bench_matching",
    "pages": "tests.bench_sync:bench_growth",
    "limits": "tests.bench_limits:bench_limits",
    "fuzz": "tests.bench_fuzz:bench_fuzz",
    "growth": "tests.bench_growth:bench_growth",
    "memory": "tests.bench_memory:bench_memory",
    "admin": "tests.bench_load:bench_admin",
    "load": "tests.bench_load:bench_load",
    "calls": "tests.bench_calls:bench_calls",
    "model": "tests.bench_model:bench_model",
    "machines": "tests.machines.bench:bench_machines",
    "faults": "tests.faults.campaign:bench_faults",
}
ONLY_BY_NAME = {"calls", "model", "load", "machines", "faults"}
"""They take a quarter of an hour, or are made of others."""
NOT_QUICK = {"calls", "model", "bulk", "load_memory", "machines", "faults", "growth", "memory", "load"}
"""`load` would do most of the others once more."""
AIMS = (
    ("mapping", "floor", 0.4), ("ingest", "floor", 0.5), ("webhooks", "floor", 0.6), ("load", "floor", 0.5),
    ("growth", "pace", 0.8), ("memory", "twice", 0.8),
)  # fmt: skip
"""Of figures that are only printed: name, words after the figure, the least ratio."""
QUICK = {
    "BENCH_ROUNDS": "2", "BENCH_LOAD": "500", "BENCH_PAIRS": "1", "BENCH_PAGES": "5", "BENCH_UPDATES": "1000",
    "BENCH_CONTACTS": "15000",
    "BENCH_FUZZ": "1000", "BENCH_SECONDS": "18", "BENCH_PROCESSES": "3", "BENCH_GROWTH": "2000x1,4000x30",
    "BENCH_WORLD": "4000x30", "BENCH_TIMES": "2", "BENCH_MEMORY": "0.03",
}  # fmt: skip
"""Sizes of a quick run, where the environment has no others."""


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, ours: Callable[[], object], floor: Callable[[], object], what: str) -> None:
    """Runs both in turn, so that a busy machine slows both, and prints the median of the ratios floor/ours."""
    ours(), floor()
    pairs = [(seconds(ours), seconds(floor)) for _ in range(ROUNDS)]
    ratio = median(bare / mine for mine, bare in pairs)
    fastest, bare = median(mine for mine, _ in pairs), median(bare for _, bare in pairs)
    print(f"{name:<10} {ratio:5.2f} of the floor   ours {fastest * 1000:8.1f} ms, floor {bare * 1000:8.1f} ms   {what}")


def main(arguments: Sequence[str]) -> int:
    asked = _parse(arguments)
    unknown = sorted(set(asked.names) - set(BENCHES))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    left_out = NOT_QUICK if asked.quick else ONLY_BY_NAME
    names = asked.names or [one for one in BENCHES if one not in left_out]
    if asked.quick:
        os.environ.update({name: value for name, value in QUICK.items() if name not in os.environ})
    django.setup()
    started = time.monotonic()
    with bench_table.overhearing(sys.stdout, AIMS):
        failed = _run(names)
    took = time.monotonic() - started
    _tell(asked, took)
    for one in failed:
        print(f"FAILED  {one}")
    return 1 if failed else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/bench", description=__doc__, epilog=f"There are: {', '.join(BENCHES)}."
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="all of them, small, in some minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures there, to compare runs")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="compares with what --json wrote in an earlier run"
    )
    return parser.parse_args(arguments)


def _run(names: Sequence[str]) -> list[str]:
    """All on one database of their own. Gives what went wrong: one that fails leaves the others their table."""
    from django.template.base import Template
    from django.test.utils import setup_test_environment

    from tests.bench_database import own_database

    template: Any = Template
    bare = template._render
    setup_test_environment()
    template._render = bare  # that of the tests copies the whole context for each template
    failed = []
    with own_database():
        for name in names:
            module, _, function = BENCHES[name].partition(":")
            try:
                getattr(import_module(module), function)()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - told below, with the exit code
                traceback.print_exc()
                failed.append(f"{name}: {type(error).__name__}: {error}")
    return failed


def _tell(asked: argparse.Namespace, took: float) -> None:
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    machine = f"{os.cpu_count()} cores, load {load}, Python {platform.python_version()}"
    print(f"\n{bench_table.table(bench_table.FIGURES)}\n{took:.0f} s; {machine}")
    if asked.against:
        print(f"\nRatios since {asked.against}:\n{bench_table.compared(asked.against, bench_table.FIGURES)}")
    if asked.json:
        bench_table.write_json(asked.json, bench_table.FIGURES, {"machine": machine, "seconds": round(took)})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
