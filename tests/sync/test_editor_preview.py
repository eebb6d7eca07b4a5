"""What the editor's preview says of a record is what publishing then does to it, in both directions."""

from collections.abc import Sequence
from typing import Any

import pytest

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from mapping.editor_catalog import catalog_of
from mapping.editor_form import shown
from mapping.editor_rows import canonical, in_force
from sync import editing, editor_subjects, promoting
from sync.editor_preview import preview
from sync.models import Contact, RecordSnapshot, SyncRecord
from tests.fake_crm.provider import FakeService, Provider
from tests.sync.test_rehearsing import ME, candidate, load, rehearse, row, work_all

PEOPLE = 12


@pytest.fixture
def written(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> list[RecordWrite]:
    """What the CRM was told to change. It does so."""
    seen: list[RecordWrite] = []

    def write(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        for one in writes:
            service.edit("people", one.record_id, dict(one.values))
        seen.extend(writes)
        return [Written(one.key, one.record_id) for one in writes]

    monkeypatch.setattr(Provider, "write", write)
    return seen


@pytest.fixture
def some(crm: CrmConnection, service: FakeService) -> CrmConnection:
    """People of all kinds: in sync, edited here, in conflict under the new mapping, with a number that is none."""
    load(
        crm, service, PEOPLE,
        company=lambda number: f"Company {number}",
        employer=lambda number: f"Employer {number}" if number % 2 else f"Company {number}",
        position=lambda number: f"Rank {number}" if number % 3 else None,
        phone=lambda number: f"+1415555{1000 + number}",
        mobile=lambda number: "rubbish" if number % 4 == 0 else f"+1415555{1000 + number}",
    )  # fmt: skip
    for number in (3, 4, 5):
        editing.edit(Contact.objects.get(last_name=f"Lee{number}").pk, {"company": f"Ours {number}"}, ME)
    return crm


def seen(crm: CrmConnection, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the contact's last name: what the preview says of each row, by its dialer field."""
    edited = shown([canonical(one) for one in rows], revision=0, based_on=0)
    names = {one.key: one.row["dialer_field"] for one in edited.rows}
    return {
        subject.contact.last_name: {names[key]: cells for key, cells in preview(crm, edited.kept, subject).items()}
        for subject in editor_subjects.last_changed(crm)
    }


def test_the_preview_of_a_record_is_what_publishing_does_to_it(some: CrmConnection, written: list[RecordWrite]) -> None:
    before = (Contact.objects.count(), sorted(Contact.objects.values_list("company", "phone", "title", "version")))
    rows = candidate(some)
    said = seen(some, rows)
    assert len(said) == PEOPLE
    assert (
        Contact.objects.count(),
        sorted(Contact.objects.values_list("company", "phone", "title", "version")),
    ) == before
    rehearsal = rehearse(some, rows)
    changing = [one for one in said.values() if any(cell.inbound and _moves(cell.inbound) for cell in one.values())]
    assert rehearsal.counts["updated"] == len(changing)
    promoting.promote(rehearsal, by="Grace")
    work_all(some)
    sent = {one.record_id: one.values for one in written}
    for contact in Contact.objects.all():
        cells = said[contact.last_name]
        for name in ("company", "phone", "title"):
            expected = cells[name].inbound
            held = expected.before if expected.state in ("problem", "open") else expected.value
            assert (getattr(contact, name) or None) == held, (contact.last_name, name)
        link = SyncRecord.objects.get(local_record_id=contact.pk)
        outgoing = {one.outbound.value for one in cells.values() if one.outbound and one.outbound.state == "changes"}
        assert set(sent.get(link.crm_record_id, {}).values()) == outgoing, contact.last_name
    states = {cell.inbound.state for one in said.values() for cell in one.values() if cell.inbound}
    assert states >= {"same", "changes", "conflict", "problem"}


def _moves(cell: Any) -> bool:
    return cell.state in ("changes", "conflict") and cell.value != cell.before


def test_a_row_that_can_not_be_used_keeps_no_other_from_being_tried(some: CrmConnection) -> None:
    said = seen(some, [row(dialer_field="compny", crm_field="company", direction="inbound"), *candidate(some)])
    assert len(said) == PEOPLE
    assert all("compny" not in one and "title" in one for one in said.values())


def test_a_record_of_which_nothing_is_known_shows_what_would_be_sent_and_is_read_by_a_button(
    some: CrmConnection,
) -> None:
    RecordSnapshot.objects.all().delete()
    edited = shown(in_force(some.tenant_id, some.provider).rows, revision=0, based_on=1)
    subject = next(one for one in editor_subjects.last_changed(some) if one.contact.last_name == "Lee3")
    company = next(one.key for one in edited.rows if one.row["dialer_field"] == "company")
    cells = preview(some, edited.kept, subject)[company]
    assert cells.inbound is not None
    assert cells.outbound is not None
    assert (cells.inbound.state, cells.outbound.state, cells.outbound.value) == ("unknown", "changes", "Ours 3")
    fresh = editor_subjects.read_now(some, subject, edited.kept, catalog_of(some))
    assert fresh is not None
    again = editor_subjects.unsealed(editor_subjects.one(some, str(subject.contact.pk)), editor_subjects.sealed(fresh))
    assert again is not None
    cells = preview(some, edited.kept, again)[company]
    assert cells.outbound is not None
    assert (cells.outbound.before, cells.outbound.value) == ("Company 3", "Ours 3")
    assert not RecordSnapshot.objects.exists()
    other = next(one for one in editor_subjects.last_changed(some) if one.contact.last_name == "Lee4")
    assert editor_subjects.unsealed(other, editor_subjects.sealed(fresh)) == other
