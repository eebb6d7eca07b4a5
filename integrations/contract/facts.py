"""What a provider says of its service before anybody asks it anything."""

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.functional import Promise

from integrations.contract.ports import Api
from integrations.records.connections import Connection
from integrations.records.fields import MappingDefault
from integrations.records.limits import RateLimit


class Facts(ABC):
    """The class attributes that each provider fills in. The roles of the contract read nothing else."""

    slug: ClassVar[str]
    label: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    """Host names we may talk to over https; a leading `*.` stands for any one or more labels."""
    person_types: ClassVar[tuple[str, ...]]
    """Object types that hold people to dial, in the order to pull them."""
    call_type: ClassVar[str]
    """Object type that a logged call becomes."""
    meeting_type: ClassVar[str] = ""
    """Object type that a booked meeting becomes; empty: this CRM keeps none."""
    follow_up_type: ClassVar[str] = ""
    """Object type that a follow-up becomes; empty: this CRM keeps none."""
    note_type: ClassVar[str] = ""
    """Object type that a call's summary becomes beside the call; empty: the call's own notes are its only place."""
    credential_forms: ClassVar[Mapping[str, tuple[str, ...]]]
    """Kind of credential → keys it must have, as `connect_crm` takes them. `a|b` means one of them."""
    where_to_get: ClassVar[Mapping[str, Promise]] = {}
    """Kind of credential, or `consent` → where somebody gets it in this service, or as whom they approve."""
    default_limits: ClassVar[tuple[RateLimit, ...]]
    default_mappings: ClassVar[tuple[MappingDefault, ...]]
    mapping_object: ClassVar[str]
    """Object type that the default mappings are written for."""
    default_dispositions: ClassVar[Mapping[str, Mapping[str, Any]]]
    object_types: ClassVar[tuple[str, ...]] = ()
    """Every object type that `describe`, `fetch` and `write` know; people and calls among them."""
    setting_words: ClassVar[Mapping[str, Promise]] = {}
    """Settings of a connection that only this service knows, and what people call them."""
    note_limit: ClassVar[int] = 0
    """Characters of a call's notes that this CRM takes, what we add ourselves included; 0: it names no limit."""
    call_batch_size: ClassVar[int] = 1
    write_batch_size: ClassVar[int] = 1
    """How many records one `write` takes."""
    bulk_from: ClassVar[int] = 0
    """From so many records on a bulk job beats batches; 0: this CRM has none."""
    consent_options: ClassVar[tuple[str, ...]] = ()
    """What a person may say before they go to the consent page, of: login_url, client_id, client_secret."""
    has_consent_page: ClassVar[bool] = False
    has_account_addresses: ClassVar[bool] = False
    """Each account has an address of its own, which belongs to tokens that were made elsewhere."""
    has_stream: ClassVar[bool] = False
    app_webhooks: ClassVar[bool] = False
    """Deliveries for all accounts come to one address of the app and name their account."""
    unknown_outcome_pause: ClassVar[float] = 0
    """Seconds to wait before looking up a call whose first write got no answer."""

    def __init__(self, connection: Connection, api: Api) -> None:
        self.connection = connection
        self.api = api
