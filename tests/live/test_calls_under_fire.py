from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

import pytest

from config.demo import story
from tests.live import fire
from tests.live.system import running_system

CALLS = 300
SECONDS = 120.0


@pytest.mark.thorough
@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_lost_answers_refusals_and_killed_workers_leave_each_call_and_what_was_agreed_in_it_exactly_once(
    tmp_path: Path,
) -> None:
    with running_system(tmp_path, JOB_LEASE_SECONDS="6") as system:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: system.processes.run("sync_now", one.slug, "--json"), system.tenants))
        contacts = {one.slug: [*filter(itemgetter("links"), system.client(one).contacts())] for one in system.tenants}
        fire.look_up_soon()
        system.set_faults(fire.FAULTS)
        shares = fire.shares(system.tenants, CALLS, singly=10)
        posted = {one.slug: fire.post(system, one, contacts[one.slug], shares[one.slug]) for one in system.tenants}
        killed = fire.burn(system, seconds=SECONDS, kill_every=3.0, kills=4)
        assert killed >= 2, "the fire has to strike"
        assert min(fire.struck(system).values()) > 0
        assert (fire.dead_jobs(), fire.open_jobs()) == ({}, 0)
        audits = [story.audit(tenant, 0, posted[tenant.slug].calls) for tenant in system.tenants]
        assert all(audit.ok for audit in audits), "\n" + story.table(audits)
        assert sum(audit.total for audit in audits) == CALLS
        assert not [wrong for tenant in system.tenants for wrong in fire.agreed_wrong(tenant, posted[tenant.slug])]
        for tenant in system.tenants:
            fire.take_back(system, tenant, posted[tenant.slug], every=2)
        fire.burn(system, seconds=SECONDS, kill_every=3.0, kills=2)
        assert (fire.dead_jobs(), fire.open_jobs()) == ({}, 0)
        assert sum(len(one.taken_back) for one in posted.values()) > 20
        assert not [wrong for tenant in system.tenants for wrong in fire.agreed_wrong(tenant, posted[tenant.slug])]
        system.processes.kill("sandbox")  # else it takes its time to end
