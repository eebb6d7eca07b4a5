"""A candidate: a mapping, and a conflict policy if it has one, as it would be in force; and what it would move.

Only fields whose rows, or whose rule for conflicts, differ from what is in force are affected; nothing else is tried or moved.
A candidate with a policy of its own concerns every connection of the tenant, one without only the connection it is for.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from integrations.models import CrmConnection
from integrations.registry import provider_class
from mapping.compiled import CompiledMapping, MappingRow
from mapping.models import ConflictPolicy, MappingVersion, Strategy
from mapping.policy import strategies
from sync.models import Rehearsal
from sync.pull import only

Rows = Sequence[Mapping[str, Any]]
READING = (
    "crm_object", "crm_field", "transform", "options", "object_overrides", "required", "validations", "on_blank",
)  # fmt: skip
"""What of a row decides which value comes in."""
WRITING = ("crm_object", "crm_field", "transform", "options", "object_overrides", "on_blank")
"""What of a row decides which value goes out."""


@dataclass(frozen=True)
class Policy:
    default: str
    overrides: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {"default": self.default, "overrides": dict(self.overrides)}

    def strategy(self, rows: Rows) -> Callable[[str], str]:
        return strategies(self.default, self.overrides, rows)


@dataclass(frozen=True)
class Basis:
    """What is in force: the newest mapping version of each CRM, and the conflict policy."""

    versions: Mapping[str, int]
    rows: Mapping[str, Rows]
    policy: Policy

    def as_json(self) -> dict[str, Any]:
        return {"versions": dict(self.versions), "policy": self.policy.as_json()}


def basis_of(connections: Sequence[CrmConnection]) -> Basis:
    tenant_id = connections[0].tenant_id
    newest = MappingVersion.objects.filter(
        tenant_id=tenant_id, crm_provider__in=[one.provider for one in connections]
    ).order_by("crm_provider", "-number")
    found = {row.crm_provider: row for row in newest.distinct("crm_provider")}
    return Basis(
        {provider: row.number for provider, row in found.items()},
        {provider: row.rows for provider, row in found.items()},
        policy_in_force(tenant_id),
    )


def policy_in_force(tenant_id: object) -> Policy:
    row: ConflictPolicy | None = ConflictPolicy.objects.filter(tenant_id=tenant_id).first()
    return Policy(row.default, dict(row.overrides)) if row else Policy(Strategy.CRM_WINS.value, {})


def fingerprint(rehearsal: Rehearsal) -> str:
    """Of the candidate: another draft has another one."""
    text = json.dumps([rehearsal.rows, rehearsal.policy], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Part:
    """What the candidate means for one connection."""

    connection: CrmConnection
    rows: Rows
    inbound: tuple[str, ...]
    """Dialer fields whose value from the CRM may become another one."""
    outbound: tuple[str, ...]
    """Dialer fields that would be written to the CRM in another way."""
    strategy: Callable[[str], str]

    @property
    def moves(self) -> bool:
        return bool(self.inbound or self.outbound)

    def whole(self, object_type: str) -> CompiledMapping:
        """Raises MappingError."""
        tenant = self.connection.tenant
        return CompiledMapping.compile(
            [MappingRow(**row) for row in self.rows],
            object_type=object_type,
            region=tenant.region,
            timezone=tenant.timezone,
        )

    def reading(self, object_type: str) -> CompiledMapping:
        return only(self.whole(object_type), self.inbound)

    def writing(self, object_type: str) -> CompiledMapping:
        return only(self.whole(object_type), {*self.inbound, *self.outbound})


class Candidate:
    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.connections = concerned(rehearsal)

    @cached_property
    def basis(self) -> Basis:
        return basis_of(self.connections)

    @cached_property
    def policy(self) -> Policy:
        own = self.rehearsal.policy
        return Policy(own["default"], own["overrides"]) if own is not None else self.basis.policy

    @cached_property
    def parts(self) -> list[Part]:
        """In a fixed order; connections that it does not concern are left out."""
        return [part for part in map(self._part, self.connections) if part.moves]

    @cached_property
    def own(self) -> Part:
        """For the connection whose mapping it is."""
        return self._part(self.rehearsal.connection)

    @property
    def differs(self) -> bool:
        before = self.basis.rows.get(self.rehearsal.connection.provider, ())
        return list(before) != list(self.rehearsal.rows) or self.policy != self.basis.policy

    @property
    def steps(self) -> list[tuple[Part, str]]:
        return [(part, kind) for part in self.parts for kind in provider_class(part.connection.provider).person_types]

    def _part(self, connection: CrmConnection) -> Part:
        before = self.basis.rows.get(connection.provider, ())
        after = self.rehearsal.rows if connection.pk == self.rehearsal.connection_id else before
        strategy = self.policy.strategy(after)
        inbound = affected_inbound(before, after, self.basis.policy.strategy(before), strategy)
        return Part(connection, after, inbound, affected_outbound(before, after), strategy)


def concerned(rehearsal: Rehearsal) -> list[CrmConnection]:
    rows = CrmConnection.objects.filter(tenant_id=rehearsal.tenant_id).select_related("tenant").order_by("provider")
    if rehearsal.policy is None:
        return list(rows.filter(pk=rehearsal.connection_id))
    return list(rows.exclude(status=CrmConnection.Status.DISCONNECTED))


def affected_inbound(
    before: Rows, after: Rows, rule_before: Callable[[str], str], rule_after: Callable[[str], str]
) -> tuple[str, ...]:
    old = _by_field(before, "outbound")
    return tuple(
        field
        for field, row in _by_field(after, "outbound").items()
        if _differs(row, old.get(field), READING) or rule_before(field) != rule_after(field)
    )


def affected_outbound(before: Rows, after: Rows) -> tuple[str, ...]:
    old = _by_field(before, "inbound")
    return tuple(field for field, row in _by_field(after, "inbound").items() if _differs(row, old.get(field), WRITING))


def _by_field(rows: Rows, not_going: str) -> dict[str, Mapping[str, Any]]:
    return {row["dialer_field"]: row for row in rows if row["direction"] != not_going}


def _differs(row: Mapping[str, Any], was: Mapping[str, Any] | None, names: Sequence[str]) -> bool:
    return was is None or any((row.get(name) or None) != (was.get(name) or None) for name in names)
