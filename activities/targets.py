"""Where calls belong: on the record that was dialled, in each CRM that knows the person, and on nobody else.

Everything is looked up for all calls of a request together, in a number of statements that does not grow with them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from activities.models import Call
from integrations import prepared
from integrations.models import CrmConnection
from sync import link_states, queue
from sync.folding import MERGED_INTO
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.queue import NewJob

KIND = "log_call"
CONTACTS = Contact._meta.db_table
MOST_HOPS = 10
Asked = tuple[Call, UUID | None]
"""A call, and the contact that it says it was with."""
Dialled = tuple[str, str]
"""CRM and record id."""


class TargetError(LookupError):
    """The call names something that isn't there. `field` is the one at fault, the message says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Target:
    """A record of one connection that the call has to be logged on."""

    connection_id: UUID
    object_type: str
    record_id: str


Placed = Mapping[UUID, Sequence[Target]]
"""Call → its targets."""


def locate(call: Call, contact_id: UUID | None) -> list[Target]:
    """`locate_all` for one call. Raises TargetError."""
    found = locate_all([(call, contact_id)])[call.pk]
    if isinstance(found, TargetError):
        raise found
    return found


def locate_all(
    asked: Sequence[Asked], links: Mapping[UUID, list[Target]] | None = None
) -> dict[UUID, list[Target] | TargetError]:
    """Finds whom each call was with, notes it on the call, and gives the records to log it on, or what is wrong.

    A record that was dialled comes first, or the one that it lives on in, and is logged on even if we have not read it yet; the
    same person's records in the tenant's other CRMs follow. On a record that was deleted nothing can be logged. A number that
    fits nobody, or several, makes the call wait for a person. `links`: the records of the contacts that are named, where the
    caller has asked for them already.
    """
    return _Locator(asked, links).run() if asked else {}


class _Locator:
    """What the calls of one tenant name, looked up at once."""

    def __init__(self, asked: Sequence[Asked], links: Mapping[UUID, list[Target]] | None) -> None:
        self.asked = asked
        calls = [call for call, _contact_id in asked]
        self.records = _dialled_links({(one.crm_provider, one.crm_record_id) for one in calls if one.crm_record_id})
        self.connections = _connections(
            {one.crm_provider for one in calls if one.crm_record_id and _key(one) not in self.records}
        )
        tenant_id = calls[0].tenant_id
        numbers = {one.phone for one, contact_id in asked if not one.crm_record_id and contact_id is None}
        self.owners = _owners_of(tenant_id, numbers) if numbers else {}
        named = {contact_id for _call, contact_id in asked if contact_id is not None}
        people = {link.local_record_id for link in self.records.values() if link.local_record_id}
        looked = named if links is not None else set()
        wanted = named | people | {one for found in self.owners.values() for one in found}
        self.links = {**(links or {}), **_targets_of(tenant_id, wanted - looked)}
        # Who is linked is there; only of others it has to be asked whether they are, or whom they were joined with.
        self.survivors = _survivors([one for one in named if one not in self.links])
        moved = set(self.survivors.values()) - self.links.keys() - named
        self.links.update(_targets_of(tenant_id, moved))

    def run(self) -> dict[UUID, list[Target] | TargetError]:
        found: dict[UUID, list[Target] | TargetError] = {}
        for call, contact_id in self.asked:
            try:
                found[call.pk] = self._place(call, self._known(contact_id))
            except TargetError as error:
                found[call.pk] = error
        return found

    def _known(self, contact_id: UUID | None) -> UUID | None:
        if contact_id is None or contact_id in self.links:
            return contact_id
        if contact_id not in self.survivors:
            raise TargetError("contact_id", "There is no such contact.")
        return self.survivors[contact_id]

    def _place(self, call: Call, contact_id: UUID | None) -> list[Target]:
        call.review = Call.Review.NONE
        if call.crm_record_id:
            return self._by_record(call, contact_id)
        return self._by_number(call) if contact_id is None else self._of_person(call, contact_id)

    def _by_record(self, call: Call, contact_id: UUID | None) -> list[Target]:
        link = self.records.get(_key(call))
        if link is None or link.connection_id is None:
            if call.crm_provider not in self.connections:
                raise TargetError("provider", "This CRM is not connected. Connect it in the admin first.")
            dialled = Target(self.connections[call.crm_provider], "", call.crm_record_id)
        else:
            if contact_id not in {None, link.local_record_id}:
                raise TargetError("contact_id", "The dialled record belongs to another contact. Send one of the two.")
            contact_id = link.local_record_id
            if link_states.is_deleted(link):
                return self._of_person(call, contact_id) if contact_id else _of_nobody(call)
            dialled = Target(link.connection_id, link.crm_object_type, link.crm_record_id)
        others = self._of_person(call, contact_id) if contact_id else []
        call.review = Call.Review.NONE
        return [dialled, *(one for one in others if one.connection_id != dialled.connection_id)]

    def _by_number(self, call: Call) -> list[Target]:
        found = self.owners.get(call.phone, ())
        if len(found) == 1:
            return self._of_person(call, found[0])
        call.review = Call.Review.AMBIGUOUS_NUMBER if found else Call.Review.UNKNOWN_NUMBER
        return []

    def _of_person(self, call: Call, contact_id: UUID) -> list[Target]:
        call.contact_id = contact_id
        found = self.links.get(contact_id, [])
        if not found:
            call.review = Call.Review.NOT_LINKED
        return found


def _key(call: Call) -> Dialled:
    return call.crm_provider, call.crm_record_id


def _of_nobody(call: Call) -> list[Target]:
    call.review = Call.Review.NOT_LINKED
    return []


