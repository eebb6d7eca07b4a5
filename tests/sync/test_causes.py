"""What counts as one cause: not a record more or less, and not another field or code."""

import string
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors, tenancy
from integrations.models import CrmConnection, Tenant
from integrations.providers.hubspot import answers
from integrations.providers.salesforce import failures
from sync import deployments, tasks
from sync.causes import noting
from sync.causes.common import Facts, facts, facts_of_error
from sync.causes.counting import piles
from sync.causes.letters import letter
from sync.models import Deployment, FailureCause, FailureHour, InboxEvent, SyncJob
from tests import factories

ALNUM = string.ascii_letters + string.digits
SALESFORCE_ID = st.builds(
    lambda head, tail: f"{head}5e{tail}", st.sampled_from(["00Q", "003", "001", "005"]), st.text(ALNUM, min_size=13, max_size=13)
)  # fmt: skip
NUMBER = st.integers(1, 10**12).map(str)
LOCAL = st.from_regex(r"[a-z][a-z0-9.+-]{0,20}", fullmatch=True)
EMAIL = st.builds(lambda a, b: f"{a}@{b}.example", LOCAL, st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True))
PHONE = st.builds(
    lambda one, two: f"+{one} {two[:3]} {two[3:]}", st.integers(1, 99), st.from_regex(r"\d{7,9}", fullmatch=True)
)
NAME = st.from_regex(r"[A-Z][a-z]{1,12}( [A-Z][a-z]{1,12}){0,2}", fullmatch=True)
VALUE = st.one_of(NUMBER, EMAIL, PHONE, st.uuids().map(str), SALESFORCE_ID, NAME)
APEX = (
    "LeadTrigger: execution of AfterUpdate caused by: System.DmlException: Update failed. First exception on row 0 with id {id}; "
    "first error: REQUIRED_FIELD_MISSING, Required fields are missing: [{field}]"
)
FIELD = st.sampled_from(
    ["Company", "Status", "Region__c", "Phone", "Address2__c", "LeadSource", "firstname", "hs_lead_status"]
)


def salesforce(code: str, text: str, *fields: str) -> Facts:
    return facts_of_error(
        "salesforce", "push", failures.of_record({"statusCode": code, "message": text, "fields": fields})
    )


def hubspot(body: dict[str, Any]) -> Facts:
    error = answers.by_category(answers.problem_of(body))
    assert error is not None
    return facts_of_error("hubspot", "push", error)


def invalid(name: str, code: str, value: str, correlation: str) -> dict[str, Any]:
    """HubSpot's own form: a JSON array inside the text."""
    text = (
        f'[{{"isValid":false,"message":"{value} was not one of the allowed options","error":"{code}","name":"{name}"}}]'
    )
    message = f"Property values were not valid: {text}"
    return {"status": "error", "message": message, "correlationId": correlation, "category": "VALIDATION_ERROR"}


def followupboss(text: str) -> Facts:
    error = errors.FixData(f"Follow Up Boss refused the data: {text}", detail=text, status=400)
    return facts_of_error("followupboss", "push", error)


@pytest.mark.parametrize(
    ("code", "text", "named"),
    [
        ("STRING_TOO_LONG", "{field}: data value too large: {value} (max length=255)", True),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "{field}: bad value for restricted picklist field: {value}", True),
        ("INVALID_EMAIL_ADDRESS", "{field}: invalid email address: {value}", True),
        ("MALFORMED_ID", "{field}: id value of incorrect type: {value}", True),
        ("DUPLICATE_VALUE", "duplicate value found: {field} duplicates value on record with id: {id}", False),
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: {id}", False),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", False),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", APEX, False),
    ],
    ids=lambda one: one if str(one).isupper() else "",
)  # fmt: skip
@given(field=FIELD, one=VALUE, two=VALUE, id_one=SALESFORCE_ID, id_two=SALESFORCE_ID)
def test_salesforces_refusals_are_one_cause_for_all_records(
    code: str, text: str, named: bool, field: str, one: str, two: str, id_one: str, id_two: str
) -> None:
    fields = [field] if named else []
    first = salesforce(code, text.format(field=field, value=one, id=id_one), *fields)
    assert first.fingerprint == salesforce(code, text.format(field=field, value=two, id=id_two), *fields).fingerprint
    assert first.code == code
    if "{field}" in text:
        assert first.fields == (field,)
        other = salesforce(code, text.format(field="Other__c", value=one, id=id_one), *(["Other__c"] if named else []))
        assert other.fingerprint != first.fingerprint


