"""Uses a connection to the fake CRM from a process of its own, when a line on standard input says so.

python -m tests.live.refresher CONNECTION_ID check|work
"""

import os
import sys
from uuid import UUID

import django


def main(connection_id: str, what: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from integrations import registry, tenancy
    from integrations.connecting import check
    from integrations.models import CrmConnection
    from sync.work import work

    registry.PROVIDERS["fakecrm"] = ("Fake CRM", "tests.fake_crm")
    with tenancy.everyone():
        row = CrmConnection.objects.select_related("tenant").get(pk=connection_id)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if what == "check":
        with tenancy.everyone():
            sys.stdout.write(check(row).external_id)
    else:
        sys.stdout.write(str(work(UUID(connection_id))["done"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
