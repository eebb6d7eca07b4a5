"""A cause that nobody can see to now is silenced: it lies apart, nobody is alerted, and it comes back by itself."""

import re
from datetime import timedelta

from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from integrations import tenancy
from integrations.models import AuditEntry, CrmConnection, Tenant
from sync.alerting.conditions import find
from sync.models import FailureAction, FailureCause
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.admin.test_actions import said
from tests.admin.test_causes import address, admin_client, kill, ours, theirs, titles

__all__ = ["admin_client", "ours", "theirs"]
NO_FIELDS = "FIELD_CUSTOM_VALIDATION_EXCEPTION: Only managers."


def snooze(client: Client, mark: str, how: str = "day") -> str:
    return said(client, address("cause_snooze", of=mark), {"how": how})


def apart(client: Client) -> str:
    """What the page of causes says below its cards."""
    return pages.html(client, address("causes")).partition('id="silenced"')[2]


def menu_says(client: Client, count: int) -> bool:
    """Whether the entry of what needs help has that number."""
    return bool(re.search(rf">\s*{count}\s*</span>", pages.html(client, address("causes"))))


def wrong() -> list[str]:
    """What people would be alerted to now."""
    return [one.kind for one in find(timezone.now())]


def test_a_silenced_cause_lies_apart_until_its_time_is_over(ours: CrmConnection, admin_client: Client) -> None:
    mark = kill(ours)
    kill(ours, error_detail=NO_FIELDS)
    assert len(titles(admin_client)) == 2
    assert "Snoozed: Contacts can" in snooze(admin_client, mark)
    assert len(titles(admin_client)) == 1
    assert "Salesforce requires Company" in apart(admin_client)
    assert "by admin-of-acme" in apart(admin_client)
    with tenancy.everyone():
        row = FailureCause.objects.get(fingerprint=mark)
        assert timedelta(hours=23) < row.snoozed_until - timezone.now() <= timedelta(days=1)
        FailureCause.objects.filter(pk=row.pk).update(snoozed_until=timezone.now() - timedelta(seconds=1))
    assert len(titles(admin_client)) == 2
    assert apart(admin_client) == ""


def test_one_that_is_silenced_until_it_grows_comes_back_with_the_next_failure(
    ours: CrmConnection, admin_client: Client
) -> None:
    mark = kill(ours, 2)
    snooze(admin_client, mark, "grows")
    assert titles(admin_client) == []
    assert "until more of it fails" in apart(admin_client)
    assert kill(ours, key="one more") == mark
    assert len(titles(admin_client)) == 1


def test_it_is_taken_back_with_one_button_and_all_of_it_is_kept(
    ours: CrmConnection, admin_client: Client, tenant: Tenant
) -> None:
    mark = kill(ours)
    snooze(admin_client, mark, "week")
    assert "End snooze" in pages.html(admin_client, address("cause", of=mark))
    assert "Snooze ended" in said(admin_client, address("cause_wake", of=mark))
    assert len(titles(admin_client)) == 1
    with tenancy.everyone():
        done = FailureAction.objects.filter(fingerprint=mark).order_by("pk").values_list("what", "reason", "by")
        assert list(done) == [("snooze", "for a week", "admin-of-acme"), ("wake", "", "admin-of-acme")]
        noted = AuditEntry.objects.filter(tenant=tenant, kind="sync.failurecause").order_by("pk")
        assert [one.details.partition(":")[0] for one in noted] == ["Snoozed", "Snooze ended"]
    assert "for a week" in pages.html(admin_client, address("cause", of=mark))


def test_alerts_leave_it_out_and_the_first_page_too(ours: CrmConnection, admin_client: Client) -> None:
    mark = kill(ours, 30)
    assert "error_rate" in wrong()
    assert "Salesforce requires Company" in pages.html(admin_client, "/admin/")
    assert menu_says(admin_client, 30)
    snooze(admin_client, mark)
    assert not menu_says(admin_client, 30)
    assert "error_rate" not in wrong()
    assert "Salesforce requires Company" not in pages.html(admin_client, "/admin/")
    kill(ours, 30, error_detail=NO_FIELDS)
    assert [one.facts["failed"] for one in find(timezone.now()) if one.kind == "error_rate"] == [30]


def test_a_tenant_silences_its_own_and_support_everybodys(
    ours: CrmConnection, theirs: CrmConnection, admin_client: Client, support_client: Client
) -> None:
    mark = kill(ours)
    assert kill(theirs) == mark
    snooze(admin_client, mark)
    assert len(titles(support_client)) == 1, "another tenant still has it"
    snooze(support_client, mark, "hour")
    assert titles(support_client) == []
    assert len(apart(support_client).split("End snooze")) == 2
    said(support_client, address("cause_wake", of=mark, tenant=ours.tenant_id))
    assert len(titles(admin_client)) == 1
    with tenancy.everyone():
        assert FailureCause.objects.exclude(snoozed_until=None).get().tenant_id == theirs.tenant_id


def test_nobody_silences_what_is_not_theirs_or_by_a_link(
    ours: CrmConnection, theirs: CrmConnection, admin_client: Client, tenant: Tenant, sign_in: SignIn
) -> None:
    mark = kill(theirs, error_detail=NO_FIELDS)
    assert admin_client.post(address("cause_snooze", of=mark), {"how": "day"}).status_code == 404
    own = kill(ours)
    admin_client.get(address("cause_snooze", of=own, how="day"))
    admin_client.post(address("cause_snooze", of=own), {"how": "ever"})
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename="view_syncjob"))
    client = sign_in(looker)
    assert client.post(address("cause_snooze", of=own), {"how": "day"}).status_code == 403
    assert "Not now" not in pages.html(client, address("cause", of=own))
    with tenancy.everyone():
        assert not FailureAction.objects.exists()
