"""A connection that gets another account: nothing of the former one reaches the new, and contacts stay."""

import pytest

from integrations.connecting import connect, disconnect
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from integrations.storing import account_replaced
from sync import queue, replacing
from sync.models import Contact, FeedCursor, SyncJob, SyncRecord
from sync.work import work
from tests import factories


@pytest.fixture(autouse=True)
def wired() -> None:
    """As the app does when it is ready."""
    account_replaced.connect(replacing.forget, dispatch_uid="sync_account_replaced")


@pytest.fixture
def replaced(scoped: CrmConnection, fake_crm: SandboxServer) -> CrmConnection:
    """The connection with its links and waiting calls, after another account has taken the place of the first."""
    person = factories.contact(scoped.tenant)
    factories.link(scoped, person, crm_object_type="people", crm_record_id="7")
    factories.cursor(scoped)
    for external_id in ("waiting", "laid aside"):
        call = factories.call(scoped.tenant, person, external_id=external_id)
        state = "ready" if external_id == "waiting" else "dead"
        factories.call_job(scoped, call, payload={"record_id": "7"}, state=state)
    disconnect(scoped)
    fake_crm.service.store.put("account", "current", {"id": "acct-2", "name": "Second"})
    fake_crm.service.store.put("tokens", "current", {"access": "access-9", "refresh": "refresh-9", "dead": False})
    data = {"auth": "oauth", "access_token": "access-9", "refresh_token": "refresh-9", "instance_url": fake_crm.url}
    return connect(scoped.tenant, "fakecrm", data, replace_account=True)[0]


def test_no_waiting_call_is_logged_in_the_new_account(replaced: CrmConnection, fake_crm: SandboxServer) -> None:
    assert not work(replaced.pk)
    assert set(SyncJob.objects.values_list("state", "cause")) == {("dead", queue.FOR_GOOD)}
    assert "This was meant for account acct-1." in SyncJob.objects.all()[0].error
    assert fake_crm.service.store.count("calls") == 0


def test_what_was_laid_aside_cannot_be_tried_again(replaced: CrmConnection) -> None:
    assert queue.replay(SyncJob.objects.all()) == 0


def test_links_and_cursors_go_and_contacts_stay(replaced: CrmConnection) -> None:
    assert not SyncRecord.objects.exists()
    assert not FeedCursor.objects.exists()
    assert Contact.objects.count() == 1