@given(name=FIELD, one=VALUE, two=VALUE, correlations=st.tuples(st.uuids(), st.uuids()))
def test_hubspots_refusals_are_one_cause_for_all_records(name: str, one: str, two: str, correlations: Any) -> None:
    first = hubspot(invalid(name, "INVALID_OPTION", one, str(correlations[0])))
    assert first == hubspot(invalid(name, "INVALID_OPTION", two, str(correlations[1])))
    assert (first.code, first.fields) == ("INVALID_OPTION", (name,))
    assert first.fingerprint != hubspot(invalid("other", "INVALID_OPTION", one, "")).fingerprint
    assert first.fingerprint != hubspot(invalid(name, "INVALID_DATE", one, "")).fingerprint


@given(one=NUMBER, two=NUMBER)
def test_a_duplicate_in_hubspot_is_one_cause_whatever_it_doubles(one: str, two: str) -> None:
    texts = [f"Contact already exists. Existing ID: {number}" for number in (one, two)]
    first, second = (hubspot({"message": text, "category": "CONFLICT", "correlationId": text}) for text in texts)
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "Invalid value for field \"{field}\": '{value}'",
        "The field '{field}' does not take \"{value}\".",
        "Unknown value {number} for property `{field}`.",
        "{field} is no field of this account; field '{field}' of person {number}",
        "Person {number} with e-mail {email} was refused: field '{field}' is required.",
    ],
)
@given(field=FIELD, values=st.tuples(VALUE, VALUE), numbers=st.tuples(NUMBER, NUMBER), emails=st.tuples(EMAIL, EMAIL))
def test_follow_up_boss_refusals_are_one_cause_for_all_records(
    text: str, field: str, values: Any, numbers: Any, emails: Any
) -> None:
    def told(at: int, name: str = field) -> Facts:
        return followupboss(text.format(field=name, value=values[at], number=numbers[at], email=emails[at]))

    assert told(0).fingerprint == told(1).fingerprint
    assert told(0).fields == (field,)
    assert told(0).fingerprint != told(0, "customOther").fingerprint


@given(one=PHONE, two=PHONE)
def test_a_value_that_our_own_mapping_refuses_is_one_cause_by_its_field(one: str, two: str) -> None:
    found = [
        facts("fakecrm", "push", "invalid_data", message=f"phone: '{number}' is no phone number.")
        for number in (one, two)
    ]
    assert found[0] == found[1]
    assert found[0].fields == ("phone",)


def test_the_words_of_an_administrators_rule_tell_causes_apart() -> None:
    code = "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    one = salesforce(code, "Only managers may close a lead.", "Status")
    assert one.fingerprint != salesforce(code, "A closed lead needs a reason.", "Status").fingerprint
    assert one.words == "Only managers may close a lead."


def test_kinds_of_work_and_crms_are_apart_and_a_stumble_is_one_whatever_its_number() -> None:
    down = [errors.Retry(f"It stumbled ({status}).", status=status, detail=f"id {status}") for status in (500, 503)]
    assert facts_of_error("hubspot", "push", down[0]) == facts_of_error("hubspot", "push", down[1])
    marks = {
        facts_of_error(crm, kind, down[0]).fingerprint for crm in ("hubspot", "salesforce") for kind in ("push", "pull")
    }
    assert len(marks) == 4


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_makes_a_cause_that_can_be_kept(detail: str, message: str) -> None:
    found = facts("hubspot", "push", "invalid_data", detail=detail, message=message)
    assert len(found.fingerprint) == 24
    assert "\x00" not in found.words
    assert found == facts("hubspot", "push", "invalid_data", detail=detail, message=message)


