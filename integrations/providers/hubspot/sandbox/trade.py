"""The companies and deals that the portal starts with, tied to its first contacts."""

from datetime import datetime, timedelta

from integrations.providers.hubspot.sandbox.links import Links
from integrations.providers.hubspot.sandbox.portal import iso
from integrations.providers.hubspot.sandbox.schema import INDUSTRIES, STAGES

COMPANIES, DEALS = 40, 60
WORDS = ("Harbor", "Summit", "Juniper", "Copper", "Meadow", "Granite", "Willow", "Beacon")
KINDS = ("Software", "Realty", "Outfitters", "Builders", "Partners")


def seed_trade(portal: Links, beginning: datetime) -> None:
    """Everything before anybody looked: nobody is told of it."""
    contacts = [contact["id"] for contact in portal.store.all("contacts")]
    with portal.by(""):
        companies = [_company(portal, number, beginning) for number in range(COMPANIES)]
        for number, company in enumerate(companies):
            portal.link("contacts", contacts[number], "companies", company, [1])
        for number in range(DEALS):
            deal = _deal(portal, number, beginning)
            portal.link("deals", deal, "companies", companies[number % COMPANIES], [5])
            portal.link("deals", deal, "contacts", contacts[number])


def _company(portal: Links, number: int, beginning: datetime) -> str:
    name = f"{WORDS[number % len(WORDS)]} {KINDS[number % len(KINDS)]} {number}"
    properties = {
        "name": name,
        "domain": f"{name.lower().replace(' ', '-')}.example",
        "phone": f"+1415555{number:04d}",
        "industry": INDUSTRIES[number % len(INDUSTRIES)][0] if number % 3 else "",
        "numberofemployees": str(5 * number) if number % 4 else "",
        "lifecyclestage": "customer" if number % 5 == 0 else "lead",
    }
    stamp = iso(beginning + timedelta(hours=7 * number))
    return str(portal.create("companies", properties, stamp=stamp, indexed=True)["id"])


def _deal(portal: Links, number: int, beginning: datetime) -> str:
    properties = {
        "dealname": f"Renewal {number}",
        "amount": str(1_000 + 250 * number) if number % 6 else "",
        "pipeline": "default",
        "dealstage": STAGES[number % len(STAGES)][0],
        "closedate": iso(beginning + timedelta(days=200 + number)),
    }
    stamp = iso(beginning + timedelta(hours=11 * number))
    return str(portal.create("deals", properties, stamp=stamp, indexed=True)["id"])
