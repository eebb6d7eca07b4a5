"""One person, exported and erased: everything that is held of them is found, and nothing of them is left or comes back."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from activities import person, person_erasing
from activities.forgetting import SIDES
from activities.models import Call
from activities.person import PLACES
from activities.person_erasing import UnderWay
from integrations import tenancy
from integrations.models import ApiExchange, AuditEntry, CrmConnection, Tenant
from integrations.records.events import Change, RemoteEvent
from integrations.sandbox.server import SandboxServer
from integrations.tenancy import TenantOwned
from integrations.transport.client import Patience
from mapping.publishing import add_defaults
from sync import editing, inbox, reconciling
from sync.inbox import Arrival
from sync.lanes import patience_for
from sync.models import Contact, InboxEvent, Lane, SyncJob, SyncRecord
from sync.pull import pull
from sync.tasks import tidy
from sync.work import work
from tests import factories

pytestmark = pytest.mark.django_db
PATIENCE = Patience(turn=1, retry=0)
ANN = {"first": "Annegret", "last": "Quastenflosser", "email": "annegret@quasten.example", "phone": "+14155550142"}
BOB = {"first": "Bartholomew", "last": "Bystander", "email": "bob@bystander.example", "phone": "+14155550177"}
OF_ANN = (
    "annegret",
    "quastenflosser",
    "+14155550142",
    "4155550142",
    "415) 555-0142",
    "a secret worry",
    "old@quasten.example",
)
NOTHING_OF_PEOPLE = {
    # what was set up, and figures
    "AgentOverride", "Alert", "AlertDelivery", "AlertSettings", "ApiKey", "AuditEntry", "CallSettings", "Certificate",
    "ConflictDecision", "ConflictPolicy", "ConnectionHour", "ConsentAttempt", "CrmAgent", "CrmConnection", "CrmField",
    "CrmObject", "DialerEndpoint", "DispositionEffect", "DispositionMap", "FailureAction", "FailureCause", "FailureHour",
    "FeedCursor", "FieldMapping", "Invitation", "MappingDraft", "MappingVersion", "Membership", "RetentionRun", "SchemaChange",
    "SyncRun", "Undo",
    # samples of it name contacts, and lose those that are erased
    "Rehearsal",
}  # fmt: skip


@pytest.fixture
def crm(connection: CrmConnection, fake_crm: SandboxServer) -> Iterator[CrmConnection]:
    """A CRM with Annegret and Bartholomew, read once, in the tenant's scope."""
    with tenancy.scope(connection.tenant_id):
        add_defaults(connection)
        service: Any = fake_crm.service
        service.put_person("7", ANN)
        service.put_person("8", BOB)
        pull(connection, "people", PATIENCE)
        yield connection


def of(first_name: str) -> Contact:
    found: Contact = Contact.objects.get(first_name=first_name)
    return found


