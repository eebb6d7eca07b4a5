from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from integrations import errors
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import Patience
from mapping.models import ConflictPolicy, FieldMapping
from mapping.publishing import publish
from sync import editing, joining
from sync.models import Conflict, Contact, FeedCursor, FieldChange, SyncRecord, SyncRun
from sync.pull import pull

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = Patience(turn=1, retry=0)


def put(server: SandboxServer, number: int, *, minutes: int = 0, **fields: Any) -> None:
    modified = (NOW + timedelta(minutes=minutes)).isoformat()
    inactive = fields.pop("inactive", False)
    person = {"first": "Ann", "last": f"Lee{number}", "email": f"ann{number}@example.com", "phone": "", "dnc": "false"}
    document = {"id": str(number), "fields": {**person, **fields}, "modified": modified, "inactive": inactive}
    server.service.store.put("people", str(number), document)


def run(crm: CrmConnection, **more: Any) -> SyncRun:
    return pull(crm, "people", PATIENCE, **more).run


def state() -> list[Any]:
    """Everything a pull may write, as plain values."""
    skipped = {"started_at", "finished_at", "moved_at", "complete_at", "updated_at"}
    return [
        sorted(
            (str({key: value for key, value in row.items() if key not in skipped}) for row in model.objects.values()),
            key=str,
        )
        for model in (Contact, SyncRecord, FieldChange, Conflict)
    ]


def test_new_people_become_contacts_with_links_and_history(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, first="Zoë", email="ZOE@Example.com", phone="(415) 555-0101", dnc="true")
    assert run(crm).created == 1
    contact, link, change = Contact.objects.get(), SyncRecord.objects.get(), FieldChange.objects.get()
    assert (contact.first_name, contact.email, contact.phone, contact.do_not_call) == (
        "Zoë",
        "zoe@example.com",
        "+14155550101",
        True,
    )
    assert (link.crm_record_id, link.local_record_id, link.sync_status) == ("1", contact.pk, "synced")
    assert link.base["email"] == "zoe@example.com"
    assert (change.field, change.new["first_name"], change.mapping_version) == ("*", "Zoë", 1)


