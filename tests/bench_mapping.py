"""The mapping engine: `script/bench mapping`."""

from typing import Any

FIELDS = {"first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email"}


def bench_mapping() -> None:
    """The compiled mapping against a function written by hand for the same nine fields."""
    from integrations.registry import provider_class
    from mapping.compiled import CompiledMapping, MappingRow
    from mapping.transforms import TRANSFORMS, Context
    from tests.bench import compare

    rows = [
        MappingRow(one.dialer_field, "contacts", one.crm_field, one.direction, one.transform, dict(one.options))
        for one in provider_class("hubspot").default_mappings
        if one.dialer_field in FIELDS
    ]
    engine = CompiledMapping.compile(rows, object_type="contacts")
    records = [
        {
            "firstname": f"First{i}", "lastname": f"Last{i}", "email": f"Person{i}@Example.com", "phone": f"(415) 555-{i:04}",
            "mobilephone": "", "company": "Company Ltd", "jobtitle": "Buyer", "hs_lead_status": "NEW",
            "hubspot_owner_id": "rep@example.com",
        }
        for i in range(10_000)
    ]  # fmt: skip
    phone = TRANSFORMS["phone_e164"].build("inbound", {}, Context())

    def by_hand() -> list[dict[str, Any]]:
        return [
            {
                "first_name": one["firstname"] or None, "last_name": one["lastname"] or None,
                "email": one["email"].strip().lower() or None, "phone": phone(one["phone"], one),
                "mobile_phone": phone(one["mobilephone"], one) if one["mobilephone"] else None, "company": one["company"] or None,
                "title": one["jobtitle"] or None, "lead_status": one["hs_lead_status"] or None,
                "owner_email": one["hubspot_owner_id"] or None,
            }
            for one in records
        ]  # fmt: skip

    def ours() -> list[Any]:
        with engine.session() as session:
            return [session.inbound(one) for one in records]

    compare("mapping", ours, by_hand, "10,000 records, nine inbound fields, against a function written by hand")