def live_through(crm: CrmConnection, client: APIClient) -> None:
    """What happens to a person here: edits, calls with notes and later stages, events, errors."""
    ann = of("Annegret")
    editing.edit(ann.pk, {"email": "old@quasten.example"}, editing.Author("person", "pat"))
    editing.edit(ann.pk, {"email": ANN["email"]}, editing.Author("person", "pat"))
    for number, (record, text) in enumerate((("7", "a secret worry"), ("8", "nice weather"))):
        body = {
            "external_id": f"d-{number}", "provider": "fakecrm", "crm_record_id": record, "direction": "outbound",
            "duration_seconds": 60, "started_at": "2026-01-21T14:30:00Z", "disposition": "Connected", "notes": text,
            "recording_url": f"https://rec.example/{record}.mp3",
        }  # fmt: skip
        assert client.post("/api/v1/calls/", body).status_code == 201
    nobodys = {"external_id": "d-9", "phone": ANN["phone"], "direction": "inbound", "duration_seconds": 1}
    Call.objects.create(
        tenant=crm.tenant, started_at=timezone.now(), fingerprint="x", notes="a secret worry", **nobodys
    )
    for record, fields in (("7", ANN), ("8", BOB)):
        told = RemoteEvent(f"e-{record}", Change.UPDATED, "people", (record,), values=dict(fields), raw=dict(fields))
        inbox.store([Arrival(crm.tenant_id, crm.pk, told)], inbox.WEBHOOK)
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    work(crm.pk, patience=PATIENCE)
    SyncJob.objects.create(
        tenant=crm.tenant, connection=crm, kind="push", key="x", local_record_id=ann.pk, state="dead", cause="fix_data",
        error="Annegret Quastenflosser exists twice", error_detail=f"DUPLICATE {ANN['email']}", finished_at=timezone.now(),
        payload={"sent": [{"fields": {"last": "Quastenflosser"}}]},
    )  # fmt: skip
    SyncJob.objects.create(
        tenant=crm.tenant, connection=crm, kind="fetch", key="y", state="dead", finished_at=timezone.now(),
        error=f"1 of the records could not be taken over. 7: {ANN['email']} is no address",
    )  # fmt: skip
    writer = factories.superuser()
    LogEntry.objects.create(user=writer, object_id=str(ann.pk), object_repr=str(ann), action_flag=CHANGE)


def everything_stored() -> str:
    """All texts of all tables, as the database would show them to whoever reads its files."""
    with database.cursor() as cursor:
        found = []
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT coalesce(string_agg(row_to_json(one)::text, E'\\n'), '') FROM \"{table}\" one")
            found.append(f"{table}: {cursor.fetchone()[0]}")
        cursor.execute("SELECT coalesce(string_agg(convert_from(body, 'UTF8'), E'\\n'), '') FROM inbox_events")
        found.append(f"bodies: {cursor.fetchone()[0]}")
    return "\n".join(found).lower()


def lines_with(words: tuple[str, ...], text: str) -> list[str]:
    return [line[:300] for line in text.splitlines() for word in words if word in line]


