"""Several small questions to the database in one statement: for a page that shows a little of many tables.

Each answer is what the queryset would have given: rows of its model, or dicts for `values`. Only columns that JSON can carry may
be asked for, so not those that are encrypted, and no related rows.
"""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection as database
from django.db.models import Model, QuerySet


def ask_together(**questions: "QuerySet[Any, Any]") -> dict[str, list[Any]]:
    """The rows of each queryset, by its name."""
    parts: list[str] = []
    values: list[Any] = []
    asked: list[str] = []
    for name, rows in questions.items():
        try:
            sql, given = rows.query.sql_with_params()
        except EmptyResultSet:
            continue
        parts.append(f"(SELECT coalesce(json_agg(one), '[]') FROM ({sql}) one)")  # noqa: S608 - Django's own SQL
        values += given
        asked.append(name)
    found: tuple[Any, ...] = ()
    if parts:
        with database.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(parts), values)
            found = cursor.fetchone()
    answers: dict[str, list[Any]] = {name: [] for name in questions}
    for name, told in zip(asked, found, strict=True):
        answers[name] = [_made(questions[name], row) for row in told]
    return answers


def _made(rows: "QuerySet[Any, Any]", told: dict[str, Any]) -> Any:
    model: type[Model] = rows.model
    fields = {one.column: one for one in model._meta.concrete_fields}
    converted = {name: fields[name].to_python(value) if name in fields else value for name, value in told.items()}
    if not rows.query.default_cols:  # `values`
        return converted
    return model.from_db(database.alias, [fields[name].attname for name in converted], list(converted.values()))
