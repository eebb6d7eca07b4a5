"""The tenant that is attacked: its connections, its key, and the tables that are counted."""

import time
from dataclasses import dataclass
from typing import Any

from django.db import connection as database
from django.test import Client

from activities.models import Call
from integrations import tenancy
from integrations.authentication import PerKeyThrottle
from integrations.models import ApiKey, CrmConnection
from sync.models import Contact
from tests import factories

PUBLIC = "https://dialer.example.com"
HUBSPOT_SECRET, FUB_KEY, SALESFORCE_SECRET = (
    "hubspot-secret-of-a-test",
    "fub-key-of-a-test",
    "salesforce-secret-of-a-test",
)
ORGANIZATION = "00DD0000000abcdMAA"
COUNTED = (
    "call_activities", "call_stages", "contacts", "field_changes", "sync_jobs", "inbox_events", "crm_sync_records",
    "match_reviews", "conflicts",
)  # fmt: skip
EMPTIED_EVERY = 300


@dataclass
class World:
    """A tenant with its connections and key, made once."""

    key: str
    contact: Contact
    call: Call
    connections: dict[str, CrmConnection]
    outbound: CrmConnection
    """Of another tenant, whose organisation sends outbound messages."""
    client: Client
    requests: int = 0

    def counts(self) -> list[Any]:
        marks = ", ".join(
            f"(SELECT md5({table}::text) FROM {table} WHERE id = %s)" for table in ("contacts", "call_activities")
        )
        sums = ", ".join(f"(SELECT count(*) FROM {table})" for table in COUNTED)
        with database.cursor() as cursor:
            cursor.execute(f"SELECT {sums}, {marks}", [self.contact.pk, self.call.pk])
            return list(cursor.fetchone())

    def make_room(self) -> None:
        """Counting stays quick only in small tables."""
        self.requests += 1
        if self.requests % EMPTIED_EVERY:
            return
        with database.cursor() as cursor:
            kept = {"contacts": self.contact.pk, "call_activities": self.call.pk}
            for table in (
                "sync_jobs",
                "inbox_events",
                "call_stages",
                "field_changes",
                "match_reviews",
                "call_activities",
                "contacts",
            ):
                cursor.execute(
                    f"DELETE FROM {table}" + (" WHERE id <> %s" if table in kept else ""),
                    [kept[table]] if table in kept else [],
                )


def make_world(settings: Any) -> World:
    settings.DEBUG = False  # pages that tell of errors take long
    settings.PUBLIC_URL, settings.HUBSPOT_CLIENT_SECRET, settings.FOLLOWUPBOSS_SYSTEM_KEY = (
        PUBLIC,
        HUBSPOT_SECRET,
        FUB_KEY,
    )
    PerKeyThrottle.THROTTLE_RATES = {**PerKeyThrottle.THROTTLE_RATES, "api_key": "100000000/min"}
    tenant, other = (factories.tenant(f"{slug}-{time.time_ns()}") for slug in ("attacked", "outbound"))
    with tenancy.everyone():
        key = ApiKey.issue(tenant, "attacked")[1]
    bare: dict[str, Any] = {"secrets": {}, "settings": {}}
    hmac_of = {"settings": {"webhook_scheme": "hmac"}, "secrets": {"webhook_secret": SALESFORCE_SECRET}}
    rows = {
        "hubspot": factories.connection(tenant, "hubspot", **bare | {"account_id": "4242"}),
        "followupboss": factories.connection(tenant, "followupboss", **bare),
        "salesforce": factories.connection(tenant, "salesforce", **bare | hmac_of | {"account_id": ORGANIZATION}),
    }
    outbound = factories.connection(other, "salesforce", **bare | {"account_id": "00DD0000000abceMAA"})
    contact = factories.contact(tenant)
    factories.link(rows["hubspot"], contact, crm_record_id="7")
    call = factories.call(tenant, contact)
    client = Client(HTTP_AUTHORIZATION=f"Bearer {key}")
    return World(key, contact, call, rows, outbound, client)
