"""Hostile input at the doors: deliveries that are signed so that they get in, and everything that a dialer may post.

After each request the tables are counted. What was refused has left nothing and changed nothing; what was taken has left as much as
the answer says.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from django.db import connection as database
from django.db import transaction

from integrations.providers.hubspot.signatures import TIMESTAMP, V3, signature_v3
from tests.attacks.fuzzing import REFUSED, TAKEN, Target
from tests.attacks.nasties import Hostile
from tests.attacks.samples import (
    CALL,
    FUB_EVENT,
    HUBSPOT_EVENTS,
    PERSON,
    QUERIES,
    SALESFORCE_EVENT,
    SOAP,
    STAGE,
    TOKEN,
    XML_BOMBS,
)
from tests.attacks.world import COUNTED, FUB_KEY, HUBSPOT_SECRET, ORGANIZATION, PUBLIC, SALESFORCE_SECRET, World

JSON = "application/json"
SEEN = ("CREATE TABLE", "Traceback", "psycopg", "/site-packages/")
"""Words of ours inside that no answer may show."""


class Doors:
    """The targets, as methods."""

    def __init__(self, world: World) -> None:
        self.world = world

    def ask(
        self, hostile: Hostile, method: str, path: str, body: bytes = b"", kind: str = JSON, **headers: Any
    ) -> tuple[Any, list[int]]:
        """The answer, and how many rows each table grew by."""
        self.world.make_room()
        before = self.world.counts()
        with transaction.atomic() if database.in_atomic_block else nullcontext():  # of a test
            answer = self.world.client.generic(method, path, body, content_type=kind, **headers)
        after = self.world.counts()
        assert answer.status_code < 500, f"answered {answer.status_code}: {answer.content[:200]!r}"
        shown: Any = answer
        text = b"".join(shown.streaming_content) if shown.streaming else shown.content
        assert not [word for word in SEEN if word.encode() in text], f"tells of its inside: {text[:300]!r}"
        if answer.status_code >= 400:
            assert before == after, (
                f"refused with {answer.status_code} and stored something: {_difference(before, after)}"
            )
        return answer, [after[place] - before[place] for place in range(len(COUNTED))]

    # --- deliveries ---------------------------------------------------------------------------------------------------------

    def hubspot(self, hostile: Hostile) -> str:
        body, path = hostile.body(HUBSPOT_EVENTS), "/webhooks/hubspot/"
        stamp = str(int(time.time() * 1000))
        signature = signature_v3(HUBSPOT_SECRET, "POST", PUBLIC + path, body, stamp)
        return self._deliver(hostile, path, body, {V3: signature, TIMESTAMP: stamp})

    def followupboss(self, hostile: Hostile) -> str:
        told = {**FUB_EVENT, "eventCreated": datetime.now(UTC).isoformat()}
        body, path = (
            hostile.body(told),
            f"/webhooks/followupboss/{self.world.connections['followupboss'].webhook_token}/",
        )
        return self._deliver(hostile, path, body, {"fub-signature": _hex(FUB_KEY, base64.b64encode(body))})

    def salesforce(self, hostile: Hostile) -> str:
        told = {**SALESFORCE_EVENT, "timestamp": datetime.now(UTC).isoformat()}
        body, path = hostile.body(told), f"/webhooks/salesforce/{self.world.connections['salesforce'].webhook_token}/"
        signature = base64.b64encode(hmac.digest(SALESFORCE_SECRET.encode(), body, "sha256")).decode()
        return self._deliver(hostile, path, body, {"x-dialbridge-signature": signature})

    def outbound(self, hostile: Hostile) -> str:
        mine = SOAP.replace(ORGANIZATION.encode(), b"00DD0000000abceMAA")
        body = (
            hostile.one_of(XML_BOMBS)
            if hostile.chance(0.1)
            else mine
            if hostile.chance(0.1)
            else hostile.scrambled(mine)
        )
        hostile.sent = body
        return self._deliver(
            hostile, f"/webhooks/salesforce/{self.world.outbound.webhook_token}/", body, {}, "text/xml; charset=utf-8"
        )

    def _deliver(self, hostile: Hostile, path: str, body: bytes, headers: dict[str, str], kind: str = JSON) -> str:
        answer, grown = self.ask(hostile, "POST", path, body, kind, headers=headers)
        assert answer.status_code in {200, 400, 401, 413}, answer.status_code
        events, jobs = grown[COUNTED.index("inbox_events")], grown[COUNTED.index("sync_jobs")]
        assert events >= 0 <= jobs, "nothing goes away"
        assert events or not jobs, "a job without its event"
        return TAKEN if answer.status_code == 200 else REFUSED

    # --- what a dialer posts ------------------------------------------------------------------------------------------------

    def calls(self, hostile: Hostile) -> str:
        told = {**CALL, "external_id": f"d-{hostile.random.randint(0, 10**9)}"}
        answer, grown = self.ask(hostile, "POST", "/api/v1/calls/", hostile.body(told))
        assert answer.status_code in {200, 201, 400, 409, 413}, answer.status_code
        assert grown[0] == (answer.status_code == 201)
        return TAKEN if answer.status_code in {200, 201} else REFUSED

    def bulk(self, hostile: Hostile) -> str:
        told = [
            {**CALL, "external_id": f"b-{hostile.random.randint(0, 10**9)}"}
            for _ in range(hostile.random.randint(1, 4))
        ]
        answer, grown = self.ask(hostile, "POST", "/api/v1/calls/bulk/", hostile.body({"calls": told}))
        assert answer.status_code in {200, 400, 413}, answer.status_code
        made = (
            {one["id"] for one in answer.json()["results"] if one["status"] == 201}
            if answer.status_code == 200
            else set()
        )
        assert grown[0] == len(made), "as many calls as the answer tells"
        return TAKEN if made else REFUSED

    def stages(self, hostile: Hostile) -> str:
        return self._taken(hostile, "PATCH", f"/api/v1/calls/{self.world.call.pk}/", STAGE, {200, 400, 409, 413})

    def new_contacts(self, hostile: Hostile) -> str:
        return self._taken(hostile, "POST", "/api/v1/contacts/", PERSON, {201, 400, 413})

    def contacts(self, hostile: Hostile) -> str:
        return self._taken(hostile, "PATCH", f"/api/v1/contacts/{self.world.contact.pk}/", PERSON, {200, 400, 409, 413})

    def tokens(self, hostile: Hostile) -> str:
        return self._taken(
            hostile, "POST", f"/api/v1/calls/{self.world.call.pk}/recording-token/", TOKEN, {200, 400, 413}
        )

    def _taken(self, hostile: Hostile, method: str, path: str, sample: Any, allowed: set[int]) -> str:
        answer, _grown = self.ask(hostile, method, path, hostile.body(sample))
        assert answer.status_code in allowed, answer.status_code
        json.loads(answer.content)
        return TAKEN if answer.status_code < 300 else REFUSED

    def reading(self, hostile: Hostile) -> str:
        """Addresses and queries full of rubbish, and recordings with tokens and signatures that are none."""
        from urllib.parse import quote

        query = "&".join(
            f"{hostile.one_of(QUERIES)}={quote(hostile.text()[:2000].encode('utf-8', 'replace'))}" for _ in range(3)
        )
        part = quote(hostile.text()[:200].encode("utf-8", "replace"), safe="")
        path = hostile.one_of((
            "/api/v1/contacts/", "/api/v1/calls/", f"/api/v1/contacts/{part}/", f"/api/v1/calls/{part}/", "/api/v1/health/",
            f"/api/{part}",
            f"/api/recordings/{self.world.call.pk}/play", f"/api/recordings/{part}/play", f"/webhooks/{part}/",
            f"/webhooks/hubspot/{part}/",
        ))  # fmt: skip
        hostile.sent = f"{path}?{query}"
        answer, _grown = self.ask(
            hostile, hostile.one_of(("GET", "GET", "GET", "HEAD", "OPTIONS", "DELETE", "PUT")), hostile.sent
        )
        return TAKEN if answer.status_code < 400 else REFUSED

    def odd_requests(self, hostile: Hostile) -> str:
        """Content types, encodings and headers that do not fit."""
        path = hostile.one_of(("/api/v1/calls/", "/api/v1/calls/bulk/", "/api/v1/contacts/", "/webhooks/hubspot/"))
        kind = hostile.one_of((JSON, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
        "multipart/form-data; boundary=x",
                               "application/json; charset=utf-16", "application/json; charset=x", "", "text/xml", "a/b;;;=",
                               "*/*"))  # fmt: skip
        headers = {
            hostile.one_of(("Content-Encoding", "Idempotency-Key", "Accept", "X-Request-ID", "X-Forwarded-For",
            "Accept-Language", "Cookie",
                            "X-HTTP-Method-Override", "Range", "If-Match", "Transfer-Encoding")):
            hostile.one_of(("gzip", "deflate", "chunked", hostile.text()[:300].encode("latin-1", "replace").decode("latin-1"))),
        }  # fmt: skip
        hostile.sent = (path, kind, headers)
        answer, _grown = self.ask(hostile, "POST", path, hostile.body(CALL), kind, headers=headers)
        return TAKEN if answer.status_code < 400 else REFUSED

    def keys(self, hostile: Hostile) -> str:
        """Bent keys open nothing; from many addresses, so that they are looked at."""
        text = hostile.bent_text(self.world.key).encode("latin-1", "replace").decode("latin-1")
        scheme = hostile.one_of(("Bearer ", "bearer ", "Basic ", "", "Bearer"))
        hostile.sent = (scheme, text)
        place = f"10.{hostile.random.randint(0, 255)}.{hostile.random.randint(0, 255)}.1"
        answer = self.world.client.get("/api/v1/contacts/?limit=1", REMOTE_ADDR=place, HTTP_AUTHORIZATION=scheme + text)
        expected = {200, 401, 429} if text.strip() == self.world.key else {401, 429}
        assert answer.status_code in expected, answer.status_code
        return TAKEN if answer.status_code == 200 else REFUSED

    def targets(self) -> tuple[Target, ...]:
        found: tuple[tuple[str, Callable[[Hostile], str], int], ...] = (
            ("HubSpot deliveries", self.hubspot, 18), ("Follow Up Boss deliveries", self.followupboss, 14),
            ("Salesforce deliveries", self.salesforce, 14), ("outbound messages", self.outbound, 12), ("posted calls",
            self.calls, 20),
            ("bulk calls", self.bulk, 8), ("stages", self.stages, 12), ("new contacts", self.new_contacts, 8),
            ("contact edits", self.contacts, 12), ("recording tokens", self.tokens, 4), ("reading", self.reading, 12),
            ("odd requests", self.odd_requests, 8), ("keys", self.keys, 4),
        )  # fmt: skip
        return tuple(Target(*one) for one in found)


def _difference(before: list[Any], after: list[Any]) -> list[str]:
    names = (*COUNTED, "the contact", "the call")
    return [name for name, one, other in zip(names, before, after, strict=True) if one != other]


def _hex(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
