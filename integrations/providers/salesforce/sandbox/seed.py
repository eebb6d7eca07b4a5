"""The organisation's first content: the same people each time, some converted, some a queue's, some stamped alike."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.providers.salesforce.sandbox.objects import LEAD_STATUSES, STAGES, SYSTEM_PERMISSIONS
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.soql import stamp
from integrations.providers.salesforce.sandbox.tokens import CLIENT_ID, KEYS, REFRESH, REFRESH_TOKEN, USERNAME, make_key
from integrations.sandbox.people import Person, part, people

LEADS, CONTACTS, SEED = 1_110, 160, 11
DEALS = 6
BEGIN = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
STEP = timedelta(minutes=37)
# A mass update leaves hundreds of rows with one stamp, more than fit on a page.
MASS_UPDATE = range(400, 700)
CONVERTED_EVERY, QUEUE_EVERY = 90, 25
NO_COMPANY = "[not provided]"  # what people type into a required field

USERS = (
    (USERNAME, "Integration User", True),
    ("ava.brooks@acme.example", "Ava Brooks", True),
    ("liam.chen@acme.example", "Liam Chen", True),
    ("noor.haddad@acme.example", "Noor Haddad", True),
    ("sofia.rossi@acme.example", "Sofia Rossi", True),
    ("tom.becker@acme.example", "Tom Becker", False),
)


class Seeder:
    def __init__(self, org: Org) -> None:
        self._org = org
        self._accounts: dict[str, str] = {}

    def fill(self) -> None:
        self._org.store.put(KEYS, CLIENT_ID, make_key())
        self._save("Organization", {"Name": "Acme Field Sales", "IsSandbox": False})
        users = [self._user(*user) for user in USERS]
        self._rights(users[0])
        queue = self._save("Group", {"Name": "Unassigned Leads"})
        self._org.store.put(REFRESH, REFRESH_TOKEN, {"user_id": users[0]})
        leads = part(LEADS)
        everybody = people(leads + part(CONTACTS), SEED)
        owners = users[1:5]
        contacts = [
            self._contact(person, owners[number % 4], _moment(number))
            for number, person in enumerate(everybody[leads:])
        ]
        for number, person in enumerate(everybody[:leads]):
            owner = queue if number % QUEUE_EVERY == 7 else owners[number % 4]
            heir = contacts[number % len(contacts)] if number % CONVERTED_EVERY == 11 else ""
            self._lead(person, owner, _moment(number), LEAD_STATUSES[number % 2], heir)
        self._deals(owners[0], contacts)

    def _rights(self, user: str) -> None:
        """What the integration user's profile gives, in the form of the set that every profile has."""
        values = {f"Permissions{name}": name != "ModifyAllData" for name in SYSTEM_PERMISSIONS}
        profile = self._save(
            "PermissionSet", {"Name": "X00ex", "Label": "Integration", "IsOwnedByProfile": True} | values
        )
        self._save("PermissionSetAssignment", {"AssigneeId": user, "PermissionSetId": profile})

    def _deals(self, owner: str, contacts: list[str]) -> None:
        accounts = list(self._accounts.values())[:DEALS]
        campaign = self._save("Campaign", {"Name": "Spring outreach", "OwnerId": owner})
        for number, account in enumerate(accounts):
            deal = {"Name": f"Dialer seats {number + 1}", "AccountId": account, "Amount": 1_000.0 * (number + 1)}
            stage = {"StageName": STAGES[number % len(STAGES)], "CloseDate": "2030-06-30", "OwnerId": owner}
            self._save("Opportunity", deal | stage)
            self._save("CampaignMember", {"CampaignId": campaign, "ContactId": contacts[number], "Status": "Sent"})
        meeting = {"Subject": "Meeting", "StartDateTime": stamp(BEGIN), "DurationInMinutes": 30, "OwnerId": owner}
        self._save("Event", {**meeting, "WhoId": contacts[0]})

    def _user(self, email: str, name: str, active: bool) -> str:
        user = {"Username": email, "Email": email, "Name": name, "IsActive": active, "UserType": "Standard"}
        return self._save("User", user)

    def _contact(self, person: Person, owner: str, moment: str) -> str:
        values = _person(person, owner) | {
            "AccountId": self._account(person.company, owner) if person.company else None,
            "MailingStreet": person.street,
            "MailingCity": person.city,
            "MailingPostalCode": person.postal_code,
            "MailingCountry": person.country,
        }
        return self._save("Contact", values, moment)

    def _lead(self, person: Person, owner: str, moment: str, status: str, heir: str) -> None:
        values = _person(person, owner) | {
            "Company": person.company or NO_COMPANY,
            "Status": "Closed - Converted" if heir else status,
            "Street": person.street,
            "City": person.city,
            "PostalCode": person.postal_code,
            "Country": person.country,
            "IsConverted": bool(heir),
            "ConvertedContactId": heir or None,
        }
        self._save("Lead", values, moment)

    def _account(self, name: str, owner: str) -> str:
        if name not in self._accounts:
            self._accounts[name] = self._save("Account", {"Name": name, "OwnerId": owner})
        return self._accounts[name]

    def _save(self, object_type: str, values: dict[str, Any], moment: str = "") -> str:
        moment = moment or stamp(BEGIN)
        row = {"Id": self._org.new_id(object_type), "IsDeleted": False, **values}
        row |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), moment)
        self._org.save(object_type, row)
        return str(row["Id"])


def _person(person: Person, owner: str) -> dict[str, Any]:
    texts = {
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Name": f"{person.first_name} {person.last_name}",
        "Title": person.title,
        "Email": person.email,
        "Phone": person.phone[:40],
        "MobilePhone": person.mobile[:40],
    }
    return {
        **{name: text.strip() or None for name, text in texts.items()},
        "DoNotCall": person.do_not_call,
        "OwnerId": owner,
    }


def _moment(number: int) -> str:
    return stamp(BEGIN + STEP * (MASS_UPDATE.start if number in MASS_UPDATE else number))
