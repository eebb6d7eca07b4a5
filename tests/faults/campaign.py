"""The fault campaign: mixed traffic on three CRMs while things go wrong at random, then calm, and an audit of both sides.

`script/bench faults` runs it; `BENCH_FAULTS_SECONDS` (600) is how long the shocks last, `BENCH_FAULTS_SEED` repeats the choice
and order of shocks and deeds, `BENCH_FAULTS_BROKER` is `redis` (where redis-server is installed) or `database`.
"""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults import audit, crm_shocks, shocks
from tests.faults.audit import Verdict
from tests.faults.crm_shocks import CrmShocks
from tests.faults.ledger import Ledger
from tests.faults.site import Site, standing
from tests.faults.traffic import Traffic

SECONDS = 600.0
PACES = {"followupboss": 1.2}
PACE = 0.45
"""Mean of seconds between two deeds of a tenant."""
PAUSE = (0.5, 6.0)
CALM_SECONDS = 600.0
REVOKED_AT = (0.25, 0.65)
"""Parts of the time after which a CRM takes our access away."""
CRM_WEIGHT = 3
EXPIRED_WEIGHT = 4
Say = Callable[[str], None]


@dataclass
class Outcome:
    verdicts: list[Verdict] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems and all(one.ok for one in self.verdicts)

    def total(self, kind: str) -> int:
        return sum(one.counts[kind] for one in self.verdicts)


@dataclass
class Campaign:
    site: Site
    seed: int
    say: Say
    only: Sequence[str] = ()
    """Names of shocks; empty for all."""
    pause: tuple[float, float] = PAUSE
    """Seconds between two shocks."""
    lasts: tuple[float, float] = crm_shocks.LASTS
    """Seconds of each shock of a CRM."""
    each: Callable[[], None] = lambda: None
    """Called at every look while it drains."""
    catch_up: Callable[[], None] | None = None
    """How the CRMs are asked for what changed, as the clock does every five minutes; by command if nothing is given."""
    outcome: Outcome = field(default_factory=Outcome)

    def run(self, seconds: float) -> Outcome:
        crm = CrmShocks(self.site, self.lasts)
        traffics = self._traffics()
        for one in traffics:
            one.meet()
        crm.begin()
        for one in traffics:
            one.start()
        self._rage(seconds, crm, traffics)
        self._calm(crm, traffics)
        self._audit(traffics)
        self.outcome.problems += crm.problems
        self.outcome.struck.update({f"requests hit at {slug}": count for slug, count in crm.struck.items()})
        return self.outcome

    def _traffics(self) -> list[Traffic]:
        return [
            Traffic(self.site.web, one, self.seed, PACES.get(one.provider, PACE), Ledger()) for one in self.site.tenants
        ]

    # --- the rage -----------------------------------------------------------------------------------------------------

    def _rage(self, seconds: float, crm: CrmShocks, traffics: list[Traffic]) -> None:
        draw, began = Random(self.seed), time.monotonic()
        deck = self._deck(crm, traffics)
        revocations = [part * seconds for part in REVOKED_AT] if not self.only or "access revoked" in self.only else []
        once = list(deck)  # each at least once, in any order, and then by weight
        draw.shuffle(once)
        while once or time.monotonic() - began < seconds:
            time.sleep(draw.uniform(*self.pause))
            if revocations and time.monotonic() - began > revocations[0]:
                revocations.pop(0)
                self._note("access revoked", crm.revoke(draw))
            name = once.pop() if once else draw.choices(list(deck), [weight for _, weight in deck.values()])[0]
            self._note(name, deck[name][0](draw))

    def _deck(self, crm: CrmShocks, traffics: list[Traffic]) -> dict[str, tuple[Callable[[Random], str], int]]:
        deck: dict[str, tuple[Callable[[Random], str], int]] = {}
        for name, (shock, weight) in shocks.of_the_machine(traffics).items():
            deck[name] = (lambda draw, shock=shock: shock(self.site, draw), weight)  # type: ignore[misc]
        for kind in crm_shocks.KINDS:
            deck[f"CRM: {kind}"] = (lambda draw, kind=kind: crm.strike(kind, draw), CRM_WEIGHT)  # type: ignore[misc]
        deck["tokens expire"] = (crm.tokens_expire, EXPIRED_WEIGHT)
        return {name: one for name, one in deck.items() if not self.only or name in self.only}

    def _note(self, name: str, what: str) -> None:
        self.outcome.struck[name] += bool(what)
        self.say(f"{name}: {what or 'not possible here'}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def _calm(self, crm: CrmShocks, traffics: list[Traffic]) -> None:
        for thread in crm.revocations:
            thread.join()
        for one in traffics:
            one.stop()
        for one in traffics:
            one.join(timeout=300)
            if one.trouble or one.is_alive():
                self.outcome.problems.append(f"The {one.name} ended early or not at all: {one.trouble}")
        crm.calm()
        self.say("calm")
        began = time.monotonic()
        while not self.site.answers() and time.monotonic() - began < CALM_SECONDS:
            time.sleep(0.5)
        if not audit.drained(self.site, CALM_SECONDS, self.say, self.each):
            self.outcome.problems.append(f"Work was left after {CALM_SECONDS:.0f} s of calm.")
        self.say(f"drained in {time.monotonic() - began:.0f} s")
        (self.catch_up or self._catch_up)()
        if not audit.drained(self.site, CALM_SECONDS, self.say, self.each):
            self.outcome.problems.append("Work was left after catching up.")

    def _catch_up(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: self.site.processes.run("sync_now", one.slug, "--json"), self.site.tenants))

    def _audit(self, traffics: list[Traffic]) -> None:
        for one in traffics:
            self.outcome.verdicts.append(audit.audit(self.site, one.tenant, one.ledger))
            self.say(f"{one.tenant.provider}: {dict(one.ledger.sent)}, answers {dict(one.ledger.answers)}")
        self.say(f"deliveries: {dict(self.site.wire.statuses)}, {dict(self.site.wire.seen)}")


def bench_faults() -> None:
    """Ends with exit code 1 when anything was lost, doubled or wrong."""
    seconds = float(os.environ.get("BENCH_FAULTS_SECONDS", SECONDS))
    seed = int(os.environ.get("BENCH_FAULTS_SEED") or time.time_ns() % 1_000_000)
    only = [name.strip() for name in os.environ.get("BENCH_FAULTS_ONLY", "").split(",") if name.strip()]
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"faults     {time.monotonic() - began:5.0f} s  {text}", flush=True)

    say(f"seed {seed}, {seconds:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    folder.chmod(0o755)
    redis = os.environ.get("BENCH_FAULTS_BROKER", "redis") == "redis"
    with standing(seed, folder=folder, with_redis=redis, own_disk=True) as site:
        queue = "Redis" if site.redis_port else "database"
        say(f"queue: {queue}, own disk: {site.own_disk}, wrong clocks: {bool(site.clock_library)}")
        outcome = Campaign(site, seed, say, only).run(seconds)
    if not os.environ.get("BENCH_FAULTS_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    print(report(outcome), flush=True)
    if not outcome.ok:
        raise SystemExit(1)


def report(outcome: Outcome) -> str:
    lines = [
        audit.table(outcome.verdicts),
        "",
        "shocks: " + ", ".join(f"{count} × {name}" for name, count in outcome.struck.most_common()),
    ]
    lines += outcome.problems
    for one in outcome.verdicts:
        lines += one.told[: audit.MOST_TOLD]
    lines.append(", ".join(f"{kind} {outcome.total(kind)}" for kind in ("lost", "doubled", "wrong")))
    return "\n".join(lines)
