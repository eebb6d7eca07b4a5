"""Which CRM user an agent is: by hand, else by e-mail; and what it costs."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from activities import advice, agents
from activities.models import CrmAgent
from integrations.errors import FixConfig
from integrations.models import CrmConnection, Tenant
from integrations.records.connections import CrmUser
from sync import health
from sync.models import SyncJob
from sync.queue import Claim
from tests import factories

pytestmark = pytest.mark.usefixtures("everyone")

JANE = CrmUser("u-1", "Jane@Example.com", "Jane Doe")
JOE = CrmUser("u-2", "joe@example.com", "Joe Bloggs")


def test_an_agent_is_the_active_user_with_the_address(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE, CrmUser("u-3", "left@example.com", active=False)])
    found = agents.ids(connection.pk, ["JANE@example.com ", "left@example.com", "nobody@example.com", ""])
    assert found == {"JANE@example.com ": "u-1"}


def test_what_was_said_by_hand_goes_before_the_address(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE, JOE])
    factories.agent_override(connection, agent_email="jane@example.com", crm_user_id="u-2")
    factories.agent_override(connection, agent_email="bot@example.com", crm_user_id="")
    assert agents.ids(connection.pk, ["jane@example.com", "bot@example.com"]) == {
        "jane@example.com": "u-2",
        "bot@example.com": "",
    }


def test_a_chosen_user_who_has_left_is_nobody(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE, JOE])
    factories.agent_override(connection, agent_email="jane@example.com", crm_user_id="u-2")
    agents.keep(connection, [JANE])
    assert agents.ids(connection.pk, ["jane@example.com"]) == {"jane@example.com": ""}
    assert [row.is_active for row in CrmAgent.objects.order_by("crm_user_id")] == [True, False]


def test_of_two_users_with_one_address_it_is_always_the_same(connection: CrmConnection) -> None:
    agents.keep(connection, [CrmUser("u-9", JANE.email), JANE])
    assert agents.ids(connection.pk, ["jane@example.com"]) == {"jane@example.com": "u-1"}


def test_users_of_another_connection_are_nobody_here(connection: CrmConnection, stranger: Tenant) -> None:
    agents.keep(factories.connection(stranger), [JANE])
    assert agents.ids(connection.pk, ["jane@example.com"]) == {}


def test_any_number_of_agents_takes_two_queries(connection: CrmConnection) -> None:
    agents.keep(connection, [CrmUser(f"u-{number}", f"a{number}@example.com") for number in range(50)])
    with CaptureQueriesContext(database) as queries:
        found = agents.ids(connection.pk, [f"a{number}@example.com" for number in range(50)])
    assert len(found) == 50
    assert len(queries) == 2


class _Staff:
    def __init__(self, users: Any) -> None:
        self._users = users

    def users(self) -> Any:
        if isinstance(self._users, Exception):
            raise self._users
        return self._users


def _claim(connection: CrmConnection) -> Claim:
    agents.enqueue([connection])
    job = SyncJob.objects.get(kind=agents.KIND)
    return Claim(uuid4(), factories.now(), [job])


@pytest.mark.parametrize("answer", [[], FixConfig("Owners may not be read.")], ids=["nobody", "forbidden"])
def test_a_crm_that_shows_no_users_leaves_what_was_known(connection: CrmConnection, answer: Any) -> None:
    agents.keep(connection, [JANE])
    result = agents.ReadAgents().work(_Staff(answer), _claim(connection))  # type: ignore[arg-type]
    assert [one.state for one in result.outcomes] == ["done"]
    assert CrmAgent.objects.get().is_active


def test_reading_the_users_again_updates_them(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE])
    agents.ReadAgents().work(_Staff([CrmUser("u-1", "jane@new.example.com", "Jane Roe")]), _claim(connection))  # type: ignore[arg-type]
    assert (CrmAgent.objects.get().email, CrmAgent.objects.get().name) == ("jane@new.example.com", "Jane Roe")


def test_users_are_read_once_a_day_of_working_connections(connection: CrmConnection, tenant: Tenant) -> None:
    factories.connection(tenant, status="paused")
    agents.enqueue_all()
    agents.enqueue_all()
    assert [job.connection_id for job in SyncJob.objects.filter(kind=agents.KIND)] == [connection.pk]
    SyncJob.objects.all().delete()
    agents.keep(connection, [JANE])
    agents.enqueue_all()
    assert not SyncJob.objects.exists()
    CrmAgent.objects.update(seen_at=factories.now() - timedelta(hours=21))
    agents.enqueue_all()
    assert SyncJob.objects.count() == 1


# --- who is missing ----------------------------------------------------------------------------------------------------


def test_agents_without_a_user_are_reported_with_their_calls_and_a_suggestion(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE, JOE])
    owner = connection.tenant
    for email in ("jane.doe@dialer.example", "Jane.Doe@dialer.example", "joe@example.com", "x@dialer.example", ""):
        factories.call(owner, agent_email=email)
    found = [(one.email, one.calls, one.suggested and one.suggested.name) for one in agents.unmapped([connection])]
    assert found == [("jane.doe@dialer.example", 2, "Jane Doe"), ("x@dialer.example", 1, None)]


@pytest.mark.parametrize("address", ["jane.doe", "janedoe", "jdoe", "doe.jane", "janed", "JANE-DOE"])
def test_a_user_is_suggested_by_name(connection: CrmConnection, address: str) -> None:
    agents.keep(connection, [JANE, JOE])
    factories.call(connection.tenant, agent_email=f"{address}@dialer.example")
    (found,) = agents.unmapped([connection])
    assert found.suggested is not None
    assert found.suggested.name == "Jane Doe"


def test_nobody_is_missing_once_it_was_said_who_they_are(connection: CrmConnection) -> None:
    agents.keep(connection, [JANE])
    factories.call(connection.tenant, agent_email="a@dialer.example")
    factories.call(connection.tenant, agent_email="b@dialer.example")
    factories.agent_override(connection, agent_email="a@dialer.example", crm_user_id="u-1")
    factories.agent_override(connection, agent_email="b@dialer.example", crm_user_id="")
    assert agents.unmapped([connection]) == []


def test_of_a_crm_whose_users_were_never_read_nothing_is_said(connection: CrmConnection) -> None:
    factories.call(connection.tenant, agent_email="a@dialer.example")
    assert agents.unmapped([connection]) == []


def test_health_warns_of_calls_without_an_owner_until_it_is_mended(connection: CrmConnection) -> None:
    factories.cursor(connection)
    factories.call(connection.tenant, agent_email="a@dialer.example")
    agents.keep(connection, [JANE])
    (card,) = health.cards()
    assert (card.level, card.headline) == ("warning", "In 24 hours 1 call was logged without an owner")
    assert card.notices[0].url.endswith(f"/agentoverride/report/?tenant={connection.tenant_id}")
    factories.agent_override(connection, agent_email="a@dialer.example", crm_user_id="u-1")
    advice.refresh_all()
    (card,) = health.cards()
    assert (card.level, card.notices) == ("good", ())
