"""The whole fake HubSpot, and what it holds at the start."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta

from integrations.providers.hubspot.sandbox.batch import Batches
from integrations.providers.hubspot.sandbox.books import Books
from integrations.providers.hubspot.sandbox.byhand import ByHand
from integrations.providers.hubspot.sandbox.catalogue import Catalogue
from integrations.providers.hubspot.sandbox.consent import GRANTED, Consents
from integrations.providers.hubspot.sandbox.portal import (
    ACCESS_TOKEN,
    LIMITED_TOKEN,
    PRIVATE_TOKEN,
    REFRESH_TOKEN,
    TOKEN_SECONDS,
    iso,
)
from integrations.providers.hubspot.sandbox.records import SILENT
from integrations.providers.hubspot.sandbox.schema import (
    INTERESTS,
    LEAD_STATUSES,
    LIFECYCLE,
    PROPERTIES,
    RATINGS,
)
from integrations.providers.hubspot.sandbox.search import Search
from integrations.providers.hubspot.sandbox.timeline import Timelines
from integrations.providers.hubspot.sandbox.trade import seed_trade
from integrations.providers.hubspot.sandbox.webhooks import Webhooks
from integrations.sandbox.people import Person, part, people

CONTACTS = 1_200
PEOPLE_SEED = 22
BEGINNING = datetime(2025, 1, 6, 9, tzinfo=UTC)
OWNERS = (
    ("Amelia", "Stone"),
    ("Bruno", "Castel"),
    ("Chidi", "Okoro"),
    ("Dana", "Weiss"),
    ("Elif", "Demir"),
    ("Farid", "Haddad"),
)
FIRST_OWNER, FIRST_USER = 70_101, 9_001
"""An owner's id is not its user's id."""


class Sandbox(Webhooks, Timelines, Consents, Batches, ByHand, Search, Catalogue, Books):
    """`add_contacts` makes as many more contacts as a test wants, cheaply."""

    def seed(self) -> None:
        if not self.store.count("owners"):
            self._seed_account()
            self.rebuild()
            with self.by(SILENT):
                self._seed_contacts()
                seed_trade(self, BEGINNING)
        else:
            self.rebuild()

    def _seed_account(self) -> None:
        now = self.clock.timestamp()
        self.keep_token(PRIVATE_TOKEN, None)
        self.keep_token(LIMITED_TOKEN, None, ["crm.objects.contacts.read", "crm.objects.contacts.write"])
        self.keep_token(ACCESS_TOKEN, now + TOKEN_SECONDS, GRANTED)
        self.keep_refresh_token(REFRESH_TOKEN, GRANTED)
        for kind, definitions in PROPERTIES.items():
            for definition in definitions:
                self.keep_property(kind, deepcopy(definition))
        for number, (first, last) in enumerate(OWNERS):
            self._seed_owner(number, first, last, archived=False)
        self._seed_owner(len(OWNERS), "Gone", "Away", archived=True)

    def _seed_owner(self, number: int, first: str, last: str, *, archived: bool) -> None:
        owner_id = str(FIRST_OWNER + number)
        user_id = FIRST_USER + number
        owner = {
            "id": owner_id,
            "email": f"{first}.{last}@northwind.example",
            "type": "PERSON",
            "firstName": first,
            "lastName": last,
            "userId": None if archived else user_id,
            "userIdIncludingInactive": user_id,
            "createdAt": iso(BEGINNING),
            "updatedAt": iso(BEGINNING),
            "archived": archived,
        }
        self.store.put("owners", owner_id, owner)

    def _seed_contacts(self) -> None:
        taken: set[str] = set()
        for person in people(part(CONTACTS), PEOPLE_SEED):
            properties = _contact(person)
            # HubSpot keeps an address with one contact only: the duplicate has to live without.
            if properties["email"] in taken:
                properties["email"] = ""
            taken.add(properties["email"])
            stamp = iso(BEGINNING + timedelta(hours=5 * person.number))
            self.create("contacts", properties, stamp=stamp, indexed=True)

    def add_contacts(self, count: int, modified: datetime) -> list[str]:
        """Ids of so many new contacts, all changed at this moment and already found by searches."""
        stamp = iso(modified)
        with self.by(SILENT):
            return [
                self.create("contacts", {"lastname": f"Extra {number}"}, stamp=stamp, indexed=True)["id"]
                for number in range(count)
            ]


def _contact(person: Person) -> dict[str, str]:
    number = person.number
    return {
        "firstname": person.first_name,
        "lastname": person.last_name,
        "email": person.email.strip().lower(),
        "phone": person.phone,
        "mobilephone": person.mobile,
        "company": person.company,
        "jobtitle": person.title,
        "address": person.street,
        "city": person.city,
        "zip": person.postal_code,
        "country": person.country,
        "hs_lead_status": "" if number % 4 == 0 else LEAD_STATUSES[number % len(LEAD_STATUSES)][0],
        "lifecyclestage": LIFECYCLE[number % len(LIFECYCLE)][0],
        # Every eleventh belongs to somebody who has left.
        "hubspot_owner_id": "" if number % 5 == 0 else str(FIRST_OWNER + (6 if number % 11 == 0 else number % 6)),
        "lead_rating": RATINGS[number % 3][0] if number % 2 else "",
        "interests": ";".join(value for value, _ in INTERESTS[: number % 4]),
        "seats": str(number % 90) if number % 3 == 0 else "",
        "sdr_owner": str(FIRST_OWNER + number % 3) if number % 7 == 0 else "",
    }
