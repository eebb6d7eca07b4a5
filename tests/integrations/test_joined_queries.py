"""Several questions in one statement give what each would have given alone."""

import pytest
from django.db.models import Count
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.joined_queries import ask_together
from integrations.models import ApiUsage, CrmConnection, RateWindow, Tenant
from sync.models import SyncJob, SyncRun
from tests import factories


@pytest.fixture
def row(tenant: Tenant) -> CrmConnection:
    made = factories.connection(tenant)
    factories.rate_window(made, stamps=[1.5, 2.5])
    factories.usage(made, works={"calls": 3})
    for number in range(3):
        factories.run(made, object_type=f"kind-{number}", fields_only=["email"])
    return made


def test_all_answers_come_in_one_statement_as_rows_of_their_models(
    row: CrmConnection, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with tenancy.everyone():
        questions = {
            "windows": RateWindow.objects.filter(connection=row),
            "usage": ApiUsage.objects.filter(connection=row),
            "runs": SyncRun.objects.filter(connection=row).order_by("-pk")[:2],
        }
        alone = {name: list(rows.all()) for name, rows in questions.items()}
        with django_assert_num_queries(1):
            found = ask_together(**questions)
    assert found == alone
    for name, rows in alone.items():
        for here, there in zip(found[name], rows, strict=True):
            fields = [one.attname for one in there._meta.concrete_fields]
            assert [getattr(here, field) for field in fields] == [getattr(there, field) for field in fields]


def test_counted_rows_come_as_dicts_and_what_can_not_be_there_as_nothing(row: CrmConnection) -> None:
    with tenancy.everyone():
        counted = SyncRun.objects.filter(connection=row).order_by().values("status").annotate(count=Count("pk"))
        found = ask_together(counted=counted, nothing=SyncJob.objects.none(), empty=SyncJob.objects.all())
    assert found == {"counted": [{"status": "done", "count": 3}], "nothing": [], "empty": []}
