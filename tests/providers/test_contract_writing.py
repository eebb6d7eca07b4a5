"""Writing people into a CRM: what every provider has to do, over real HTTP and the real transport."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from integrations import errors
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from mapping.publishing import compiled
from tests.providers.case import Case

NORA = {
    "first_name": "Nora",
    "last_name": "Quill",
    "email": "nora.quill@example.com",
    "phone": "+14155550177",
    "company": "Quill & Sons",
}
NOBODY = {"Lead": "00Q000000000000AAA"}


def kind_of(case: Case) -> str:
    return provider_class(case.slug).person_types[0]


def create(case: Case, **values: str) -> str:
    written = case.provider.write(kind_of(case), [case.to_write({**NORA, **values})])
    assert [(one.error, one.created) for one in written] == [(None, True)]
    return written[0].id


def test_a_new_person_is_created_and_reads_back_the_same(case: Case) -> None:
    values = case.read(create(case))
    assert {name: values[name] for name in NORA} == NORA


def test_a_change_touches_only_the_fields_it_names(case: Case) -> None:
    record = create(case)
    written = case.provider.write(kind_of(case), [case.to_write({"last_name": "Ames-Quill"}, record)])
    assert [(one.id, one.error, one.created) for one in written] == [(record, None, False)]
    values = case.read(record)
    assert {name: values[name] for name in NORA} == {**NORA, "last_name": "Ames-Quill"}


def test_clearing_a_field_clears_it_and_nothing_else(case: Case) -> None:
    record = create(case)
    case.provider.write(kind_of(case), [case.to_write({"phone": None}, record)])
    values = case.read(record)
    assert not values["phone"]
    assert values["email"] == NORA["email"]


def test_creating_again_after_a_crash_makes_no_second_person(case: Case) -> None:
    order = case.to_write(NORA)
    first = case.provider.write(kind_of(case), [order])[0]
    again = case.provider.write(kind_of(case), [replace(order, first_attempt_at=datetime.now(UTC))])[0]
    assert (again.id, type(again.error)) == (first.id, errors.AlreadyThere), "somebody may have edited them since"


def test_somebody_whom_the_crm_has_already_is_named_and_left_as_they_are(case: Case) -> None:
    if hasattr(case.server.service, "duplicate_rule"):
        case.server.service.duplicate_rule(kind_of(case), "Email")
    record = create(case)
    another = case.to_write({**NORA, "company": "Another Ltd", "first_name": "Eleonora"})
    (written,) = case.provider.write(kind_of(case), [another])
    assert (written.id, written.created) == (record, False)
    assert written.url
    assert isinstance(written.error, errors.AlreadyThere)
    values = case.read(record)
    assert {name: values[name] for name in NORA} == NORA


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_lost_answer_to_a_creation_makes_no_second_person(case: Case, fault: str) -> None:
    order = case.to_write(NORA)
    provider = case.provider
    case.server.service.faults.set([{"kind": fault, "match": "POST|PATCH|PUT", "times": 1}])
    started = datetime.now(UTC)
    try:
        written = provider.write(kind_of(case), [order])[0]
        failed = written.error
    except errors.Retry as error:
        failed = error
    if failed is not None:
        assert isinstance(failed, errors.Retry)
        written = case.provider.write(kind_of(case), [replace(order, first_attempt_at=started)])[0]
    assert written.error is None or isinstance(written.error, errors.AlreadyThere)
    again = case.provider.write(kind_of(case), [replace(order, first_attempt_at=started)])[0]
    assert (again.id, type(again.error)) == (written.id, errors.AlreadyThere)


def test_a_batch_answers_for_each_and_one_bad_record_stops_nobody(case: Case) -> None:
    size = min(provider_class(case.slug).write_batch_size, 20)
    people = [
        case.to_write({**NORA, "email": f"nora.{number}@example.com", "phone": f"+1628555{number:04d}"})
        for number in range(100, 99 + size)
    ]
    bad = replace(
        case.to_write({"last_name": "Nobody"}, create(case)), record_id=NOBODY.get(kind_of(case), "999999999")
    )
    written = {one.key: one for one in case.provider.write(kind_of(case), [*people, bad])}
    assert set(written) == {one.key for one in [*people, bad]}
    assert isinstance(written[bad.key].error, errors.Gone | errors.FixData)
    assert all(written[one.key].error is None and written[one.key].id for one in people)


def test_a_record_that_changed_meanwhile_is_not_overwritten_when_asked(case: Case) -> None:
    record = create(case)
    seen = case.fetch(record).modified_at
    case.server.service.clock.advance(120)
    case.server.service.edit(kind_of(case), record, _by_hand(case, "Somebody"))
    case.server.service.clock.advance(120)
    order = replace(case.to_write({"last_name": "Ours"}, record), unmodified_since=seen)
    try:
        failed = case.provider.write(kind_of(case), [order])[0].error
    except errors.Stale as error:
        failed = error
    assert isinstance(failed, errors.Stale)
    assert case.read(record)["last_name"] == "Somebody"


def test_a_deleted_person_is_gone_or_marked(case: Case) -> None:
    record = create(case)
    assert [one.error for one in case.provider.delete(kind_of(case), [record])] == [None]
    fetched = case.provider.fetch(kind_of(case), [record], ["id"])
    assert list(fetched.missing) == [record] or all(one.deleted for one in fetched.records)
    assert [one.error for one in case.provider.delete(kind_of(case), [record])] == [None], "gone already is fine"


def test_merging_works_or_says_that_a_person_has_to_do_it(case: Case) -> None:
    winner, loser = create(case), create(case, email="nora.two@example.com", phone="+14155550178")
    if provider_class(case.slug).merge is CrmProvider.merge:
        with pytest.raises(errors.Unsupported, match=case.provider.label):
            case.provider.merge(kind_of(case), winner, loser)
        return
    left = case.provider.merge(kind_of(case), winner, loser)
    found = case.provider.fetch(kind_of(case), [loser], ["email"])
    assert [one.moved_to for one in found.records] == [(kind_of(case), left)]


def test_every_object_type_describes_itself(case: Case) -> None:
    kinds = provider_class(case.slug).object_types
    assert {*case.provider.person_types, case.provider.call_type} <= set(kinds)
    for kind in kinds:
        fields = case.provider.describe(kind)
        assert fields, kind
        assert len({one.path for one in fields}) == len(fields), kind


def test_an_unchanged_object_costs_no_second_reading_where_the_crm_can_say_so(case: Case) -> None:
    kind = kind_of(case)
    first = case.provider.describe_if_changed(kind, "")
    assert first.fields
    again = case.provider.describe_if_changed(kind, first.stamp)
    assert (again.fields is None) == bool(first.stamp)


def test_everybody_who_may_own_a_record_is_known_by_address(case: Case) -> None:
    users = case.provider.users()
    assert users
    assert all(user.id for user in users)
    assert sum("@" in user.email for user in users) >= len(users) - 1


@pytest.mark.whole_crm
def test_all_ids_are_listed_cheaply(case: Case) -> None:
    kind = kind_of(case)
    listed = [record_id for page in case.provider.ids(kind) for record_id in page]
    assert len(listed) == len(set(listed)) >= 1000
    assert case.record()[1] in set(listed)


def test_only_the_last_page_of_a_feed_says_that_it_is_the_last(case: Case) -> None:
    kind = kind_of(case)
    pages = case.provider.changes(kind, None, compiled(case.row, kind).engine.crm_fields)
    said = [page.last for page in pages]
    assert said == [False] * (len(said) - 1) + [True]


def test_removals_are_told_where_the_crm_knows_them(case: Case) -> None:
    kind, since = kind_of(case), case.server.service.clock.now() - timedelta(hours=1)
    record = create(case)
    case.server.service.remove(kind, record)
    told = {one for event in case.provider.removals(kind, since) for one in event.record_ids}
    assert told <= {record}
    assert told or case.provider.fetch(kind, [record], ["id"]).missing, "what no list tells, a look finds"


def _by_hand(case: Case, last_name: str) -> dict[str, str]:
    return dict(case.to_write({"last_name": last_name}).values)
