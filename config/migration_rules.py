"""Whether a migration can be run while the former version of the code is at work on a full database: no long lock, no rewritten
table, nothing taken away that the former code reads, nothing demanded that it does not give.

What a migration itself creates is empty and unknown to the former code, so it may do with that what it likes. `LANDED` are the
migrations that broke a rule before there was one, or that may for a reason.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED

OURS = ("integrations", "mapping", "sync", "activities")
REMOVALS = (
    migrations.RemoveField,
    migrations.DeleteModel,
    migrations.RenameField,
    migrations.RenameModel,
    migrations.AlterModelTable,
)
BEFORE_THE_FIRST_RELEASE = "Landed before the first release: no site ran the code before it."
LANDED: Mapping[str, str] = dict.fromkeys(
    ("sync.0003_inbox_and_streams", "sync.0006_matching_indexes", "sync.0013_undoing"), BEFORE_THE_FIRST_RELEASE
)
_TAKES_LONG = (
    (r"ALTER COLUMN [^,;]* TYPE ", "rewrites the table"),
    (
        r"ALTER COLUMN [^,;]* SET NOT NULL",
        "reads the whole table under a lock, and refuses what the former code writes",
    ),
    (r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)", "locks the table against writing while the index is built"),
    (
        r"ADD CONSTRAINT [^;]* (?:CHECK|FOREIGN KEY|UNIQUE|EXCLUDE)(?![^;]*NOT VALID)",
        "reads the whole table under a lock",
    ),
    (r"DROP (COLUMN|TABLE)(?! IF EXISTS)", "takes away what the former code reads"),
    (r"LOCK TABLE|VACUUM FULL|CLUSTER ", "locks the table"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    migration: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.what} {self.why}."


def faults() -> list[Fault]:
    """Of all our migrations that are not excused."""
    loader = MigrationLoader(None)
    return [
        fault
        for (app, name), one in sorted(loader.disk_migrations.items())
        if app in OURS and f"{app}.{name}" not in LANDED
        for fault in look(one, loader.project_state((app, name), at_end=False))
    ]


def look(migration: migrations.Migration, state: ProjectState) -> Iterator[Fault]:
    """What is wrong with one migration. `state` is that before it."""
    made: set[str] = set()
    for operation in migration.operations:
        before, state = state, state.clone()
        operation.state_forwards(migration.app_label, state)
        for part in _parts(operation):
            if isinstance(part, migrations.CreateModel):
                made |= {part.name.lower(), str(part.options.get("db_table", part.name)).lower()}
            elif str(getattr(part, "model_name", "")).lower() not in made:
                for what, why in _wrong(part, made, _Change(migration.app_label, before, state)):
                    yield Fault(f"{migration.app_label}.{migration.name}", what, why)


@dataclass(frozen=True, slots=True)
class _Change:
    app: str
    before: ProjectState
    after: ProjectState

    def makes_a_key_anew(self, operation: Any) -> bool:
        """To change its index, Django takes a foreign key away and makes it again; its SQL tells so only in a migrated database."""
        name = (self.app, operation.model_name_lower)
        sides: list[Any] = [state.models[name].fields[operation.name] for state in (self.before, self.after)]
        is_key = all(one.many_to_one and one.db_constraint for one in sides)
        return is_key and len({one.db_index for one in sides}) > 1

    def sql(self, operation: Any) -> list[str]:
        """What it says to the database; nothing where only Django has to know."""
        with connection.schema_editor(collect_sql=True, atomic=False) as editor:
            operation.database_forwards(self.app, editor, self.before, self.after)
            return [str(one) for one in editor.collected_sql]


def _parts(operation: Any) -> Iterator[Any]:
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        for one in operation.database_operations:
            yield from _parts(one)
    else:
        yield operation


def _wrong(operation: Any, made: set[str], change: _Change) -> Iterator[tuple[str, str]]:
    what = operation.describe()
    if isinstance(operation, REMOVALS):
        yield what, "takes away what the former code reads: do it in a later release"
    elif isinstance(operation, migrations.AddField):
        yield from ((what, why) for why in _new_field(operation.field))
    elif isinstance(operation, migrations.AlterField):
        if change.makes_a_key_anew(operation):
            yield what, "checks all rows anew under a lock: change the state alone, and drop what is not needed by hand"
        yield from ((what, why) for _sql_, why in _sql(change.sql(operation), made))
    elif isinstance(operation, migrations.AddIndex) and not isinstance(operation, AddIndexConcurrently):
        yield what, "locks the table against writing: use AddIndexConcurrently"
    elif isinstance(operation, migrations.RemoveIndex) and not isinstance(operation, RemoveIndexConcurrently):
        yield what, "waits for the table for itself: use RemoveIndexConcurrently"
    elif isinstance(operation, migrations.AddConstraint) and not isinstance(operation, AddConstraintNotValid):
        yield what, "reads the whole table under a lock: use AddConstraintNotValid, or a unique index made concurrently"
    elif isinstance(operation, migrations.RunSQL):
        yield from _sql(operation.sql, made)


def _new_field(field: Any) -> Iterator[str]:
    if field.many_to_many:
        return
    if not field.null and field.db_default is NOT_PROVIDED:
        yield "has no default in the database: the former code does not fill it in"
    if field.unique or (field.db_index and not isinstance(field, models.ForeignKey)):
        yield "builds an index under a lock: add the field first, then the index concurrently"
    if isinstance(field, models.ForeignKey) and getattr(field, "db_index", True):
        yield "builds an index under a lock: db_index=False, then AddIndexConcurrently"


def _sql(sql: Any, made: set[str]) -> Iterator[tuple[str, str]]:
    texts = [sql] if isinstance(sql, str) else [one if isinstance(one, str) else one[0] for one in sql]
    for text in texts:
        if any(re.search(rf"\b{re.escape(table)}\b", text) for table in made):
            continue
        bare = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)  # a function's body runs later
        for pattern, why in _TAKES_LONG:
            if re.search(pattern, bare, re.I):
                yield f"“{' '.join(bare.split())[:80]}”", why
