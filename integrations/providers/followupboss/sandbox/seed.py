"""The account that the fake Follow Up Boss starts with. Its keys and tokens open nothing else.

The owner's key sees everybody, the agent's only the people assigned to or shared with that agent.
"""

from datetime import UTC, datetime, timedelta

from integrations.providers.followupboss.sandbox.shapes import EMPTY, checked_list
from integrations.sandbox.people import Person, part, people
from integrations.sandbox.store import Document, Store

ACCOUNT = {
    "id": 1234567,
    "domain": "harborview",
    "name": "Harbor View Realty",
    "owner": {"id": 1, "name": "Dana Okafor"},
}
OWNER_KEY, ADMIN_KEY, AGENT_KEY = "fka_sandbox_owner", "fka_sandbox_admin", "fka_sandbox_agent"
CLIENT_ID, CLIENT_SECRET = "fub_sandbox_client", "fub_sandbox_secret"
ACCESS_TOKEN, REFRESH_TOKEN = "fub_sandbox_access", "fub_sandbox_refresh"
PEOPLE, SEED = 1250, 33
FIRST_PERSON = 1001
START = datetime(2025, 9, 1, 8, tzinfo=UTC)

# id, name, e-mail, role, status
USERS = (
    (1, "Dana Okafor", "dana@harborview.example", "Broker", "Active"),
    (2, "Luis Ferreira", "luis@harborview.example", "Broker", "Active"),
    (3, "Avery Chen", "avery@harborview.example", "Agent", "Active"),
    (4, "Priya Nair", "priya@harborview.example", "Agent", "Active"),
    (5, "Tom Ås", "tom@harborview.example", "Agent", "Active"),
    (6, "Gone Agent", "gone@harborview.example", "Agent", "Deleted"),
    (7, "Lena Lender", "lena@loans.example", "Lender", "Active"),
)
STAGES = ("Lead", "Prospect", "Nurture", "Active Client", "Under Contract", "Past Client", "Trash")
# name, the stage whose people it holds, whether it is of the newer kind
SMART_LISTS = (("Hot Leads", "Lead", False), ("To Nurture", "Nurture", True), ("Past Clients", "Past Client", True))
# label, type, choices
CUSTOM_FIELDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Company", "text", ()),
    ("Title", "text", ()),
    ("Last Called", "date", ()),
    ("Dialer Call Count", "number", ()),
    ("Last AI Score", "number", ()),
    ("Preferred Language", "dropdown", ("English", "Español", "Français")),
)


def fill(store: Store, now: float) -> None:
    """`now`: the first access token lives for an hour from then."""
    _fill_access(store, now)
    for number, name in enumerate(STAGES, start=1):
        stage = {"id": number, "name": name, "orderWeight": number * 1000, "isProtected": name in {"Lead", "Trash"}}
        store.put("stages", str(number), stage)
    for label, kind, choices in CUSTOM_FIELDS:
        number = store.next_number("customfields")
        name = "custom" + "".join(word[:1].upper() + word[1:] for word in label.split())
        field = {"id": number, "name": name, "label": label, "type": kind, "choices": list(choices), "readOnly": False}
        store.put("customfields", str(number), field)
    for number, (name, of_stage, newer) in enumerate(SMART_LISTS, start=1):
        store.put("smartlists", str(number), {"id": number, "name": name, "stage": of_stage, "fub2": newer})
    for person in people(part(PEOPLE), SEED):
        number = store.next_number("people", FIRST_PERSON)
        store.put("people", str(number), _document(number, person))


def _fill_access(store: Store, now: float) -> None:
    for number, name, email, role, status in USERS:
        first, _, last = name.partition(" ")
        user = {"id": number, "name": name, "firstName": first, "lastName": last, "email": email, "role": role}
        store.put("users", str(number), {**user, "status": status, "isOwner": number == 1})
    for key, user_id in ((OWNER_KEY, 1), (ADMIN_KEY, 2), (AGENT_KEY, 3)):
        store.put("api_keys", key, {"userId": user_id})
    store.put("access_tokens", ACCESS_TOKEN, {"userId": 1, "expires": now + 3600})
    store.put("refresh_tokens", REFRESH_TOKEN, {"token": REFRESH_TOKEN, "userId": 1, "used": now})
    app = {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "redirectUris": []}  # any address, also on loopback
    store.put("oauth_clients", CLIENT_ID, app)


def _document(number: int, person: Person) -> Document:
    first_agent = USERS[number % 5]
    stage = len(STAGES) if number % 47 == 0 else 1 + number % (len(STAGES) - 1)
    created = (START + timedelta(hours=3 * person.number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": number,
        "created": created,
        "updated": created,
        **EMPTY,
        "name": f"{person.first_name} {person.last_name}".strip(),
        "firstName": person.first_name,
        "lastName": person.last_name,
        "stage": STAGES[stage - 1],
        "stageId": stage,
        "source": ("Website", "Zillow", "Referral")[number % 3],
        "assignedUserId": first_agent[0],
        "assignedTo": first_agent[1],
        "collaborators": [{"id": 3, "name": USERS[2][1]}] if number % 29 == 0 else [],
        "tags": ["DNC"] if person.do_not_call else [],
        "emails": checked_list("emails", _emails(number, person)),
        "phones": checked_list("phones", _phones(number, person)),
        "addresses": _addresses(person),
        "customCompany": person.company or None,
        "customTitle": person.title or None,
    }


def _emails(number: int, person: Person) -> list[Document]:
    if not person.email:
        return []
    current = {"value": person.email, "type": "work", "isPrimary": 1}
    former = {"value": f"former.{person.email.strip()}", "type": "home", "isPrimary": 0, "status": "Invalid"}
    return [former, current] if number % 10 == 0 else [current]


def _phones(number: int, person: Person) -> list[Document]:
    """In no fixed order, some at home."""
    phone = {"value": person.phone, "type": "home" if number % 4 == 0 else "work"}
    mobile = {"value": person.mobile, "type": "mobile"}
    given = [entry for entry in (phone, mobile) if entry["value"]]
    return given[::-1] if number % 3 == 0 else given


def _addresses(person: Person) -> list[Document]:
    place = {"city": person.city, "state": "", "code": person.postal_code, "country": person.country}
    return [{"type": "work", "street": person.street, **place}]