def erase(*who: str) -> dict[str, Any]:
    out = StringIO()
    call_command("erase_person", "acme", *who, "--yes", "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def test_every_table_of_a_tenant_is_either_searched_for_people_or_known_to_hold_none() -> None:
    searched = {place.model.__name__ for place in PLACES}
    owned = {model.__name__ for model in apps.get_models() if issubclass(model, TenantOwned)}
    assert owned - searched == NOTHING_OF_PEOPLE, (
        "Say in PLACES where people stand in this table, or here that none do."
    )


@pytest.mark.parametrize(
    "who",
    [("--email", "OLD@quasten.example"), ("--email", ANN["email"]), ("--phone", "(415) 555-0142"), ("--id", "7")],
    ids=["former e-mail", "e-mail", "phone", "CRM's id"],
)
def test_nothing_of_an_erased_person_is_left_in_any_table(
    crm: CrmConnection, client: APIClient, who: tuple[str, str]
) -> None:
    live_through(crm, client)
    if "OLD@" in who[1]:
        editing.edit(of("Annegret").pk, {"email": "old@quasten.example"}, editing.Author("person", "pat"))
    before = everything_stored()
    assert all(word in before for word in OF_ANN if "(" not in word and ")" not in word)
    told = erase(*who)
    after = everything_stored()
    assert lines_with(OF_ANN, after) == []
    assert "bystander" in after
    assert "nice weather" in after
    assert told["contacts"] == 1
    assert told["calls"] == 2
    left = {(one["type"], one["id"]) for one in told["still_in_crms"]}
    assert {("people", "7")} < left
    assert ("people", "8") not in left


def test_nothing_comes_back_from_the_crm_that_still_has_the_person(
    crm: CrmConnection, client: APIClient, fake_crm: SandboxServer
) -> None:
    live_through(crm, client)
    erase("--email", ANN["email"])
    service: Any = fake_crm.service
    later = {**ANN, "company": "Quastenflosser & Daughters"}
    service.put_person("7", later, modified=(timezone.now() + timedelta(minutes=5)).isoformat())
    by_worker = patience_for(Lane.BACKFILL, PATIENCE)
    pull(crm, "people", by_worker, full=True)
    told = RemoteEvent("again", Change.UPDATED, "people", ("7",), values=dict(later), raw=dict(later))
    inbox.store([Arrival(crm.tenant_id, crm.pk, told)], inbox.WEBHOOK)
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    work(crm.pk, patience=PATIENCE)
    certificate = reconciling.reconcile(crm, "people", by_worker).certificate
    assert InboxEvent.objects.get(dedupe_key="again").state == "worked"
    assert certificate is not None
    assert (certificate.complete, certificate.missing, certificate.stale) == (True, [], [])
    assert lines_with(OF_ANN, everything_stored()) == []
    assert Contact.objects.filter(deleted_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_feed_tells_programs_that_the_person_is_gone(crm: CrmConnection, client: APIClient) -> None:
    ann = of("Annegret")
    erase("--id", str(ann.pk))
    shown = {one["id"]: one for one in client.get("/api/v1/contacts/").json()["results"]}[str(ann.pk)]
    assert (shown["deleted"], shown["first_name"], shown["phone"]) == (True, "", "")


def test_erasing_twice_says_the_same_and_changes_nothing(crm: CrmConnection) -> None:
    ann = of("Annegret")
    first = erase("--id", str(ann.pk))
    held = list(SyncRecord.objects.order_by("pk").values_list("metadata", flat=True))
    assert erase("--id", str(ann.pk)) == first
    assert list(SyncRecord.objects.order_by("pk").values_list("metadata", flat=True)) == held


def test_a_call_that_waits_to_be_logged_is_not_logged_any_more(
    crm: CrmConnection, client: APIClient, fake_crm: SandboxServer
) -> None:
    body = {
        "external_id": "d-1", "provider": "fakecrm", "crm_record_id": "7", "direction": "outbound", "duration_seconds": 60,
        "started_at": "2026-01-21T14:30:00Z", "notes": "a secret worry",
    }  # fmt: skip
    client.post("/api/v1/calls/", body)
    erase("--id", "7")
    work(crm.pk, patience=PATIENCE)
    assert list(fake_crm.service.store.all("calls")) == []
    assert Call.objects.get().duration_seconds == 60


def test_what_was_noted_of_a_request_after_the_erasing_goes_with_the_nights_tidying(crm: CrmConnection) -> None:
    erase("--id", "7")
    for record in ("7", "8"):
        factories.exchange(crm, keys=[f"people:{record}"])
    tidy()
    assert list(ApiExchange.objects.filter(keys__contains=["people:7"])) == []
    assert ApiExchange.objects.filter(keys__contains=["people:8"]).exists()


def test_work_under_way_is_waited_for_instead_of_undone(crm: CrmConnection) -> None:
    ann = of("Annegret")
    SyncJob.objects.create(
        tenant=crm.tenant, connection=crm, kind="push", key="x", local_record_id=ann.pk, state="leased"
    )
    with pytest.raises(UnderWay):
        person_erasing.erase(person.of_contact(ann), "pat")
    assert of("Annegret").email == ANN["email"]


def test_the_export_holds_everything_and_names_what_the_crm_has(
    crm: CrmConnection, client: APIClient, capsys: pytest.CaptureFixture[str]
) -> None:
    live_through(crm, client)
    call_command("export_person", "acme", "--email", ANN["email"])
    text = capsys.readouterr().out
    told = json.loads(text)
    assert all(word in text.lower() for word in ("quastenflosser", "a secret worry", "old@quasten.example"))
    assert "bystander" not in text.lower().replace("bartholomew", "") or _only_in_pages(told)
    assert told["recordings"] == ["https://rec.example/7.mp3"]
    assert {"fakecrm"} == {one["provider"] for one in told["crm_records"]}
    filled = {title for title, rows in told["held"].items() if rows}
    assert filled >= {"contacts", "records_in_crms", "history", "calls", "jobs", "events_from_crms", "requests_to_crms"}


@pytest.mark.parametrize("side", SIDES)
def test_the_export_holds_what_was_said_of_everything_that_belongs_to_a_call(
    crm: CrmConnection, client: APIClient, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    live_through(crm, client)
    call = Call.objects.filter(contact=of("Annegret"))[0]
    said = factories.exchange(crm, keys=[f"{call.pk}{side}"])
    call_command("export_person", "acme", "--email", ANN["email"])
    told = json.loads(capsys.readouterr().out)
    assert said.pk in {one["id"] for one in told["held"]["requests_to_crms"]}


def _only_in_pages(told: dict[str, Any]) -> bool:
    """A page of several people that the CRM answered with is kept as it was."""
    others = {title: rows for title, rows in told["held"].items() if title != "requests_to_crms"}
    return "bystander" not in json.dumps(others).lower()


def test_another_tenants_person_is_not_found(crm: CrmConnection, stranger: Tenant) -> None:
    with pytest.raises(CommandError, match="Nobody is held here"):
        call_command("erase_person", "stranger", "--email", ANN["email"], "--yes")
    assert of("Annegret").email == ANN["email"]


def test_without_yes_nobody_is_erased(crm: CrmConnection, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("erase_person", "acme", "--email", ANN["email"])
    assert "1 contacts and 0 calls would be erased" in capsys.readouterr().out
    assert of("Annegret").email == ANN["email"]


# --- on the contact's page -------------------------------------------------------------------------------------------


def signed_in(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


def test_an_admin_of_the_tenant_exports_and_erases_from_the_contacts_page(crm: CrmConnection) -> None:
    ann, boss = of("Annegret"), signed_in(factories.tenant_admin(crm.tenant))
    page = boss.get(f"/admin/sync/contact/{ann.pk}/change/").content.decode()
    assert "Export the person" in page
    export, erasure = _addresses(page)
    assert "fakecrm people 7" in boss.get(erasure).content.decode()
    assert of("Annegret").email == ANN["email"], "asking changes nothing"
    told = boss.post(export)
    assert told["Content-Disposition"].startswith("attachment")
    assert told.json()["held"]["contacts"][0]["last_name"] == "Quastenflosser"
    boss.post(erasure)
    assert Contact.objects.get(pk=ann.pk).last_name == ""
    with tenancy.everyone():
        noted = list(AuditEntry.objects.filter(object_id=str(ann.pk)).order_by("id").values_list("action", flat=True))
    assert noted == ["exported", "person erased"]
    assert "Forgotten here" in boss.get(f"/admin/sync/contact/{ann.pk}/change/").content.decode()


def test_a_viewer_and_a_stranger_can_do_neither(crm: CrmConnection, stranger: Tenant) -> None:
    ann = of("Annegret")
    boss = signed_in(factories.tenant_admin(crm.tenant))
    addresses = _addresses(boss.get(f"/admin/sync/contact/{ann.pk}/change/").content.decode())
    viewer, other = signed_in(factories.viewer(crm.tenant)), signed_in(factories.tenant_admin(stranger))
    for address in addresses:
        assert viewer.post(address).status_code in (403, 404)
        assert other.post(address).status_code in (403, 404)
    assert "Erase the person" not in viewer.get(f"/admin/sync/contact/{ann.pk}/change/").content.decode()
    assert of("Annegret").email == ANN["email"]


def _addresses(page: str) -> tuple[str, str]:
    """Of the two buttons."""
    found = [re.search(rf'href="([^"]*{name}[^"]*)"', page) for name in ("export_person", "erase_person")]
    assert all(found)
    first, second = (one.group(1) for one in found if one)
    return first, second
