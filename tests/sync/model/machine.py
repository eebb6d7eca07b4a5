"""Anything that may happen between our side and the CRMs, in any order; and what must be true whenever all is at rest."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from integrations import errors, tenancy
from integrations.crm import open_crm
from integrations.models import CrmConnection, Tenant
from integrations.records.events import RemoteEvent
from integrations.records.remote import ChangePage, Cursor, Fetched
from integrations.transport.client import Patience
from mapping.models import Blank, ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import add_defaults, compiled, publish
from sync import conflicts, editing, inbox, loops, pulling, pushes, queue, reconciling
from sync.inbound import PageWriter
from sync.models import Conflict, Contact, FeedCursor, Quarantine, SyncJob, SyncRecord
from sync.pull import feed_of
from sync.work import work
from tests.sync.model import checks
from tests.sync.model.crm import KIND, Crm, Manner, Person, WorkerDied
from tests.sync.model.provider import CRMS, TEXTS

API = editing.Author("api", "Dialer")
PATIENCE = Patience(turn=0, retry=0)
MOST_PEOPLE = 4
MOST_ROUNDS = 8
BETWEEN_RESTS = 25
PAST = "2026-01-01T00:00:00Z"
WHICH = st.integers(0, MOST_PEOPLE - 1)
TEXT = st.sampled_from(TEXTS)
VALUE = st.sampled_from(["new", "new", "new", "Ames", "Bell", None])
"""`new`: a value that nobody had before."""
RULE = st.sampled_from(["", *Strategy.values])
BLANK = st.sampled_from([Blank.CLEAR, Blank.CLEAR, Blank.IGNORE, Blank.FILL])
MANNER = st.builds(Manner, tombstones=st.booleans(), keyed=st.booleans(), tells_values=st.booleans())
CONNECTED = st.sampled_from([("telling",), ("telling",), ("silent",), ("telling", "silent")])


@dataclass(frozen=True, slots=True)
class Side:
    """A connected CRM."""

    row: CrmConnection
    crm: Crm


@dataclass(frozen=True, slots=True)
class Held:
    """What a slow process read and has not applied yet."""

    side: Side
    read: ChangePage | Fetched
    cursor: Cursor | None = None


class BothSides(RuleBasedStateMachine):
    """One tenant, our contacts, and one or two CRMs that hold some of the same people."""

    steps = 0
    """Of all examples so far."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.sides: list[Side] = []
        self.held: list[Held] = []
        self.connected = False
        self.values = 0
        self.since_rest = 0
        self.seen = 0
        """The history's length when it was looked at last."""

    # --- setting up ----------------------------------------------------------------------------------------------

    @initialize(
        slugs=CONNECTED,
        manner=MANNER,
        default=RULE,
        rules=st.lists(RULE, min_size=len(TEXTS), max_size=len(TEXTS)),
        blanks=st.lists(BLANK, min_size=len(TEXTS), max_size=len(TEXTS)),
        on_delete=st.sampled_from(["mark", "unlink", "delete"]),
    )
    def connect(
        self,
        slugs: Sequence[str],
        manner: Manner,
        default: str,
        rules: Sequence[str],
        blanks: Sequence[str],
        on_delete: str,
    ) -> None:
        with tenancy.everyone():
            name = uuid4().hex
            self.tenant = Tenant.objects.create(slug=name, name=name)
        self.stack.enter_context(tenancy.scope(self.tenant.pk))
        if default:
            ConflictPolicy.objects.create(tenant=self.tenant, default=default)
        self.blanks = dict(zip(TEXTS, blanks, strict=True))
        for slug in slugs:
            self.sides.append(self._side(slug, manner, dict(zip(TEXTS, rules, strict=True)), on_delete))

    def _side(self, slug: str, manner: Manner, rules: Mapping[str, str], on_delete: str) -> Side:
        row = CrmConnection.objects.create(
            tenant=self.tenant, provider=slug, auth="key", access_token="x", settings={"on_delete": {KIND: on_delete}}
        )
        add_defaults(row)
        mine = FieldMapping.objects.filter(tenant=self.tenant, crm_provider=slug)
        for name in TEXTS:
            mine.filter(dialer_field=name).update(strategy=rules[name], on_blank=self.blanks[name])
        publish(self.tenant.pk, slug)
        CRMS[str(row.pk)] = crm = Crm(manner, mark=checks.length_of_history)
        return Side(row, crm)

    def teardown(self) -> None:
        try:
            if self.sides:
                self.rest_for_good()
        finally:
            for side in self.sides:
                del CRMS[str(side.row.pk)]
            self.stack.close()

    # --- people edit ---------------------------------------------------------------------------------------------

    def contacts(self) -> list[Contact]:
        return list(Contact.objects.filter(deleted_at=None).order_by("created_at", "pk"))

    def fresh(self, value: str | None) -> str | None:
        if value == "new":
            self.values += 1
            return f"value {self.values}"
        return value

    def somebody(self) -> dict[str, Any]:
        self.values += 1
        return {"first_name": f"Ann{self.values}", "last_name": "Lee", "email": f"p{self.values}@example.com"}

    @rule(barred=st.booleans())
    def create_ours(self, barred: bool) -> None:
        if Contact.objects.count() < MOST_PEOPLE:
            editing.create(self.tenant.pk, {**self.somebody(), "do_not_call": barred}, API)

    @rule(which=WHICH, barred=st.booleans())
    def create_theirs(self, which: int, barred: bool) -> None:
        side = self.side(which)
        if len(side.crm.people) < MOST_PEOPLE:
            side.crm.add({**self.somebody(), "dnc": barred})

    @rule(which=WHICH, barred=st.booleans(), company=VALUE)
    def create_the_same_on_both(self, which: int, barred: bool, company: str | None) -> None:
        side, person = self.side(which), self.somebody()
        if len(side.crm.people) < MOST_PEOPLE and Contact.objects.count() < MOST_PEOPLE:
            editing.create(self.tenant.pk, {**person, "company": self.fresh(company), "do_not_call": barred}, API)
            side.crm.add({**person, "company": self.fresh(company), "dnc": not barred})

    @rule(which=WHICH, field=TEXT, value=VALUE)
    def edit_ours(self, which: int, field: str, value: str | None) -> None:
        found = self.contacts()
        if found:
            editing.edit(found[which % len(found)].pk, {field: self.fresh(value)}, API)

    @precondition(lambda self: any(side.crm.people for side in self.sides))
    @rule(which=WHICH, field=TEXT, value=VALUE)
    def edit_theirs(self, which: int, field: str, value: str | None) -> None:
        side = self.side(which)
        person = self.person(side, which)
        if person:
            side.crm.edit(person, {field: self.fresh(value)})

    @precondition(lambda self: any(side.crm.people for side in self.sides))
    @rule(which=WHICH, field=TEXT, ours=VALUE, theirs=VALUE)
    def edit_both(self, which: int, field: str, ours: str | None, theirs: str | None) -> None:
        side = self.side(which)
        person = self.person(side, which)
        link = SyncRecord.objects.filter(connection=side.row, crm_record_id=person.id).first() if person else None
        if person and link and link.local_record_id:
            side.crm.edit(person, {field: self.fresh(theirs)})
            editing.edit(link.local_record_id, {field: self.fresh(ours)}, API)

    @rule(which=WHICH, barred=st.booleans())
    def bar_ours(self, which: int, barred: bool) -> None:
        found = self.contacts()
        if found:
            editing.edit(found[which % len(found)].pk, {"do_not_call": barred}, API)

    @precondition(lambda self: any(side.crm.people for side in self.sides))
    @rule(which=WHICH, barred=st.booleans())
    def bar_theirs(self, which: int, barred: bool) -> None:
        side = self.side(which)
        person = self.person(side, which)
        if person:
            side.crm.edit(person, {"dnc": barred})

    @precondition(lambda self: any(side.crm.people for side in self.sides))
    @rule(which=WHICH)
    def delete_theirs(self, which: int) -> None:
        side = self.side(which)
        person = self.person(side, which)
        if person:
            side.crm.delete(person)

    @precondition(lambda self: any(one.deleted for side in self.sides for one in side.crm.people.values()))
    @rule(which=WHICH)
    def undelete_theirs(self, which: int) -> None:
        dead = [(side.crm, one) for side in self.sides for one in side.crm.people.values() if one.deleted]
        crm, person = dead[which % len(dead)]
        crm.undelete(person)

    @precondition(lambda self: any(side.crm.people for side in self.sides))
    @rule(which=WHICH, other=WHICH)
    def merge_theirs(self, which: int, other: int) -> None:
        side = self.side(which)
        winner, loser = self.person(side, which), self.person(side, other)
        if winner and loser and winner is not loser:
            side.crm.merge(winner, loser)

    @rule(choice=st.sampled_from(list(conflicts.Choice)))
    def decide(self, choice: conflicts.Choice) -> None:
        """What only a person can decide, if there is anything."""
        conflict = Conflict.objects.filter(status="open").order_by("pk").first()
        if conflict:
            conflicts.resolve(conflict, choice, "Kim", value=self.fresh("new"))
        found = Quarantine.objects.filter(released_at=None).order_by("pk").first()
        if found:
            loops.release(found, "Kim")

    def side(self, which: int) -> Side:
        return self.sides[which % len(self.sides)]

    def person(self, side: Side, which: int) -> Person | None:
        found = side.crm.alive()
        return found[which % len(found)] if found else None

    # --- what the CRMs tell --------------------------------------------------------------------------------------

    @precondition(lambda self: any(side.crm.pending for side in self.sides))
    @rule(which=WHICH, places=st.lists(st.integers(0, 9), min_size=1, max_size=4), twice=st.booleans())
    def deliver(self, which: int, places: Sequence[int], twice: bool) -> None:
        side = self.side(which)
        for place in places:
            if side.crm.pending:
                event = side.crm.pending.pop(place % len(side.crm.pending))
                side.crm.told.append(event)
                self.tell(side, [event, event] if twice else [event])

    @precondition(lambda self: any(side.crm.pending for side in self.sides))
    @rule(which=WHICH, place=st.integers(0, 9))
    def drop(self, which: int, place: int) -> None:
        pending = self.side(which).crm.pending
        if pending:
            pending.pop(place % len(pending))

    @precondition(lambda self: any(side.crm.told for side in self.sides))
    @rule(which=WHICH, place=st.integers(0, 50))
    def deliver_once_more(self, which: int, place: int) -> None:
        side = self.side(which)
        if side.crm.told:
            event = side.crm.told[place % len(side.crm.told)]
            self.tell(side, [replace(event, dedupe_key=f"again-{uuid4()}")])

    def tell(self, side: Side, events: Sequence[RemoteEvent]) -> None:
        for event in events:
            inbox.store([inbox.Arrival(self.tenant.pk, side.row.pk, event)], inbox.WEBHOOK)

    # --- machines work -------------------------------------------------------------------------------------------

    @rule(which=WHICH)
    def work(self, which: int) -> None:
        self.let_time_pass()
        with suppress(WorkerDied):
            work(self.side(which).row.pk, patience=PATIENCE)

    @rule(which=WHICH)
    def poll(self, which: int) -> None:
        pulling.enqueue_all([self.side(which).row])

    @rule(which=WHICH)
    def reconcile(self, which: int) -> None:
        reconciling.enqueue_all([self.side(which).row])

    @rule()
    def find_dead_workers(self) -> None:
        SyncJob.objects.filter(state="leased").update(lease_until=PAST)
        queue.release_expired()

    @rule(which=WHICH, pages=st.booleans())
    def read_and_wait(self, which: int, pages: bool) -> None:
        """A process reads, and then takes its time."""
        side = self.side(which)
        provider, _api = open_crm(side.row, PATIENCE)
        row = FeedCursor.objects.filter(connection=side.row, feed=feed_of(KIND)).first()
        cursor = (row.value or None) if row else None
        with suppress(WorkerDied, errors.CrmError):
            if pages:
                self.held.append(Held(side, next(iter(provider.changes(KIND, cursor, ()))), cursor))
            else:
                self.held.append(Held(side, provider.fetch(KIND, list(side.crm.people), ())))

    @precondition(lambda self: self.held)
    @rule(place=st.integers(0, 9))
    def apply_what_was_read(self, place: int) -> None:
        held = self.held.pop(place % len(self.held))
        mapping = compiled(held.side.row, KIND)
        with mapping.engine.session() as session:
            writer = PageWriter(held.side.row, None, session, object_type=KIND, mapping_version=mapping.version)
            if isinstance(held.read, Fetched):
                writer.apply_fetched(held.read, moved={}, erased=(), along=lambda: None)
                return
            with suppress(errors.Retry):  # another one has read on meanwhile
                writer.apply(held.read, feed_of(KIND), held.cursor)

    # --- what happens at the worst moment ------------------------------------------------------------------------

    @rule(
        which=WHICH,
        call=st.sampled_from(["page", "fetch", "write"]),
        moment=st.sampled_from(["before", "after"]),
        what=st.sampled_from(
            ["throttle", "stumble", "lose_answer", "die", "edit_ours", "edit_theirs", "second", "slow"]
        ),
        field=TEXT,
        value=VALUE,
        at_once=st.booleans(),
    )
    def plan(self, which: int, call: str, moment: str, what: str, field: str, value: str | None, at_once: bool) -> None:
        """Something will happen at the next call of a kind; `at_once`: there is work that makes such a call."""
        side = self.side(which)
        happenings: dict[str, Callable[[], object]] = {
            "throttle": lambda: _raise(errors.Throttled("Too many requests.", after=5)),
            "stumble": lambda: _raise(errors.Retry("The CRM stumbled.")),
            "lose_answer": lambda: _raise(errors.OutcomeUnknown("No answer came.")),
            "die": lambda: _raise(WorkerDied()),
            "edit_ours": lambda: self.edit_ours_now(which, field, value),
            "edit_theirs": lambda: self.edit_theirs_now(which, field, value),
            "second": lambda: self.work_now(side),
            "slow": lambda: self.lose_lease_now(side),
        }
        side.crm.plan[f"{moment} {call}"] = happenings[what]
        if at_once:
            self.stir(side, call, which, field)
            self.work(which)

    def stir(self, side: Side, call: str, which: int, field: str) -> None:
        if call == "page":
            pulling.enqueue_all([side.row])
        elif call == "write":
            self.edit_ours_now(which, field, "new")
        elif side.crm.pending:
            side.crm.told.append(side.crm.pending.pop())
            self.tell(side, side.crm.told[-1:])

    @rule(which=WHICH)
    def refuse(self, which: int) -> None:
        """The CRM doesn't take the next record."""
        self.side(which).crm.refuses = 1

    def edit_ours_now(self, which: int, field: str, value: str | None) -> None:
        found = self.contacts()
        if found:
            editing.edit(found[which % len(found)].pk, {field: self.fresh(value)}, API)

    def edit_theirs_now(self, which: int, field: str, value: str | None) -> None:
        side = self.side(which)
        person = self.person(side, which)
        if person:
            side.crm.edit(person, {field: self.fresh(value)})

    def work_now(self, side: Side) -> None:
        """A second worker, while the first one waits for an answer."""
        self.let_time_pass()
        work(side.row.pk, patience=PATIENCE)

    def lose_lease_now(self, side: Side) -> None:
        """The first worker was so slow that its lease ran out."""
        SyncJob.objects.filter(state="leased").update(lease_until=PAST)
        queue.release_expired()
        self.work_now(side)

    def let_time_pass(self) -> None:
        SyncJob.objects.filter(state="ready").update(not_before=PAST)

    # --- what must be true ---------------------------------------------------------------------------------------

    @invariant()
    def nothing_was_loosened_by_an_older_word(self) -> None:
        type(self).steps += self.connected
        self.connected = True
        self.since_rest += 1
        if self.sides:
            self.seen = checks.loosened(self.sides, self.seen)

    @precondition(lambda self: self.since_rest > BETWEEN_RESTS)
    @rule()
    def come_to_rest(self) -> None:
        self.since_rest = 0
        self.calm()
        self.settle(None)
        checks.at_rest(self.sides, self.blanks)

    def rest_for_good(self) -> None:
        """And then everything once more: nothing is written by it."""
        self.come_to_rest()
        before = self.footprint()
        self.tell_everything_again()
        self.settle(before)
        assert self.footprint() == before, "a second run wrote something"

    def calm(self) -> None:
        for side in self.sides:
            side.crm.plan.clear()
            side.crm.refuses = 0

    def settle(self, before: list[Any] | None) -> None:
        """Tells all that was not told, works all that waits, reads and compares everything, until nothing moves any more."""
        for _round in range(MOST_ROUNDS):
            for side in self.sides:
                self.tell(side, side.crm.pending)
                side.crm.told += side.crm.pending
                side.crm.pending = []
            pulling.enqueue_all([side.row for side in self.sides])
            reconciling.enqueue_all([side.row for side in self.sides])
            self.find_dead_workers()
            queue.replay(SyncJob.objects.all())
            self.work_all()
            now = self.footprint()
            if now == before and not any(side.crm.pending for side in self.sides):
                return
            before = now
        raise AssertionError("It does not come to rest.")

    def work_all(self) -> None:
        for _go in range(200):
            self.let_time_pass()
            ready = set(SyncJob.objects.filter(state="ready").values_list("connection_id", flat=True))
            if not ready:
                return
            for connection_id in ready:
                work(connection_id, patience=PATIENCE)
        raise AssertionError("The work does not end.")

    def tell_everything_again(self) -> None:
        """Every event and every record again, and every contact is looked at once more."""
        for side in self.sides:
            self.tell(side, [replace(one, dedupe_key=f"again-{uuid4()}") for one in reversed(side.crm.told)])
        pulling.enqueue_all([side.row for side in self.sides], full=True)
        pushes.enqueue(self.contacts())

    def footprint(self) -> list[Any]:
        """What a run leaves behind."""
        versions = Contact.objects.order_by("pk").values_list("pk", "version", "updated_at")
        links = SyncRecord.objects.order_by("pk").values_list("pk", "local_record_id", "base", "sync_status")
        open_ones = Conflict.objects.order_by("pk").values_list("pk", "status", "ours", "theirs")
        pushed = SyncJob.objects.filter(kind=pushes.KIND).exclude(state="done").count()
        counts = [side.crm.writes for side in self.sides], checks.length_of_history(), pushed
        return [counts, list(versions), list(links), list(open_ones)]


def _raise(error: BaseException) -> None:
    raise error
