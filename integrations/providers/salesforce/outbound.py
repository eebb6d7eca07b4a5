"""Outbound messages: what a workflow rule or flow of Salesforce sends, as SOAP.

Nobody signs them. They are believed when they name the connection's organisation, at an address that nobody else was given.
They carry the newest values in no order, so their ids are used and the records are fetched. The session id that they may hold
is never kept.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from integrations import errors
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.records.events import Change, RemoteEvent

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
CONTENT_TYPE = "text/xml"
MAX_NOTIFICATIONS = 100
MAX_DEPTH = 12
MAX_ELEMENTS = 60_000
"""A hundred records with six hundred fields each."""
ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)
_OBJECT = re.compile(r"(?:\w+:)?([A-Za-z]\w{0,79})")


@dataclass(frozen=True, slots=True)
class Message:
    organization_id: str
    events: list[RemoteEvent]


class _Bounded(ET.TreeBuilder):
    """Stops a document that nests too deep or goes on too long."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._count = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise ValueError("too deep or too long")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def parse(body: bytes) -> Message:
    """Raises FixData for anything that is not an outbound message in full."""
    message = _tree(body).find(f"{SOAP}Body/{OUTBOUND}notifications")
    if message is None:
        raise _unreadable("it holds no notifications")
    organization_id = _text(message, "OrganizationId")
    notifications = message.findall(f"{OUTBOUND}Notification")
    if not is_id(organization_id) or not 1 <= len(notifications) <= MAX_NOTIFICATIONS:
        raise _unreadable(f"it names no organisation, or not 1 to {MAX_NOTIFICATIONS} notifications")
    action = _text(message, "ActionId")
    return Message(to_18(organization_id), [_event(one, action) for one in notifications])


def _tree(body: bytes) -> ET.Element:
    parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
    try:
        parser.feed(body)
        root = parser.close()
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise _unreadable("its XML is not sound", detail=f"{type(error).__name__}: {error}") from error
    if not isinstance(root, ET.Element) or root.tag != f"{SOAP}Envelope":
        raise _unreadable("it is no SOAP envelope")
    return root


def _event(notification: ET.Element, action: str) -> RemoteEvent:
    number = _text(notification, "Id")
    record = notification.find(f"{OUTBOUND}sObject")
    object_type = _OBJECT.fullmatch(record.get(TYPE, "")) if record is not None else None
    if record is None or object_type is None or not is_id(number):
        raise _unreadable("a notification has no id or no record")
    values = {_local(field.tag): field.text for field in record}
    if not is_id(values.get("Id") or ""):
        raise _unreadable("a record has no id")
    return RemoteEvent(
        dedupe_key=f"outbound:{to_18(number)}",
        change=Change.DELETED if values.get("IsDeleted") == "true" else Change.UPDATED,
        object_type=object_type.group(1),
        record_ids=(to_18(values["Id"] or ""),),
        occurred_at=_moment(values),
        raw={"notification": number, "action": action, "type": object_type.group(1), "fields": values},
    )


def _moment(values: Mapping[str, str | None]) -> datetime | None:
    try:
        found = datetime.fromisoformat(values.get("SystemModstamp") or values.get("LastModifiedDate") or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{OUTBOUND}{name}") or "").strip()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _unreadable(why: str, detail: str = "") -> errors.FixData:
    return errors.FixData(f"This outbound message of Salesforce can't be read: {why}.", detail=detail)
