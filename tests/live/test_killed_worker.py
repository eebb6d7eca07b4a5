import time
from pathlib import Path

import pytest

from config.demo import story
from config.demo.story import PostedCall
from tests.live.system import System, running_system

CALLS = 200


def logged(system: System, posted: dict[str, list[PostedCall]]) -> int:
    return sum(story.audit(tenant, 0, posted[tenant.slug]).total for tenant in system.tenants)


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
@pytest.mark.thorough
def test_a_worker_killed_in_the_middle_of_200_calls_still_logs_each_exactly_once(tmp_path: Path) -> None:
    with running_system(tmp_path, JOB_LEASE_SECONDS="4", SANDBOX_SHARE="0.25") as system:
        for tenant in system.tenants:
            system.processes.run("sync_now", tenant.slug, "--json")
        clients = {tenant.slug: system.client(tenant) for tenant in system.tenants}
        contacts = {slug: story.wait_for_contacts(client, 250, lambda _: None) for slug, client in clients.items()}
        # Every write takes a moment, so that the kill strikes between writes, in the middle of some, or before their answers.
        system.set_faults([{"kind": "slow", "match": "POST|PATCH", "seconds": 0.1}])
        posted = {
            tenant.slug: story.post_calls(
                clients[tenant.slug], contacts[tenant.slug], CALLS // 3 + (position < CALLS % 3)
            )
            for position, tenant in enumerate(system.tenants)
        }
        system.processes.start_worker("first")
        deadline = time.monotonic() + 60
        while logged(system, posted) < CALLS // 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        system.processes.kill("first")
        before = logged(system, posted)
        assert 0 < before < CALLS, "the kill has to strike in the middle"
        system.processes.start_worker("second")
        story.wait_for_logging(clients, posted, lambda _: None, seconds=90)
        audits = [story.audit(tenant, 0, posted[tenant.slug]) for tenant in system.tenants]
        assert all(audit.ok for audit in audits), "\n" + story.table(audits)
        assert sum(audit.total for audit in audits) == CALLS