def test_a_second_run_writes_nothing(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    for number in range(1, 120):
        put(fake_crm, number, phone="rubbish" if number % 7 == 0 else "")
    run(crm)
    before = state()
    second = run(crm, full=True)
    assert (second.created, second.updated, second.unchanged) == (0, 0, 119)
    assert state() == before


def test_a_page_costs_a_fixed_number_of_statements(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1)
    with CaptureQueriesContext(database) as small:
        run(crm)
    for number in range(2, 50):
        put(fake_crm, number)
    with CaptureQueriesContext(database) as large:
        run(crm, full=True)
    assert len(large) <= len(small) + 2


def test_a_change_in_the_crm_arrives_and_its_story_is_kept(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, company="Old Ltd")
    run(crm)
    put(fake_crm, 1, minutes=5, company="New Ltd")
    assert run(crm).updated == 1
    contact = Contact.objects.get()
    assert (contact.company, contact.version) == ("New Ltd", 2)
    change = FieldChange.objects.get(field="company")
    assert (change.old, change.new, change.source, change.actor) == ("Old Ltd", "New Ltd", "crm", "Fake CRM")


def test_a_value_changed_here_survives_when_the_crm_did_not_touch_it(
    crm: CrmConnection, fake_crm: SandboxServer
) -> None:
    put(fake_crm, 1, company="Old Ltd")
    run(crm)
    Contact.objects.update(company="Ours Ltd")
    put(fake_crm, 1, minutes=5, company="Old Ltd", first="Anna")
    run(crm)
    contact = Contact.objects.get()
    assert (contact.company, contact.first_name) == ("Ours Ltd", "Anna")
    assert SyncRecord.objects.get().sync_status == "pending"


@pytest.mark.parametrize(
    ("strategy", "kept", "lost"), [("crm_wins", "Theirs", "Ours"), ("dialer_wins", "Ours", "Theirs")]
)
def test_a_conflict_is_decided_by_the_tenants_policy_and_the_loser_kept(
    crm: CrmConnection, fake_crm: SandboxServer, strategy: str, kept: str, lost: str
) -> None:
    ConflictPolicy.objects.create(tenant=crm.tenant, default="crm_wins", overrides={"company": strategy})
    put(fake_crm, 1, company="Base")
    run(crm)
    Contact.objects.update(company="Ours")
    put(fake_crm, 1, minutes=5, company="Theirs")
    assert run(crm).conflicts == 1
    assert Contact.objects.get().company == kept
    assert FieldChange.objects.get(field="company").lost == lost
    conflict = Conflict.objects.get()
    assert (conflict.base, conflict.ours, conflict.theirs, conflict.strategy) == ("Base", "Ours", "Theirs", strategy)


def test_an_older_version_of_a_record_changes_nothing(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, minutes=5, company="New Ltd")
    run(crm)
    put(fake_crm, 1, minutes=1, company="Old Ltd")
    run(crm)
    assert Contact.objects.get().company == "New Ltd"


def test_a_bad_value_is_reported_and_does_not_hold_up_the_rest(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, phone="call me maybe")
    done = run(crm)
    assert (done.created, done.errored) == (1, 1)
    link = SyncRecord.objects.get()
    assert link.sync_status == "error"
    assert link.error_message is not None
    assert link.error_message.startswith("phone: ")
    assert Contact.objects.get().email == "ann1@example.com"


def test_a_known_person_from_elsewhere_is_linked_by_e_mail_and_not_doubled(
    crm: CrmConnection, fake_crm: SandboxServer
) -> None:
    ours = Contact.objects.create(tenant=crm.tenant, email="ann1@example.com", title="Buyer")
    put(fake_crm, 1)
    assert run(crm).updated == 1
    assert Contact.objects.get().pk == ours.pk
    assert Contact.objects.get().title == "Buyer"


def test_two_records_of_one_crm_with_the_same_e_mail_stay_two_people(
    crm: CrmConnection, fake_crm: SandboxServer
) -> None:
    put(fake_crm, 1, email="same@example.com")
    put(fake_crm, 2, email="same@example.com")
    run(crm)
    assert Contact.objects.count() == 2
    run(crm, full=True)
    assert Contact.objects.count() == 2


def test_an_ambiguous_person_is_kept_apart_and_marked(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    rivals = [Contact.objects.create(tenant=crm.tenant, phone="+14155550101", last_name="Lee1") for _ in range(2)]
    put(fake_crm, 1, email="", phone="415-555-0101")
    assert run(crm).created == 1
    assert sorted(SyncRecord.objects.get().metadata["may_be"]) == sorted(str(one.pk) for one in rivals)


def test_somebody_not_to_be_dialled_is_not_brought_in(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, inactive=True)
    assert run(crm).skipped == 1
    assert not Contact.objects.exists()


def test_the_cursor_moves_with_the_page_and_a_broken_run_goes_on_from_there(
    crm: CrmConnection, fake_crm: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "ENOUGH", 1)
    for number in range(1, 121):
        put(fake_crm, number)
    fake_crm.service.faults.set([{"kind": "status", "status": 500, "rate": 0.0}])
    pages = iter(range(10))

    def fail_on_the_third(done: SyncRun) -> None:
        if next(pages) == 1:
            fake_crm.service.faults.set([{"kind": "status", "status": 500}])

    with pytest.raises(errors.Retry):
        pull(crm, "people", PATIENCE, progress=fail_on_the_third)
    broken = SyncRun.objects.get()
    assert (broken.status, broken.created) == ("failed", 100)
    assert "error of its own" in broken.error
    assert FeedCursor.objects.get().value == {"after": 100, "pass": 1}
    fake_crm.service.faults.set([])
    assert run(crm).created == 20


def test_two_runs_at_once_do_not_tread_on_each_other(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    for number in range(1, 101):
        put(fake_crm, number)

    def somebody_else(done: SyncRun) -> None:
        FeedCursor.objects.update(value={"after": 77})

    with pytest.raises(errors.Retry, match="Another run"):
        pull(crm, "people", PATIENCE, progress=somebody_else)


def test_text_that_the_database_cannot_hold_is_cleaned(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    put(fake_crm, 1, first="An\x00n", company="bad \ud800 surrogate")
    assert run(crm).created == 1
    assert Contact.objects.get().first_name == "Ann"


def test_a_blank_that_says_nothing_stands_in_the_history_all_the_same(
    crm: CrmConnection, fake_crm: SandboxServer
) -> None:
    FieldMapping.objects.filter(dialer_field="company").update(on_blank="ignore")
    publish(crm.tenant_id, crm.provider)
    put(fake_crm, 1, company="Old")
    run(crm)
    editing.edit(Contact.objects.get().pk, {"company": None}, editing.Author("api"))
    put(fake_crm, 1, minutes=1, company="New")
    run(crm)
    rows = FieldChange.objects.filter(field="company").order_by("pk").values_list("old", "new")
    assert list(rows) == [("Old", None), (None, "New")]
