"""Takes back what a sync run or a mapping version did: a plan first, and when somebody says so the same steps in fact.

Each step lists what the target changed, then looks at it contact by contact, in slices on the back-fill lane (`steps`):
what do we hold, what does the CRM hold, who changed it since. What was left alone since goes back; the rest is left as it is and
told. An undo has a run of its own, with its own history, so it can be undone in turn; that of a mapping version by undoing the
version that it made.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.registry import provider_class
from mapping.compiled import MappingError
from mapping.models import MappingVersion
from mapping.publishing import restore
from sync import backfilling, erasing, holding, queue
from sync.models import Lane, SentValue, SyncJob, SyncRun, Undo, UndoItem
from sync.rehearsing import Refused
from sync.undoing import targets

KIND = "undo"
Status = Undo.Status

STILL_GOING = "This run is not over yet. Wait until it is done, or until it has stopped, and undo it then."
FIRST_VERSION = "This is the first version of the mapping: there is no earlier one to go back to."
NO_DIFFERENCE = "The rows of this version are those of the one before, so there is nothing to undo."
NOT_CONNECTED = (
    "There is no working connection to this CRM. Connect it again first: the undo has to look at its records."
)
NOT_READY = "Only an undo whose plan is ready can be carried out. This one is: {state}."
MOVED_ON = "Another mapping version was published since this plan was made. Make the plan again."
ANOTHER = "Another undo is running for this tenant. Wait until it is done."


# --- beginning ------------------------------------------------------------------------------------------------------


def plan_run(run: SyncRun, by: str) -> Undo:
    """Has it worked out what undoing the run would do. Raises Refused."""
    version = version_of(run)
    if version is not None:
        return plan_version(version, by)
    if run.status in (SyncRun.Status.RUNNING, SyncRun.Status.PAUSED):
        raise Refused(STILL_GOING)
    _refuse_unusable(run.connection)
    return _planned(Undo(tenant_id=run.tenant_id, connection=run.connection, of_run=run, created_by=by[:200]))


def plan_version(version: MappingVersion, by: str) -> Undo:
    """The same for a mapping version, and with it for all later ones. Raises Refused."""
    before, newest, fields = targets.concerned(version)
    if before is None:
        raise Refused(FIRST_VERSION)
    if not fields:
        raise Refused(NO_DIFFERENCE)
    rows = CrmConnection.objects.filter(tenant_id=version.tenant_id, provider=version.crm_provider)
    connection = rows.select_related("tenant").filter(status=CrmConnection.Status.CONNECTED).first()
    if connection is None:
        raise Refused(NOT_CONNECTED)
    undo = Undo(
        tenant_id=version.tenant_id, connection=connection, of_version=version, back_to=before, through=newest,
        fields=fields, created_by=by[:200],
    )  # fmt: skip
    return _planned(undo)


def version_of(run: SyncRun) -> MappingVersion | None:
    """The version that an undo made when it went back: undoing such a run means undoing that version."""
    if run.kind != SyncRun.Kind.UNDO or run.mapping_version is None:
        return None
    found: MappingVersion | None = MappingVersion.objects.filter(
        tenant_id=run.tenant_id, crm_provider=run.connection.provider, number=run.mapping_version
    ).first()
    return found


def _refuse_unusable(connection: CrmConnection) -> None:
    if not connection.is_usable:
        raise Refused(NOT_CONNECTED)


def _planned(undo: Undo) -> Undo:
    with transaction.atomic():
        undo.save()
        queue.enqueue([job_for(undo)])
    return undo


def job_for(undo: Undo) -> SyncJob:
    return SyncJob(
        tenant_id=undo.tenant_id,
        connection_id=undo.connection_id,
        kind=KIND,
        key=str(undo.pk),
        payload={"undo": str(undo.pk)},
        lane=Lane.BACKFILL,
    )


def discard(undo: Undo) -> bool:
    """Drops a plan and its list. False: it is being carried out, or was."""
    with transaction.atomic():
        plans = Undo.objects.filter(pk=undo.pk, run=None, status__in=[Status.PLANNING, Status.READY, Status.FAILED])
        dropped = bool(plans.update(status=Status.DISCARDED, finished_at=timezone.now()))
        if dropped:
            UndoItem.objects.filter(undo=undo).delete()
    return dropped


def carry_out(undo: Undo, by: str, *, user_id: int | None = None) -> Undo:
    """Begins to do what was planned; a mapping version goes at once. Raises Refused, and then nothing has changed."""
    with transaction.atomic():
        holding.lock_tenant(undo.tenant_id)
        row: Undo = Undo.objects.select_for_update(of=("self",)).select_related("connection__tenant").get(pk=undo.pk)
        if row.status != Status.READY:
            raise Refused(NOT_READY.format(state=row.get_status_display()))
        _refuse_unusable(row.connection)
        version = _go_back(row, user_id) if row.back_to else None
        row.run = _run_of(row, version)
        row.status, row.begun_at, row.created_by = Status.RUNNING, timezone.now(), by[:200]
        row.listed, row.total, row.done, row.counts = False, 0, 0, {}
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError as error:
            raise Refused(ANOTHER) from error
        UndoItem.objects.filter(undo=row).delete()
        queue.enqueue([job_for(row)])
    return row


def _go_back(undo: Undo, user_id: int | None) -> MappingVersion:
    """What is written under the version is compensated here, so only fields that are mapped again after a while are back-filled."""
    versions = MappingVersion.objects.filter(tenant_id=undo.tenant_id, crm_provider=undo.connection.provider)
    newest = versions.order_by("-number").first()
    if undo.back_to is None or newest is None or newest.pk != undo.through_id:
        raise Refused(MOVED_ON)
    try:
        with backfilling.held_off():
            made = restore(undo.back_to, user_id=user_id)
    except MappingError as error:
        raise Refused(f"The earlier version can't be used any more. {error}") from error
    held = {row["dialer_field"] for row in newest.rows}
    missed = [row for row in undo.back_to.rows if row["dialer_field"] not in held]
    inbound, outbound = backfilling.added([], missed)
    for connection in CrmConnection.objects.filter(tenant_id=undo.tenant_id, provider=undo.connection.provider):
        backfilling.start(connection, inbound, outbound)
    return made


def _run_of(undo: Undo, version: MappingVersion | None) -> SyncRun:
    made: SyncRun = SyncRun.objects.create(
        tenant_id=undo.tenant_id,
        connection=undo.connection,
        kind=SyncRun.Kind.UNDO,
        object_type=provider_class(undo.connection.provider).mapping_object,
        fields_only=undo.fields,
        mapping_version=version.number if version else None,
    )
    return made


def forget_people(contact_ids: Collection[UUID], **_: object) -> None:
    """Receiver of `sync.erasing.contacts_erased`: what was noted of erased people goes."""
    ids = list(contact_ids)
    UndoItem.objects.filter(contact_id__in=ids).delete()
    SentValue.objects.filter(record__in=erasing.links_of(ids)).delete()
