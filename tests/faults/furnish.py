"""Makes, connects and loads the tenants of a campaign in one process: `python -m tests.faults.furnish < orders`.

Orders and answer are JSON: CRM → address of its sandbox and credential; then CRM → API key of its tenant.
"""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
from django.core.management import call_command
from django.db import connections


def main() -> None:
    django.setup()
    orders: dict[str, Any] = json.load(sys.stdin)
    call_command("migrate", verbosity=0)
    keys = {slug: json.loads(_said("create_tenant", f"of-{slug}", "--json"))["api_key"] for slug in orders}
    with ThreadPoolExecutor() as pool:
        list(pool.map(_load, orders, orders.values()))
    _said("subscribe_webhooks", "--json")
    print(json.dumps(keys))


def _load(slug: str, credential: dict[str, Any]) -> None:
    from integrations import tenancy
    from integrations.connecting import connect
    from integrations.models import Tenant

    try:
        with tenancy.everyone():
            connect(Tenant.objects.get(slug=f"of-{slug}"), slug, credential)
        _said("sync_now", f"of-{slug}", "--json")
    finally:
        connections.close_all()


def _said(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


if __name__ == "__main__":
    main()
