"""Asks a CRM as often as the limiter lets it, for some seconds: one of several processes that share a quota.

python -m tests.live.spender CONNECTION_ID PATH SECONDS
"""

import os
import sys
import time

import django


def main(connection_id: str, path: str, seconds: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from integrations import tenancy
    from integrations.crm import open_crm
    from integrations.models import CrmConnection
    from integrations.transport.client import COMMAND

    with tenancy.everyone():
        row = CrmConnection.objects.select_related("tenant").get(pk=connection_id)
    _provider, api = open_crm(row, COMMAND)
    ends = time.monotonic() + float(seconds)
    while time.monotonic() < ends:
        api.request("GET", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
