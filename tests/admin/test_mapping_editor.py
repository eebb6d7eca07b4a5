"""The mapping editor's pages: drafts, who was faster, what is published and what is refused, files, copies and versions."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.editor_form import HIDDEN
from mapping.editor_rows import canonical, in_force
from mapping.models import FieldMapping, MappingDraft, MappingVersion
from mapping.publishing import publish
from sync.models import Contact, Rehearsal
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.admin.test_actions import said
from tests.admin.test_rehearsals import known, run_jobs
from tests.factories import World

__all__ = ["known"]

MOST_QUERIES = 15


def address(crm: CrmConnection, page: str = "editor") -> str:
    return reverse(f"admin:mapping_fieldmapping_{page}", args=[crm.pk])


def form(crm: CrmConnection, *rows: dict[str, Any], revision: int = 0, based_on: int | None = None, **more: Any) -> Any:
    """What a browser sends: the rows in force, or these."""
    with tenancy.everyone():
        now = in_force(crm.tenant_id, crm.provider)
    data: dict[str, Any] = {
        "row": [],
        "revision": revision,
        "based_on": now.number if based_on is None else based_on,
        **more,
    }
    for number, one in enumerate(map(canonical, rows or now.rows)):
        data["row"].append(str(number))
        rest = json.dumps({name: one[name] for name in HIDDEN})
        main = {name: one[name] for name in ("dialer_field", "crm_field", "direction", "transform")}
        for name, value in {**main, "was": one["dialer_field"], "rest": rest, "shown": one["transform"]}.items():
            data[f"{number}-{name}"] = value
    return data


def row(dialer_field: str = "company", crm_field: str = "company", **more: Any) -> dict[str, Any]:
    given = {"crm_object": "contacts", "direction": "bidirectional", **more}
    return {"dialer_field": dialer_field, "crm_field": crm_field, **given}


FIRST = row("first_name", "firstname")


def draft_of(person: User) -> MappingDraft | None:
    with tenancy.everyone():
        return MappingDraft.objects.filter(user=person).first()


def numbers(crm: CrmConnection) -> list[int]:
    with tenancy.everyone():
        rows = MappingVersion.objects.filter(tenant=crm.tenant_id, crm_provider=crm.provider)
        return sorted(rows.values_list("number", flat=True))


def colleague(tenant: Tenant, sign_in: SignIn) -> tuple[User, Client]:
    from integrations.access import TENANT_ADMIN

    made = factories.user("colleague", TENANT_ADMIN, tenants=(tenant,))
    return made, sign_in(made)


# --- drafts --------------------------------------------------------------------------------------------------------------


def test_a_saved_draft_is_there_again_and_nothing_of_it_is_in_force(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    before = numbers(known)
    assert "The draft is saved." in said(admin_client, address(known), form(known, FIRST, row(), do="save"))
    shown = pages.html(admin_client, address(known))
    assert "Saved draft, not in force" in shown
    assert "What differs from what is in force" in shown
    assert 'value="company"' in shown
    kept = draft_of(ours[User])
    assert kept is not None
    assert [one["dialer_field"] for one in kept.rows] == ["first_name", "company"]
    assert numbers(known) == before
    with tenancy.everyone():
        assert not FieldMapping.objects.filter(dialer_field="company").exists()


def test_a_draft_is_the_persons_own_and_others_hear_of_it(
    admin_client: Client, known: CrmConnection, tenant: Tenant, sign_in: SignIn
) -> None:
    said(admin_client, address(known), form(known, FIRST, row(), do="save"))
    person, client = colleague(tenant, sign_in)
    shown = pages.html(client, address(known))
    assert "has a draft of this mapping, too" in shown
    assert 'value="company" list=' not in shown
    assert draft_of(person) is None


def test_of_two_windows_the_second_is_told_and_overwrites_only_when_it_saves_again(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    said(admin_client, address(known), form(known, FIRST, row(), do="save"))
    answer = admin_client.post(address(known), form(known, FIRST, row("title", "jobtitle"), do="save"), follow=True)
    assert "saved in another window meanwhile" in answer.content.decode()
    kept = draft_of(ours[User])
    assert kept is not None
    assert "company" in str(kept.rows)
    assert answer.context["edited"].revision == kept.revision
    said(admin_client, address(known), form(known, FIRST, row("title", "jobtitle"), do="save", revision=kept.revision))
    kept = draft_of(ours[User])
    assert kept is not None
    assert "jobtitle" in str(kept.rows)


def test_whoever_publishes_second_is_told_and_brings_the_own_changes_along(
    admin_client: Client, ours: World, known: CrmConnection, tenant: Tenant, sign_in: SignIn
) -> None:
    said(admin_client, address(known), form(known, row("first_name", "nick"), row(), do="save"))
    _person, client = colleague(tenant, sign_in)
    said(client, address(known), form(known, {**FIRST, "required": True}, row("title", "jobtitle"), do="save"))
    said(client, address(known, "editor_publish"), {"how": "unrehearsed"})
    published = numbers(known)
    shown = said(admin_client, address(known, "editor_publish"), {"how": "unrehearsed"})
    assert "Somebody else put another version in force" in shown
    assert numbers(known) == published
    assert "was put in force after this draft was begun" in pages.html(admin_client, address(known))
    assert "Both of you changed: First name" in pages.html(admin_client, address(known, "editor_update"))
    said(admin_client, address(known, "editor_update"), {})
    kept = draft_of(ours[User])
    assert kept is not None
    assert {one["dialer_field"]: one["crm_field"] for one in kept.rows} == {
        "first_name": "nick", "company": "company", "title": "jobtitle",
    }  # fmt: skip
    said(admin_client, address(known, "editor_publish"), {"how": "unrehearsed"})
    assert numbers(known) == [*published, published[-1] + 1]
    assert draft_of(ours[User]) is None


def test_a_draft_is_dropped_only_after_asking(admin_client: Client, ours: World, known: CrmConnection) -> None:
    said(admin_client, address(known), form(known, FIRST, row(), do="save"))
    assert "are lost" in pages.html(admin_client, address(known, "editor_discard"))
    assert draft_of(ours[User]) is not None
    said(admin_client, address(known, "editor_discard"), {})
    assert draft_of(ours[User]) is None


# --- the form ------------------------------------------------------------------------------------------------------------


def test_rows_are_added_opened_removed_and_kept_without_a_script(admin_client: Client, known: CrmConnection) -> None:
    def after(do: str, more: Any = None) -> Any:
        data = {**form(known, do=do), **(more or {})}
        return admin_client.post(address(known), data).context["edited"].rows

    assert [one.row["crm_field"] for one in after("add:company")] == ["firstname", "company"]
    assert after("open:0")[0].open
    assert after("remove:0")[0].removed
    assert not after("keep:0", {"0-removed": "1"})[0].removed
    assert [one["type"] for one in after("rule:0")[0].row["validations"]] == ["length"]
    new = {"row": ["0", "1"], "1-dialer_field": "title", "1-crm_field": "jobtitle"}
    assert [one.key for one in after("remove:1", new)] == ["0"]


def test_a_script_gets_the_part_that_it_asks_for(admin_client: Client, known: CrmConnection) -> None:
    data = form(known, FIRST, row("call_count", "firstname"))
    cells = admin_client.post(address(known), data, headers={"X-Fragment": "cells"}).content.decode()
    assert "<form" not in cells
    assert 'data-cell="1-said"' in cells
    assert "cannot be set by a CRM" in cells
    part = admin_client.post(address(known), {**data, "do": "add"}, headers={"X-Fragment": "form"}).content.decode()
    assert part.count("<form") == 1
    assert "<html" not in part
    assert 'data-focus="r2-dialer_field"' in part


def test_the_page_shows_what_a_row_makes_of_a_record(admin_client: Client, known: CrmConnection) -> None:
    shown = admin_client.post(address(known), form(known, FIRST, row(), row("title", "jobtitle", direction="inbound")))
    views = {view.row["dialer_field"]: view for view in shown.context["rows"]}
    assert (views["company"].inbound.before, views["company"].inbound.after) == ("Old Ltd", "New Ltd")
    assert (views["title"].inbound.before, views["title"].inbound.after) == ("(empty)", "Admiral")
    assert views["title"].outbound.state == "off"
    assert views["first_name"].inbound.state == "same"


def test_a_table_of_choices_offers_both_sides_and_marks_what_has_no_entry(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    factories.crm_field(known, "stage", label="Stage", kind="picklist", options=[["new", "New"], ["won", "Won"]])
    with tenancy.everyone():
        Contact.objects.filter(pk=ours[Contact].pk).update(lead_status="Warm")
    table = row("lead_status", "stage", transform="picklist_map", options={"map": {"Cold": "new", "Gone": "lost"}})
    answer = admin_client.post(address(known), form(known, table, do="open:0"))
    (view,) = answer.context["rows"]
    pairs = [(pair.ours, pair.theirs, pair.mark) for pair in view.details.table.pairs]
    assert pairs == [
        ("Cold", "new", ""), ("Gone", "lost", "not a choice in the CRM"), ("Warm", "", "no entry yet"), ("", "", ""),
    ]  # fmt: skip
    assert list(view.details.table.without) == ["Won"]
    assert view.has_error


@pytest.mark.parametrize(
    ("options", "tried", "words"),
    [
        ({"expression": "value.toUpperCase()"}, "ann", "ANN"),
        ({"expression": "value.no.such"}, "ann", "The expression failed"),
        ({"inbound": "value.trim()"}, " ann ", "has no expression for outbound"),
    ],
)
def test_an_expression_is_tried_on_a_value_in_the_sandbox(
    options: dict[str, str], tried: str, words: str, admin_client: Client, known: CrmConnection
) -> None:
    one = row("first_name", "firstname", transform="custom", options=options)
    shown = admin_client.post(address(known), {**form(known, one, do="open:0"), "0-try": tried}).context["rows"][0]
    assert any(words in result for _direction, result, _wrong in shown.details.tried)


def test_somebody_is_looked_for_and_only_among_the_own(
    admin_client: Client, ours: World, theirs: World, known: CrmConnection
) -> None:
    own, other = ours[Contact], theirs[Contact]
    for text in (own.email, own.phone, "hopper-ac", "Grace Hopper", "acme-501"):
        assert admin_client.post(address(known), form(known, find=text)).context["subject"].contact == own, text
    found = admin_client.post(address(known), form(known, find=other.email, contact=str(other.pk))).context["subject"]
    assert found.contact == own


# --- publishing ----------------------------------------------------------------------------------------------------------


def test_publishing_without_a_rehearsal_says_how_many_records_and_is_noted(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    answer = admin_client.post(
        address(known), form(known, FIRST, row(), row("title", "jobtitle", active=False), do="publish")
    )
    assert answer["Location"].startswith(address(known, "editor_publish"))
    shown = pages.html(admin_client, answer["Location"])
    assert "1 linked record may be concerned." in shown
    assert "Publish without a rehearsal" in shown
    shown = said(admin_client, answer["Location"], {"how": "unrehearsed", "note": "Company, too"})
    assert "is in force now" in shown
    assert f'href="/admin/sync/contact/{ours[Contact].pk}/change/">See it on Grace' in shown
    with tenancy.everyone():
        version = MappingVersion.objects.filter(crm_provider="hubspot").order_by("-number")[0]
        assert (version.note, version.created_by_id) == ("Company, too", ours[User].pk)
        assert [one["dialer_field"] for one in version.rows] == ["company", "first_name"]
        assert FieldMapping.objects.get(dialer_field="title").is_active is False


def test_a_draft_with_an_error_is_saved_but_never_published(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    before = numbers(known)
    said(admin_client, address(known), form(known, row("compny", "company"), do="save"))
    assert draft_of(ours[User]) is not None
    shown = pages.html(admin_client, address(known, "editor_publish"))
    assert "did you mean" in shown
    assert "Publish without a rehearsal" not in shown
    for how in ("unrehearsed", "rehearsed"):
        assert "the draft has errors" in said(admin_client, address(known, "editor_publish"), {"how": how})
    assert numbers(known) == before


def test_a_rehearsed_draft_does_what_was_counted_and_keeps_what_is_switched_off(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    off = row("title", "jobtitle", active=False)
    assert "is being tried" in said(admin_client, address(known), form(known, FIRST, row(), off, do="rehearse"))
    run_jobs(known)
    kept = draft_of(ours[User])
    assert kept is not None
    with tenancy.everyone():
        tried = Rehearsal.objects.get(pk=kept.rehearsal)
    assert (tried.status, tried.counts) == ("ready", {"updated": 1})
    shown = pages.html(admin_client, address(known, "editor_publish"))
    assert "1 of 1 records change" in shown
    assert "Publish without a rehearsal" not in shown
    said(admin_client, address(known, "editor_publish"), {"how": "rehearsed"})
    run_jobs(known)
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).company == "New Ltd"
        assert FieldMapping.objects.get(dialer_field="title").is_active is False
    assert draft_of(ours[User]) is None


def test_a_draft_that_changed_after_its_rehearsal_is_not_called_rehearsed(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    said(admin_client, address(known), form(known, FIRST, row(), do="rehearse"))
    run_jobs(known)
    said(admin_client, address(known), form(known, FIRST, row("company", "jobtitle"), do="save", revision=1))
    shown = pages.html(admin_client, address(known, "editor_publish"))
    assert "It was not rehearsed." in shown


# --- files, copies, versions ----------------------------------------------------------------------------------------------


def upload(content: bytes) -> dict[str, Any]:
    return {"step": "file", "file": SimpleUploadedFile("mapping.json", content)}


def take(client: Client, crm: CrmConnection, data: dict[str, Any]) -> Any:
    """Chooses, looks, and makes it the draft."""
    seen = client.post(address(crm, "editor_begin"), data)
    said(
        client,
        address(crm, "editor_begin"),
        {"step": "apply", "rows": seen.context["sealed"], "revision": seen.context["revision"]},
    )
    return seen


def test_an_exported_mapping_is_imported_as_a_draft_after_its_differences_were_seen(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    answer = admin_client.get(address(known, "editor_export"))
    assert answer["Content-Disposition"] == 'attachment; filename="mapping-acme-hubspot-v2.json"'
    document = answer.json()
    document["field_mappings"][0]["crm_field"] = "nick"
    document["field_mappings"].append({**document["field_mappings"][0], "crm_provider": "salesforce"})
    before = numbers(known)
    seen = take(admin_client, known, upload(json.dumps(document).encode()))
    assert "1 rows of the file are for another CRM" in seen.content.decode()
    assert [(one.field, one.kind) for one in seen.context["changes"]] == [("first_name", "changed")]
    kept = draft_of(ours[User])
    assert kept is not None
    assert kept.rows[0]["crm_field"] == "nick"
    assert numbers(known) == before


def test_what_differs_in_nothing_is_offered_only_in_place_of_a_draft(
    admin_client: Client, known: CrmConnection
) -> None:
    content = admin_client.get(address(known, "editor_export")).content
    words, offer = "Nothing differs from what is in force.", "Make it my draft"
    shown = admin_client.post(address(known, "editor_begin"), upload(content)).content.decode()
    assert (words in shown, offer in shown) == (True, False)
    document = json.loads(content)
    document["field_mappings"][0]["crm_field"] = "nick"
    take(admin_client, known, upload(json.dumps(document).encode()))
    shown = admin_client.post(address(known, "editor_begin"), upload(content)).content.decode()
    assert (words in shown, offer in shown) == (True, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "This is no JSON file"),
        (b"{}", "has no part field_mappings"),
        (b'{"field_mappings": [{"dialer_field": "compny"}]}', "field_mappings[0].crm_field: This is missing"),
        (b" " * 1_000_001, "larger than 1,000,000 bytes"),
    ],
    ids=["cut", "other", "row", "large"],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_reason(
    content: bytes, words: str, admin_client: Client, ours: World, known: CrmConnection
) -> None:
    assert words in said(admin_client, address(known, "editor_begin"), upload(content))
    assert draft_of(ours[User]) is None


def test_rows_to_take_over_can_not_be_made_up(admin_client: Client, ours: World, known: CrmConnection) -> None:
    shown = said(admin_client, address(known, "editor_begin"), {"step": "apply", "rows": "made:up", "revision": "0"})
    assert "open for too long" in shown
    assert "Choose a file first." in said(admin_client, address(known, "editor_begin"), {"step": "file"})
    assert draft_of(ours[User]) is None


def test_a_mapping_is_copied_only_from_a_tenant_that_the_person_sees(
    admin_client: Client, support_client: Client, ours: World, theirs: World, known: CrmConnection, stranger: Tenant
) -> None:
    other: CrmConnection = theirs[CrmConnection]
    with tenancy.everyone():
        factories.mapping(stranger, "title", "jobtitle")
        publish(stranger.pk, "hubspot")
    data = {"step": "copy", "from": str(other.pk)}
    assert admin_client.post(address(known, "editor_begin"), data).status_code == 404
    assert "Stranger" not in pages.html(admin_client, address(known, "editor_begin"))
    seen = take(support_client, known, data)
    assert "the mapping of Stranger" in seen.content.decode()
    with tenancy.everyone():
        kept = MappingDraft.objects.get(connection=known)
    assert [one["dialer_field"] for one in kept.rows] == ["first_name", "title"]


def test_a_draft_begins_from_the_defaults_and_from_an_earlier_version(
    admin_client: Client, ours: World, theirs: World, known: CrmConnection
) -> None:
    take(admin_client, known, {"step": "defaults"})
    kept = draft_of(ours[User])
    assert kept is not None
    assert len(kept.rows) > 5
    old = ours[MappingVersion]
    seen = admin_client.get(f"{address(known, 'editor_begin')}?version={old.pk}")
    assert "You have a draft of this mapping. It is replaced." in seen.content.decode()
    assert {one.field for one in seen.context["changes"]} == {"company", "first_name"}
    for wrong in (theirs[MappingVersion].pk, "x", "9" * 30):
        assert admin_client.get(f"{address(known, 'editor_begin')}?version={wrong}").status_code == 404


def test_any_two_versions_are_compared_in_words(admin_client: Client, known: CrmConnection) -> None:
    shown = admin_client.get(address(known, "editor_versions"), {"old": 2, "new": 1})
    text = shown.content.decode()
    assert (shown.context["older"], shown.context["newer"]) == (1, 2)
    assert {(one.kind, one.field) for one in shown.context["changes"]} == {
        ("added", "first_name"),
        ("removed", "company"),
    }
    assert "Restore at once" in text
    assert "note of acme" in text
    assert "{" not in text.partition('id="ver-diff"')[2].partition("All versions")[0]


# --- who, and how much ----------------------------------------------------------------------------------------------------


def test_whoever_sees_one_connection_gets_there_at_once_and_support_chooses(
    admin_client: Client, support_client: Client, ours: World, theirs: World
) -> None:
    start = reverse("admin:mapping_fieldmapping_editor_start")
    assert admin_client.get(start)["Location"] == address(ours[CrmConnection])
    shown = pages.html(support_client, start)
    assert address(ours[CrmConnection]) in shown
    assert address(theirs[CrmConnection]) in shown
    assert address(theirs[CrmConnection]) not in pages.html(support_client, f"{start}?q=acme")


def test_somebody_who_may_only_look_sees_the_mapping_and_no_button(
    known: CrmConnection, sign_in: SignIn, tenant: Tenant
) -> None:
    from django.contrib.auth.models import Permission

    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = sign_in(looker)
    shown = pages.html(client, address(known))
    assert "Save draft" not in shown
    assert client.post(address(known), form(known, do="save")).status_code == 403
    assert client.post(address(known, "editor_publish"), {"how": "unrehearsed"}).status_code == 403
    nobody = sign_in(factories.user("nobody", tenants=(tenant,)))
    assert nobody.get(address(known)).status_code == 404


def test_the_editor_takes_few_queries_however_much_there_is(
    admin_client: Client,
    ours: World,
    known: CrmConnection,
    tenant: Tenant,
    sign_in: SignIn,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(60):
        factories.crm_field(known, f"field_{number}")
        factories.link(known, factories.contact(tenant, email=f"{number}@example.com"), crm_record_id=f"r{number}")
    _person, client = colleague(tenant, sign_in)
    rows = [row(f"custom.field {number}", f"field_{number}") for number in range(50)]
    said(client, address(known), form(known, *rows, do="save"))
    said(admin_client, address(known), form(known, *rows, do="rehearse"))
    with django_assert_max_num_queries(MOST_QUERIES):
        pages.html(admin_client, address(known))
    with django_assert_max_num_queries(MOST_QUERIES):
        admin_client.post(address(known), form(known, *rows, do="open:3"), headers={"X-Fragment": "cells"})
    for page in ("editor_publish", "editor_versions", "editor_begin"):
        with django_assert_max_num_queries(MOST_QUERIES + 3):
            pages.html(admin_client, address(known, page))
