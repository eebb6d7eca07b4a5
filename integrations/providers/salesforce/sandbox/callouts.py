"""What the organisation pushes by itself: JSON signed by its Apex code, and outbound messages of a workflow rule."""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from integrations.providers.salesforce.ids import checksum
from integrations.providers.salesforce.sandbox.events import message
from integrations.providers.salesforce.sandbox.org import Org
from integrations.sandbox.sender import Sender
from integrations.sandbox.store import Document

SETUP = "_callouts"
VALID = timedelta(days=730)
NOTIFICATIONS = 100
ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>\
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{org}</OrganizationId>\
<ActionId>04k5g000000TN1AAAW</ActionId><SessionId xsi:nil="true"/>\
<EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/59.0/{org}</EnterpriseUrl>\
<PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/59.0/{org}</PartnerUrl>{notifications}</notifications>\
</soapenv:Body></soapenv:Envelope>"""
NOTIFICATION = """<Notification><Id>{id}</Id><sObject xsi:type="sf:{type}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">\
{fields}</sObject></Notification>"""


class Callouts:
    """`apex` is {"url", "scheme", "secret"}, `outbound` is {"url", "objects"}; both are what an administrator sets up."""

    def __init__(self, org: Org, sender: Sender | None = None) -> None:
        self.sender = sender or Sender()
        self._org = org

    def set_up(self, what: str, order: Mapping[str, Any]) -> None:
        self._org.store.put(SETUP, what, dict(order))

    @property
    def certificate(self) -> str:
        """What the tenant uploads: the public half, as PEM."""
        return str(self._key_pair()["certificate"])

    def tell(self, events: Sequence[Document]) -> None:
        """The events of one transaction."""
        for event in events:
            if self._org.store.get(SETUP, "apex"):
                self._send_signed(event)
        outbound = self._org.store.get(SETUP, "outbound") or {}
        for object_type in outbound.get("objects", ()):
            ids = [one for event in events if event["header"]["entityName"] == object_type for one in _ids(event)]
            for start in range(0, len(ids), NOTIFICATIONS):
                self._send_soap(str(outbound["url"]), object_type, ids[start : start + NOTIFICATIONS])

    # --- signed by Apex -----------------------------------------------------------------------------------------------

    def _send_signed(self, event: Document) -> None:
        setup = self._org.store.get(SETUP, "apex") or {}
        fields = self._org.fields(event["header"]["entityName"])
        payload = message(event, "", fields)["data"]["payload"]
        event_id = f"{event['header']['transactionKey']}-{event['replay']}"

        def build(_: int) -> tuple[Mapping[str, str], bytes]:
            signed = {"eventId": event_id, "timestamp": self._org.clock.now().isoformat(), "payload": payload}
            return self.signed(json.dumps(signed).encode(), str(setup.get("secret") or ""))

        self.sender.send(str(setup["url"]), build)

    def signed(self, body: bytes, secret: str = "") -> tuple[dict[str, str], bytes]:
        """Headers and body, by the certificate's key, or by a shared secret if there is one."""
        headers = {"Content-Type": "application/json"}
        if secret:
            mac = hmac.digest(secret.encode(), body, "sha256")
            return {**headers, "X-Dialbridge-Signature": base64.b64encode(mac).decode()}, body
        key = serialization.load_pem_private_key(str(self._key_pair()["key"]).encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - made below
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return {**headers, "X-Salesforce-Signature": base64.b64encode(signature).decode()}, body

    def _key_pair(self) -> Document:
        """Made when it is first needed: it takes a while."""
        return self._org.store.get(SETUP, "key") or self._org.store.put(SETUP, "key", make_certificate(self._org))

    # --- outbound messages --------------------------------------------------------------------------------------------

    def _send_soap(self, url: str, object_type: str, ids: Sequence[str]) -> None:
        notifications = "".join(self._notification(object_type, record_id) for record_id in ids)
        org = next(self._org.store.all("Organization"))["Id"]
        body = ENVELOPE.format(org=org, notifications=notifications).encode()
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        self.sender.send(url, lambda _: (headers, body))

    def _notification(self, object_type: str, record_id: str) -> str:
        row = self._org.get(record_id) or {"Id": record_id}
        names = ("Id", "FirstName", "LastName", "Email", "IsDeleted", "SystemModstamp")
        fields = "".join(f"<sf:{name}>{_xml(row[name])}</sf:{name}>" for name in names if row.get(name) is not None)
        first_15 = f"04l5g{self._org.store.next_number('notification'):010d}"
        return NOTIFICATION.format(id=first_15 + checksum(first_15), type=object_type, fields=fields)


def make_certificate(org: Org, *, days: int = VALID.days, bits: int = 2048) -> Document:
    """A self-signed one, as organisations make them: worthless elsewhere."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Dialer_Cert")])
    now = org.clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"key": private.decode(), "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode()}


def _ids(event: Document) -> list[str]:
    return [one for one in event["header"]["recordIds"] if "*" not in one]


def _xml(value: Any) -> str:
    return escape(str(value).lower() if isinstance(value, bool) else str(value))