def _dialled_links(dialled: Collection[Dialled]) -> dict[Dialled, SyncRecord]:
    """The links of these records, or of those that they live on in."""
    if not dialled:
        return {}
    rows = SyncRecord.objects.filter(
        crm_provider__in={provider for provider, _id in dialled},
        crm_record_id__in=[record_id for _provider, record_id in dialled],
        local_table=CONTACTS,
    ).exclude(connection=None)
    found = {(row.crm_provider, row.crm_record_id): row for row in rows.order_by("-created_at")}
    return _follow({key: row for key, row in found.items() if key in dialled})


def _follow(found: dict[Dialled, SyncRecord]) -> dict[Dialled, SyncRecord]:
    """Each link, or the one at the end of its signposts; all of them take a step at a time."""
    for _hop in range(MOST_HOPS):
        steps = {key: _next_step(row) for key, row in found.items() if row.metadata.get("moved_to")}
        rows = SyncRecord.objects.filter(crm_record_id__in=[step[2] for step in steps.values()]) if steps else ()
        known = {(row.connection_id, row.crm_object_type, row.crm_record_id): row for row in rows}
        moves = {key: known[step] for key, step in steps.items() if step in known}
        if not moves:
            break
        found = {**found, **moves}
    return found


def _next_step(row: SyncRecord) -> tuple[UUID | None, str, str]:
    object_type, record_id = row.metadata["moved_to"]
    return row.connection_id, object_type, record_id


def _connections(providers: Collection[str]) -> dict[str, UUID]:
    if not providers:
        return {}
    return dict(CrmConnection.objects.filter(provider__in=providers).values_list("provider", "pk"))


_OWNERS = """
SELECT wanted.phone, c.id FROM unnest(%(numbers)s::text[]) AS wanted(phone) CROSS JOIN LATERAL (
    (SELECT id FROM contacts WHERE tenant_id = %(tenant)s AND phone = wanted.phone AND phone <> '' AND deleted_at IS NULL LIMIT 2)
    UNION
    (SELECT id FROM contacts WHERE tenant_id = %(tenant)s AND mobile_phone = wanted.phone AND mobile_phone <> ''
        AND deleted_at IS NULL LIMIT 2)
) AS c
"""


def _owners_of(tenant_id: UUID, numbers: Collection[str]) -> dict[str, list[UUID]]:
    """Contacts by number: all that matters is whether it is nobody, one, or several."""
    found: dict[str, list[UUID]] = defaultdict(list)
    with prepared.cursor() as cursor:
        cursor.execute(_OWNERS, {"numbers": sorted(numbers), "tenant": tenant_id})
        for phone, contact_id in cursor.fetchall():
            found[phone].append(contact_id)
    return found


_LINKS = """
SELECT local_record_id, connection_id, crm_object_type, crm_record_id FROM crm_sync_records
WHERE local_record_id = ANY(%(people)s::uuid[]) AND tenant_id = %(tenant)s AND local_table = 'contacts'
    AND connection_id IS NOT NULL AND NOT metadata ?| %(gone)s
ORDER BY created_at
"""


def _targets_of(tenant_id: UUID, contact_ids: Collection[UUID]) -> dict[UUID, list[Target]]:
    """For each contact one record in each CRM that knows it and still has it: the one that was linked first."""
    if not contact_ids:
        return {}
    gone = list(link_states.NO_LONGER_THERE)
    return first_of_each(prepared.rows(_LINKS, {"people": list(contact_ids), "tenant": tenant_id, "gone": gone}))


def first_of_each(links: Iterable[tuple[UUID, UUID, str, str]]) -> dict[UUID, list[Target]]:
    """Links (contact, connection, type and id of the record), the oldest first, as targets: for each CRM the first."""
    found: dict[UUID, dict[UUID, Target]] = defaultdict(dict)
    for contact_id, connection_id, object_type, record_id in links:
        found[contact_id].setdefault(connection_id, Target(connection_id, object_type, record_id))
    return {contact_id: list(records.values()) for contact_id, records in found.items()}


def _survivors(contact_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Those of the contacts that exist, each with the one that it was joined into, if it was."""
    found: dict[UUID, UUID] = {}
    ends = {one: one for one in contact_ids}
    for _hop in range(MOST_HOPS):
        if not ends:
            break
        rows = Contact.objects.filter(pk__in=set(ends.values())).values_list("pk", "deleted_at", "custom")
        known = {pk: custom.get(MERGED_INTO) if deleted_at else None for pk, deleted_at, custom in rows}
        found.update({start: end for start, end in ends.items() if end in known})
        ends = {start: UUID(known[end] or "") for start, end in ends.items() if known.get(end)}
    return found


def enqueue(calls: Iterable[Call], placed: Placed, besides: Iterable[NewJob] = ()) -> None:
    """One job per call and CRM, in the transaction that stores the calls. `besides`: other jobs to add in the same statement."""
    jobs = [job for call in calls for job in _jobs(call, placed.get(call.pk, ()))]
    queue.enqueue([*jobs, *besides])


def _jobs(call: Call, targets: Iterable[Target]) -> list[NewJob]:
    return [
        NewJob(
            tenant_id=call.tenant_id,
            connection_id=target.connection_id,
            kind=KIND,
            key=str(call.pk),
            local_record_id=call.pk,
            payload={"object_type": target.object_type, "record_id": target.record_id},
            lane=Lane.CALLS,
        )
        for target in targets
    ]


def hold_waiting(calls: Iterable[Call]) -> None:
    """Keeps workers from taking these calls' waiting jobs before this transaction is over: they would read what was."""
    waiting = SyncJob.objects.select_for_update().filter(
        local_record_id__in=[call.pk for call in calls], state=SyncJob.State.READY
    )
    list(waiting.order_by("pk").values_list("pk", flat=True))
