"""What every CRM has to do, run for each of the registry against its sandbox, over real HTTP and the real transport."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from integrations import errors, tenancy
from integrations.connecting import check, connect
from integrations.models import CrmConnection, Tenant
from integrations.registry import provider_class
from mapping.models import CrmField, FieldMapping
from mapping.publishing import compiled
from sync.models import Contact, SyncRecord
from sync.pull import pull
from tests.providers.case import PATIENCE, Case


def test_connecting_finds_the_account_its_fields_and_gives_default_mappings(case: Case) -> None:
    assert case.row.account_id
    assert check(case.row).external_id == case.row.account_id
    kinds = set(CrmField.objects.values_list("object_type", flat=True))
    assert kinds == {*case.provider.person_types, case.provider.call_type}
    assert FieldMapping.objects.count() == len(case.provider.default_mappings)
    described = set(CrmField.objects.values_list("path", flat=True))
    for mapped in ("first_name", "last_name", "email", "phone"):
        path = FieldMapping.objects.get(dialer_field=mapped).crm_field
        root = path.split("[")[0].split(".")[0]
        assert any(one.split("[")[0].split(".")[0] == root for one in described), path


def test_connecting_again_changes_nothing(case: Case) -> None:
    before = (FieldMapping.objects.count(), CrmField.objects.count(), case.row.account_id)
    row, _account = connect(case.tenant, case.slug, case.credential)
    assert row.pk == case.row.pk
    assert (FieldMapping.objects.count(), CrmField.objects.count(), row.account_id) == before


def test_a_wrong_credential_is_refused_in_words_and_stores_nothing(case: Case) -> None:
    wrong = {
        key: ("wrong-" + str(value) if key in {"api_key", "access_token", "username"} else value)
        for key, value in case.credential.items()
    }
    stored = CrmConnection.objects.get().access_token
    with pytest.raises((errors.Reconnect, errors.FixConfig)) as refusal:
        connect(case.tenant, case.slug, wrong)
    assert len(refusal.value.message.split()) > 4
    assert CrmConnection.objects.get().access_token == stored
    assert CrmConnection.objects.get().status == "connected"


def test_an_incomplete_credential_says_what_is_missing(case: Case) -> None:
    with pytest.raises(errors.FixConfig, match="auth"):
        connect(case.tenant, case.slug, {})
    with pytest.raises(errors.FixConfig, match="needs"):
        connect(case.tenant, case.slug, {"auth": case.credential["auth"]})


def test_an_account_belongs_to_one_tenant_only(case: Case, stranger: Tenant) -> None:
    with tenancy.scope(stranger.pk), pytest.raises(errors.FixConfig, match="another tenant"):
        connect(stranger, case.slug, case.credential)


@pytest.mark.whole_crm
def test_everybody_is_read_and_a_second_full_run_writes_nothing(case: Case) -> None:
    first = [pull(case.row, kind, PATIENCE).run for kind in case.provider.person_types]
    assert sum(run.created for run in first) >= 1000
    contacts = sorted(Contact.objects.values_list("pk", "version"))
    links = sorted(SyncRecord.objects.values_list("pk", "updated_at"))
    second = [case.pull_all(kind) for kind in case.provider.person_types]
    assert sum(run.created + run.updated + run.conflicts for run in second) == 0
    assert sum(run.unchanged for run in second) == len(links)
    assert sorted(Contact.objects.values_list("pk", "version")) == contacts
    assert sorted(SyncRecord.objects.values_list("pk", "updated_at")) == links


def test_a_run_costs_pages_and_not_a_request_per_person(case: Case) -> None:
    runs = [pull(case.row, kind, PATIENCE).run for kind in case.provider.person_types]
    assert sum(run.created for run in runs) > 100
    assert sum(run.api_calls for run in runs) <= 40


@pytest.mark.whole_crm
def test_reading_goes_on_after_any_page_in_another_process(case: Case) -> None:
    kind = case.provider.person_types[0]
    paths = compiled(case.row, kind).engine.crm_fields
    pages = list(case.provider.changes(kind, None, paths))
    assert len(pages) > 2
    read: list[str] = []
    everybody = [record.id for page in pages for record in page.records]
    for page in pages[:-1]:
        read += [record.id for record in page.records]
        rest = [record.id for later in case.provider.changes(kind, page.cursor, paths) for record in later.records]
        assert read + rest == everybody


def test_records_are_fetched_by_id_and_the_missing_ones_named(case: Case) -> None:
    kind = case.provider.person_types[0]
    paths = compiled(case.row, kind).engine.crm_fields
    ids = [record.id for record in next(iter(case.provider.changes(kind, None, paths))).records][:60]
    gone = {"Lead": "00Q000000000000AAA"}.get(kind, "999999999")
    found = case.provider.fetch(kind, [*ids, gone], paths)
    assert {record.id for record in found.records} == set(ids)
    assert list(found.missing) == [gone]
    assert all(record.modified_at.tzinfo is not None and record.raw and record.url for record in found.records)


def test_a_call_is_logged_on_its_record_with_the_mapped_outcome(case: Case) -> None:
    call = case.call()
    written = case.provider.log_calls([call])
    assert [(one.key, one.error) for one in written] == [(call.key, None)]
    assert written[0].id
    assert written[0].url.startswith("http")
    held = case.held(call.key)
    assert [(one.record_id, one.outcome) for one in held] == [
        (call.record_id, case.server.service.outcomes["Voicemail"])
    ]


def test_the_same_call_again_after_a_crash_is_not_logged_twice(case: Case) -> None:
    call = case.call()
    first = case.provider.log_calls([call])
    again = case.provider.log_calls([replace(call, first_attempt_at=datetime.now(UTC))])
    assert again[0].error is None
    assert again[0].id == first[0].id
    assert len(case.held(call.key)) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_is_an_unknown_outcome_and_the_next_try_finds_out(case: Case, kind: str) -> None:
    call = case.call()
    provider = case.provider
    case.server.service.faults.set([{"kind": kind, "match": "POST|PATCH|PUT", "times": 1}])
    started = datetime.now(UTC)
    try:
        written = provider.log_calls([call])
        failed = written[0].error
    except errors.Retry as error:
        failed = error
    if failed is not None:
        written = case.provider.log_calls([replace(call, first_attempt_at=started)])
    assert written[0].error is None
    assert len(case.held(call.key)) == 1


def test_a_batch_answers_for_every_call_and_one_bad_one_stops_nobody(case: Case) -> None:
    size = min(provider_class(case.slug).call_batch_size, 20)
    good = [case.call() for _ in range(size - 1)] if size > 1 else []
    bad = case.call(record_id="00Q000000000000AAA" if case.record()[0] == "Lead" else "999999999")
    written = {one.key: one for one in case.provider.log_calls([*good, bad])}
    assert isinstance(written[bad.key].error, errors.Gone | errors.FixData)
    assert all(written[one.key].error is None for one in good)
    assert all(len(case.held(one.key)) == 1 for one in good)


def test_over_long_and_hostile_text_is_logged_all_the_same(case: Case) -> None:
    call = case.call(
        notes="<script>alert('x')</script>' OR 1=1 --\n" + "x" * 100_000, disposition="D" * 400, subject="S" * 900
    )
    written = case.provider.log_calls([call])
    assert written[0].error is None
    assert len(case.held(call.key)) == 1


def test_a_revoked_credential_stops_the_connection_with_the_vendors_reason(case: Case) -> None:
    case.row.access_token = "revoked"
    case.row.refresh_token = "revoked"
    case.row.secrets = {
        name: "revoked" if name == "api_key" else value for name, value in (case.row.secrets or {}).items()
    }
    case.row.secrets = {
        **case.row.secrets,
        **({"username": "nobody@else.example"} if "username" in case.row.secrets else {}),
    }
    case.row.save()
    with pytest.raises(errors.Reconnect):
        case.provider.identify()
    stored = CrmConnection.objects.get()
    assert stored.status == "needs_reconnecting"
    assert len(stored.status_reason.split()) > 3


def test_nothing_secret_reaches_a_log_or_an_error(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    secrets = [value for key, value in case.credential.items() if key in {"api_key", "access_token", "private_key"}]
    caplog.set_level(logging.DEBUG)
    case.provider.log_calls([case.call()])
    case.server.service.faults.set([{"kind": "status", "status": 400, "body": {"message": f"bad token {secrets[0]}"}}])
    with pytest.raises(errors.CrmError) as refusal:
        case.provider.identify()
    shown = refusal.value.message + refusal.value.detail + repr(case.row.credential())
    assert not any(secret in shown for secret in secrets)
    # The HTTP library's own debug lines are below our level; ours must hold nothing.
    ours = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    assert not any(secret in ours for secret in secrets)
