"""Writes many rows in one statement, whether they exist or not."""

from collections.abc import Sequence
from typing import Any

from django.db import models


def upsert(model: type[models.Model], rows: Sequence[Any], fields: Sequence[str], *, key: Sequence[str] = ()) -> None:
    """Inserts the rows; where one with the same key (the primary key unless said otherwise) exists, updates `fields`.

    The caller holds the rows' locks if their old values matter.
    """
    if rows:
        manager: Any = model._default_manager
        manager.bulk_create(
            rows, update_conflicts=True, unique_fields=list(key) or [model._meta.pk.name], update_fields=list(fields)
        )
