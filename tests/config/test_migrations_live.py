"""Migrations can be run while the former version of the code is at work."""

import threading
from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import OperationalError, connection, connections, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from config import migrating, migration_rules
from config.migration_rules import OURS, look
from integrations import tenancy
from integrations.models import ApiUsage, CrmConnection
from integrations.transport import usage


def of(*operations: Any) -> list[str]:
    """What is said against a migration of `sync` with these operations."""
    made = type("Migration", (migrations.Migration,), {"operations": list(operations)})("9999_test", "sync")
    state = MigrationLoader(None).project_state([("sync", "0017_growth")])
    assert isinstance(state, ProjectState)
    return [one.why for one in look(made, state)]


def test_all_our_migrations_can_be_run_on_a_live_system(db: None) -> None:
    call_command("check_migrations")


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.AddField("syncjob", "more", models.TextField(default="")), "no default in the database"),
        (migrations.AddField("syncjob", "more", models.TextField(null=True, db_index=True)), "builds an index"),
        (migrations.AddIndex("syncjob", models.Index(fields=["attempts"], name="x")), "AddIndexConcurrently"),
        (migrations.RemoveField("syncjob", "attempts"), "later release"),
        (migrations.RenameField("syncjob", "attempts", "tries"), "later release"),
        (migrations.DeleteModel("SyncJob"), "later release"),
        (migrations.AlterField("syncjob", "attempts", models.BigIntegerField(default=0)), "rewrites the table"),
        (migrations.AlterField("syncjob", "not_before", models.DateTimeField(null=True)), ""),
        (
            migrations.AlterField(
                "syncjob",
                "connection",
                models.ForeignKey("integrations.crmconnection", models.CASCADE, related_name="jobs", db_index=False),
            ),
            "checks all rows anew",
        ),
        (migrations.RunSQL("CREATE INDEX x ON sync_jobs (attempts)"), "locks the table"),
        (migrations.RunSQL("ALTER TABLE sync_jobs ALTER COLUMN attempts SET NOT NULL"), "reads the whole table"),
        (
            migrations.AddConstraint("syncjob", models.CheckConstraint(condition=models.Q(attempts__gte=0), name="x")),
            "AddConstraintNotValid",
        ),
    ],
    ids=lambda one: one.describe()[:50] if hasattr(one, "describe") else "",
)
def test_what_would_hold_up_a_live_system_is_refused(db: None, operation: Any, why: str) -> None:
    found = of(operation)
    assert (why in " ".join(found)) if why else found == []


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddField("syncjob", "more", models.TextField(null=True))],
        [migrations.AddField("syncjob", "more", models.TextField(default="", db_default=""))],
        [AddIndexConcurrently("syncjob", models.Index(fields=["attempts"], name="x"))],
        [migrations.AlterField("syncjob", "kind", models.CharField("other words", max_length=40))],
        [
            migrations.CreateModel("Own", [("id", models.BigAutoField(primary_key=True))]),
            migrations.AddField("own", "more", models.TextField(default="", unique=True)),
        ],
        [migrations.RunSQL("CREATE INDEX CONCURRENTLY x ON sync_jobs (attempts)")],
    ],
    ids=["nullable", "default in the database", "concurrent index", "words only", "own table", "concurrent by hand"],
)
def test_what_a_live_system_does_not_notice_is_allowed(db: None, operations: list[Any]) -> None:
    assert of(*operations) == []


def test_a_row_of_the_former_code_needs_none_of_the_columns_that_were_added_since(db: None) -> None:
    """Every column that was ever added to a table that was there has a default of the database, or may be empty."""
    loader = MigrationLoader(None)
    now = loader.project_state().models
    added = set()
    for (app, _name), one in loader.disk_migrations.items():
        new = {part.name_lower for part in one.operations if isinstance(part, migrations.CreateModel)}
        for part in one.operations:
            if app in OURS and isinstance(part, migrations.AddField) and part.model_name_lower not in new:
                table = now[app, part.model_name_lower].options["db_table"]
                added |= {(table, part.name), (table, f"{part.name}_id")}
    assert len(added) > 20
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND is_nullable = 'NO' AND column_default IS NULL"
        )
        demanded = set(cursor.fetchall())
    assert added & demanded == set()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_the_former_code_wrote_is_worked_on_by_this_one(connection_row: CrmConnection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO api_usage (connection_id, hour, calls, failures, throttled, milliseconds) "
            "VALUES (%s, date_trunc('hour', now()), 3, 0, 0, 10)",
            [connection_row.pk],
        )
    usage.count(connection_row.pk, seconds=0.1, status="200")
    with tenancy.everyone():
        row = ApiUsage.objects.get()
    assert (row.calls, row.statuses, row.works) == (4, {"200": 1}, {"other": 1})


@pytest.fixture
def connection_row(tenant: Any) -> CrmConnection:
    with tenancy.everyone():
        made: CrmConnection = CrmConnection.objects.create(tenant=tenant, provider="hubspot", access_token="x")
    return made


@pytest.mark.django_db(transaction=True)
def test_a_migration_gives_up_rather_than_have_everybody_queue_behind_it(settings: Any) -> None:
    """Somebody reads a table in a long transaction; what needs the table for itself fails soon, and reading goes on."""
    settings.MIGRATE_LOCK_SECONDS = 1
    reading, done = threading.Event(), threading.Event()

    def read_long() -> None:
        other: Any = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT count(*) FROM deployments")
                reading.set()
                done.wait(60)
                cursor.execute("ROLLBACK")
        finally:
            other.close()

    reader = threading.Thread(target=read_long)
    reader.start()
    try:
        assert reading.wait(60)
        migrating.be_brief()
        with pytest.raises(OperationalError, match="lock timeout"), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE deployments ADD COLUMN more text")
    finally:
        done.set()
        reader.join()
        migrating.be_patient()


def test_the_excuses_name_migrations_that_exist() -> None:
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    assert set(migration_rules.LANDED) <= known
    assert all(reason.endswith(".") for reason in migration_rules.LANDED.values())
