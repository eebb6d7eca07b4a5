"""Counts what each connection asks of its CRM, by the hour: for the health page and for budgets."""

from uuid import UUID

from django.db import connection, transaction

_COUNT = """
INSERT INTO api_usage (connection_id, hour, calls, failures, throttled, milliseconds)
VALUES (%s, date_trunc('hour', now()), 1, %s, %s, %s)
ON CONFLICT (connection_id, hour) DO UPDATE SET
    calls = api_usage.calls + 1,
    failures = api_usage.failures + excluded.failures,
    throttled = api_usage.throttled + excluded.throttled,
    milliseconds = api_usage.milliseconds + excluded.milliseconds
"""


def count(connection_id: UUID, *, seconds: float, failed: bool = False, throttled: bool = False) -> None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_COUNT, [connection_id, int(failed), int(throttled), round(seconds * 1000)])
