"""From a recording's stored address to one that plays now: as it was given, signed for a bucket, or signed by the dialer.

The address comes only from the call and from the tenant's settings, never from a request. Signing for a bucket is a computation
here; only the dialer's own signer is asked over the network.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from django.utils.encoding import iri_to_uri
from django.utils.translation import gettext as _

from activities.models import CallSettings
from integrations.fields import WrongKey
from integrations.outside import AddressRefused, NoAnswer, fetch, place_of

LONGEST_LINK = 24 * 3600
SIGNER_SECONDS = 5.0
LONGEST_ADDRESS = 8 * 1024
"""Longer ones are cut or refused by servers and proxies on the way."""
DEFAULT_REGION = "us-east-1"
Known = Mapping[str, Any]


class StorageProblem(RuntimeError):
    """The recording can't be reached. The message says what to put right in the call settings, without any secret."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a tenant's recordings are, and what it takes to reach them."""

    kind: str = CallSettings.Storage.AS_GIVEN
    options: Known = field(default_factory=dict)
    secrets: Known = field(default_factory=dict, repr=False)
    seconds: int = 3600


def storage_of(tenant_id: uuid.UUID) -> Storage:
    """The tenant's storage. Raises StorageProblem when its secrets can't be read."""
    row = CallSettings.objects.filter(tenant_id=tenant_id).defer("recording_secrets").first()
    if row is None:
        return Storage()
    try:
        secrets = row.recording_secrets if row.recording_storage != CallSettings.Storage.AS_GIVEN else {}
    except WrongKey as error:
        raise StorageProblem(_("The storage's secrets can't be read any more. Enter them again.")) from error
    return Storage(row.recording_storage, row.recording_settings, secrets or {}, min(row.link_seconds, LONGEST_LINK))


def playable(storage: Storage, address: str, call_id: uuid.UUID) -> str:
    """An address that plays this recording for a while. Raises StorageProblem."""
    found = iri_to_uri(SIGNERS[storage.kind](storage, address, call_id))
    if len(found) > LONGEST_ADDRESS:
        raise StorageProblem(_("The recording's signed address is longer than browsers take."))
    try:
        place_of(found)
    except AddressRefused as error:
        raise StorageProblem(
            _("The recording has no address that may be opened. %(why)s") % {"why": str(error)}
        ) from error
    return found


def as_given(_storage: Storage, address: str, _call_id: uuid.UUID) -> str:
    if address.startswith("s3://"):
        raise StorageProblem(
            _("The recording is in a bucket, and no bucket is set up. Choose “A bucket that speaks S3” as storage.")
        )
    return address


# --- a bucket -------------------------------------------------------------------------------------------------------


def signed_for_bucket(storage: Storage, address: str, _call_id: uuid.UUID) -> str:
    bucket, access, secret = _needed(
        {**storage.options, **storage.secrets}, "bucket", "access_key_id", "secret_access_key"
    )
    region = str(storage.options.get("region") or DEFAULT_REGION)
    endpoint = str(storage.options.get("endpoint") or f"https://s3.{region}.amazonaws.com")
    style = str(storage.options.get("addressing") or ("path" if storage.options.get("endpoint") else "virtual"))
    key = key_in_bucket(address, bucket, str(urlsplit(endpoint).hostname or ""))
    try:
        client = _client(endpoint, region, style, access, secret, str(storage.secrets.get("session_token") or ""))
        return str(
            client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=storage.seconds
            )
        )
    except (BotoCoreError, ValueError) as error:
        raise StorageProblem(
            _("No address could be signed with these settings. Check the endpoint, the region and the bucket.")
        ) from error


def key_in_bucket(address: str, bucket: str, host: str) -> str:
    """What the recording is called in the bucket. Raises StorageProblem for an address that lies elsewhere."""
    parts = urlsplit(address)
    path = parts.path.removeprefix("/")
    if parts.scheme == "s3":
        # The key is taken as it is: a question mark or a number sign may be part of a name.
        key = address.removeprefix(f"s3://{bucket}/") if parts.netloc == bucket else ""
    elif parts.hostname == host or _is_amazon(parts.hostname or "", ""):
        key = unquote(path).removeprefix(f"{bucket}/") if path.startswith(f"{bucket}/") else ""
    elif parts.hostname == f"{bucket}.{host}" or _is_amazon(parts.hostname or "", f"{bucket}."):
        key = unquote(path)
    else:
        key = ""
    if not key:
        raise StorageProblem(_("The recording is not in the bucket “%(bucket)s”.") % {"bucket": bucket})
    return key


def _is_amazon(host: str, start: str) -> bool:
    """The bucket's region may stand in the name or not; what is signed is the key, whatever the name was."""
    rest = host.removeprefix(start)
    return host.startswith(start) and rest.endswith(".amazonaws.com") and rest.startswith(("s3.", "s3-"))


@lru_cache(maxsize=128)
def _client(endpoint: str, region: str, style: str, access: str, secret: str, token: str) -> Any:
    """Kept, because making one reads the whole description of the service."""
    session = boto3.session.Session(
        aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token or None
    )
    config = Config(signature_version="s3v4", s3={"addressing_style": style})
    return session.client("s3", region_name=region, endpoint_url=endpoint, config=config)


# --- the dialer's own signer ----------------------------------------------------------------------------------------


def signed_by_dialer(storage: Storage, address: str, call_id: uuid.UUID) -> str:
    url, secret = _needed({**storage.options, **storage.secrets}, "signer_url", "signer_secret")
    asked = {"url": address, "call_id": str(call_id), "seconds": storage.seconds}
    body = json.dumps(asked, separators=(",", ":")).encode()
    try:
        answer = fetch("POST", url, body=body, headers=_signed_headers(body, secret), seconds=SIGNER_SECONDS)
    except (AddressRefused, NoAnswer) as error:
        raise StorageProblem(
            _("The dialer could not be asked for the recording. %(why)s") % {"why": str(error)}
        ) from error
    if answer.status != 200:
        raise StorageProblem(
            _("The dialer's signer answered with status %(status)d instead of 200.") % {"status": answer.status}
        )
    return _address_in(answer.body)


def _signed_headers(body: bytes, secret: str) -> dict[str, str]:
    """The form of Standard Webhooks: the dialer sees that it is us, and that it is not an old request."""
    message_id, moment = f"rec_{uuid.uuid4().hex}", str(int(time.time()))
    mark = hmac.new(_key_of(secret), f"{message_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(mark).decode()}",
    }


def _key_of(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass
    return secret.encode()


def _address_in(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    found = answer.get("url") if isinstance(answer, dict) else None
    if not isinstance(found, str) or not found:
        raise StorageProblem(_('The dialer\'s signer did not answer as agreed: {"url": "https://…"}.'))
    return found


def _needed(known: Known, *names: str) -> tuple[str, ...]:
    missing = [name for name in names if not known.get(name)]
    if missing:
        raise StorageProblem(_("The storage is not set up completely: %(names)s.") % {"names": ", ".join(missing)})
    return tuple(str(known[name]) for name in names)


SIGNERS: Mapping[str, Callable[[Storage, str, uuid.UUID], str]] = {
    CallSettings.Storage.AS_GIVEN: as_given,
    CallSettings.Storage.S3: signed_for_bucket,
    CallSettings.Storage.SIGNER: signed_by_dialer,
}
