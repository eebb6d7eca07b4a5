"""What calls say in every CRM: templates' markup stays text, the usual dispositions fit, and agents are found without asking."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activities import agents, matrix
from activities.notes import call_notes
from integrations.registry import provider_class
from mapping.models import CrmField
from tests.providers.case import Case

MARKUP = "<b>Bold</b> <script>alert('x')</script> &amp; & <!-- x -->"
TEMPLATE = "<h1>{{disposition}}</h1>\n{{#key_points}}\n* {{.}}\n{{/key_points}}"
STORED: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "salesforce": ("Task", lambda task: task["Description"]),
    "hubspot": ("calls", lambda call: call["properties"]["hs_call_body"]),
    "followupboss": ("calls", lambda call: call["note"]),
}
"""CRM → where its fake keeps the notes of a call."""
OWNER: Mapping[str, Callable[[Any], str]] = {
    "salesforce": lambda task: str(task["OwnerId"]),
    "hubspot": lambda call: str(call["properties"]["hubspot_owner_id"]),
    "followupboss": lambda call: str(call["userId"]),
}
RENDERS_HTML = {"hubspot"}


def test_markup_in_templates_and_notes_is_shown_as_it_was_written(case: Case) -> None:
    notes = call_notes(template=TEMPLATE, disposition="Connected", key_points=[MARKUP])
    assert case.provider.log_calls([case.call(notes=notes)])[0].error is None
    kind, read = STORED[case.slug]
    (text,) = [read(one) for one in case.server.service.store.all(kind) if "alert" in str(one)]
    if case.slug in RENDERS_HTML:
        assert "<script" not in text
        assert "<h1>" not in text
        text = html.unescape(re.sub("<br ?/?>", "\n", text))
    assert notes in text


def test_notes_of_a_later_stage_replace_those_in_the_crm(case: Case) -> None:
    call = case.call(notes="First alert")
    (written,) = case.provider.log_calls([call])
    again = case.call(key=call.key, notes="Second alert", crm_record_id=written.id)
    assert case.provider.log_calls([again])[0].error is None
    kind, read = STORED[case.slug]
    (text,) = [read(one) for one in case.server.service.store.all(kind) if "alert" in str(one)]
    assert "Second" in text
    assert "First" not in text


def test_a_stage_that_knows_the_text_no_more_leaves_the_crms_and_writes_the_rest(case: Case) -> None:
    call = case.call(notes="First alert")
    (written,) = case.provider.log_calls([call])
    kind, read = STORED[case.slug]
    (before,) = [read(one) for one in case.server.service.store.all(kind) if "alert" in str(one)]
    later = case.call(key=call.key, notes="Duration: 9:59", duration_seconds=599, keeps_text=True)
    for known in ({"crm_record_id": written.id}, {"first_attempt_at": datetime.now(UTC)}):
        assert case.provider.log_calls([replace(later, **known)])[0].error is None
    (stored,) = [one for one in case.server.service.store.all(kind) if "alert" in str(one)]
    assert read(stored) == before
    assert "599" in str(stored)


def test_the_usual_dispositions_fit_an_account_as_it_comes(case: Case) -> None:
    assert CrmField.objects.filter(object_type=case.provider.call_type, kind="picklist").exclude(options=[]).exists()
    assert matrix.broken([case.row]) == []


def test_a_choice_that_the_account_loses_is_noticed_by_its_disposition(case: Case) -> None:
    values = provider_class(case.slug).default_dispositions["No Answer"]
    fields = CrmField.objects.filter(object_type=case.provider.call_type, path__in=list(values)).exclude(options=[])
    fields.update(options=[["other", "Other"]])
    lost = {one.disposition for one in matrix.broken([case.row])}
    assert "No Answer" in lost


def test_the_crms_users_are_kept_and_own_what_their_agents_did(case: Case) -> None:
    users = case.provider.users()
    agents.keep(case.row, users)
    known = [one for one in users if one.active and one.email][:2]
    assert len(known) == 2, "The fake CRM needs people who work there."
    for one in known:
        address = one.email.upper()
        assert agents.ids(case.row.pk, [address]) == {address: one.id}
        call = case.call(agent_id=one.id, agent_email=one.email, notes=f"alert of {one.email}")
        assert case.provider.log_calls([call])[0].error is None
    kind, read = STORED[case.slug]
    owners = {
        one.email: {
            OWNER[case.slug](stored)
            for stored in case.server.service.store.all(kind)
            if f"alert of {one.email}" in read(stored)
        }
        for one in known
    }
    assert owners == {one.email: {one.id} for one in known}