# --- kept in the database ---------------------------------------------------------------------------------------------


@pytest.fixture
def ours(tenant: Tenant) -> CrmConnection:
    return factories.connection(tenant)


def test_dead_jobs_of_before_get_their_cause_from_the_sweep(ours: CrmConnection) -> None:
    for number in range(3):
        factories.dead_job(ours, key=str(number), error=f"Refused: record {number}123 is bad")
    factories.event(ours, state="failed", error="501: Refused: record 99123 is bad")
    tasks.sweep()
    with tenancy.everyone():
        assert set(SyncJob.objects.values_list("fingerprint", flat=True)) == {
            FailureCause.objects.get(kind="pull").fingerprint
        }
        assert InboxEvent.objects.get().fingerprint == FailureCause.objects.get(kind="fetch").fingerprint
        assert FailureCause.objects.get(kind="pull").total == 3
    assert noting.sort_older() == 0


def test_a_cause_that_comes_back_after_days_is_new_again(ours: CrmConnection) -> None:
    found = facts("hubspot", "push", "invalid_data", message="x")
    now = timezone.now()
    with tenancy.everyone():
        for at in (now - timedelta(days=9), now - timedelta(days=8), now):
            noting.note([noting.Failure(ours.tenant_id, found, at, 2)])
        row = FailureCause.objects.get()
        assert (row.first_seen, row.last_seen, row.total) == (now, now, 6)
        assert FailureHour.objects.count() == 3
        noting.forget()
        assert FailureHour.objects.count() == 3


def test_old_causes_are_forgotten_unless_something_still_waits(ours: CrmConnection) -> None:
    long_ago = timezone.now() - timedelta(days=200)
    factories.dead_job(ours, key="waits", finished_at=long_ago)
    factories.dead_job(ours, key="went", error="something else", finished_at=long_ago)
    noting.sort_older()
    with tenancy.everyone():
        SyncJob.objects.filter(key="went").update(state="done")
        noting.forget()
        assert [row.total for row in FailureCause.objects.all()] == [1]
        assert not FailureHour.objects.exists()


def test_the_day_is_drawn_hour_by_hour(ours: CrmConnection) -> None:
    now = timezone.now()
    for hours in (0, 0, 3, 23, 40):
        factories.dead_job(ours, key=f"{hours}-{hours}-{id(object())}", finished_at=now - timedelta(hours=hours))
    noting.sort_older()
    with tenancy.everyone():
        trend = piles()[0].trend
    assert (trend[-1], trend[-4], trend[0], sum(trend)) == (2, 1, 1, 4)


def test_the_text_for_a_customer_names_no_record_and_no_value(ours: CrmConnection) -> None:
    error = salesforce("REQUIRED_FIELD_MISSING", "Required fields are missing: [Company]", "Company")
    factories.dead_job(
        ours,
        kind="push",
        key="1",
        error="Grace Hopper +14155550100: grace@acme.example",
        error_detail="grace@acme.example refused",
    )
    noting.sort_older()
    with tenancy.everyone():
        noting.note([noting.Failure(ours.tenant_id, error, timezone.now())])
        SyncJob.objects.update(fingerprint=error.fingerprint)
        share = piles(error.fingerprint)[0].shares[0]
    text = letter(share)
    assert "Company" in text
    assert "1 record" in text
    for personal in ("Grace", "+1415", "@"):
        assert personal not in text


@pytest.mark.django_db
def test_a_version_is_noted_once_under_the_name_that_the_operator_gave_it(settings: Any) -> None:
    deployments.version.cache_clear()
    settings.RELEASE = "2026.11"
    assert (deployments.note(), deployments.note()) == (True, False)
    assert [row.version for row in Deployment.objects.all()] == ["2026.11"]
    deployments.version.cache_clear()
    settings.RELEASE = ""
    assert deployments.version().startswith("code-")
    deployments.version.cache_clear()
