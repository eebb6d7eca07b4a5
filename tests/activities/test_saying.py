"""What a CRM is given of a call: the tenant's notes, and the agent's user, without asking the CRM for either."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from activities import agents
from activities.agreements import SetFollowUps
from activities.models import Call
from activities.writer import LogCalls
from integrations.models import CrmConnection
from integrations.records.connections import CrmUser
from integrations.records.remote import Written
from sync.models import Contact
from sync.queue import Claim
from tests import factories
from tests.fake_crm.provider import Provider

pytestmark = pytest.mark.usefixtures("everyone")


class Listening(Provider):
    """Takes everything and keeps what it was given; who asks it for its users fails."""

    follow_up_type = "tasks"

    def __init__(self) -> None:
        self.given: list[Any] = []

    def log_calls(self, calls: Any) -> list[Written]:
        self.given += calls
        return [Written(one.key) for one in calls]

    def set_follow_ups(self, follow_ups: Any) -> list[Written]:
        return self.log_calls(follow_ups)

    def users(self) -> Any:
        raise AssertionError("The CRM was asked for its users.")


def given(connection: CrmConnection, calls: list[Call], handler: Any = None) -> list[Any]:
    jobs = [factories.call_job(connection, call, payload={"object_type": "people", "record_id": "7"}) for call in calls]
    provider = Listening()
    (handler or LogCalls()).work(provider, Claim(uuid4(), factories.now(), jobs))
    return provider.given


def test_the_notes_are_by_the_tenants_template(connection: CrmConnection, contact: Contact) -> None:
    factories.call_settings(
        connection.tenant, note_template="{{disposition}}: {{notes}}{{^summary}} (no summary){{/summary}}"
    )
    (one,) = given(connection, [factories.call(connection.tenant, contact, notes="<b>Bold</b> & {{agent}}")])
    assert one.notes == "Connected: <b>Bold</b> & {{agent}} (no summary)"


@pytest.mark.parametrize(
    ("email", "user", "told"),
    [
        ("Jane@example.com", "u-1", "Jane@example.com"),
        ("joe@dialer.example", "u-1", "joe@dialer.example"),
        ("bot@dialer.example", "", ""),
        ("nobody@dialer.example", "", "nobody@dialer.example"),
        ("", "", ""),
    ],
    ids=["by address", "by hand", "nobody, by hand", "unknown", "no agent"],
)
@pytest.mark.parametrize("handler", [LogCalls(), SetFollowUps()], ids=["call", "follow-up"])
def test_the_owner_is_the_agents_user(
    connection: CrmConnection, contact: Contact, email: str, user: str, told: str, handler: Any
) -> None:
    agents.keep(connection, [CrmUser("u-1", "jane@example.com", "Jane Doe")])
    factories.agent_override(connection, agent_email="joe@dialer.example", crm_user_id="u-1")
    factories.agent_override(connection, agent_email="bot@dialer.example", crm_user_id="")
    call = factories.call(
        connection.tenant, contact, agent_email=email, follow_up={"due_at": "2026-02-01T10:00:00Z", "title": "Ring"}
    )
    (one,) = given(connection, [call], handler)
    assert (one.agent_id, one.agent_email) == (user, told)


def test_a_batch_costs_no_more_statements_than_one_call(connection: CrmConnection, contact: Contact) -> None:
    calls = [factories.call(connection.tenant, contact, agent_email=f"a{number}@x.example") for number in range(20)]
    given(connection, calls[:1])
    jobs = [
        factories.call_job(connection, call, payload={"object_type": "people", "record_id": "7"}) for call in calls[1:]
    ]
    counts = []
    for some in (jobs[:1], jobs[1:]):
        with CaptureQueriesContext(database) as statements:
            LogCalls().work(Listening(), Claim(uuid4(), factories.now(), some))
        counts.append(len(statements))
    assert counts[0] == counts[1]
