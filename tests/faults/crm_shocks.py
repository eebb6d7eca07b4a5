"""What the CRMs do wrong: slow, silent, half-open, refusing, losing answers after the write, and ending our tokens."""

import threading
import time
from collections import Counter
from random import Random

from config.demo.story import DemoTenant
from tests.faults.site import Site
from tests.live.fire import WRITES

Dial = dict[str, object]
LASTS = (5.0, 12.0)
BASE: list[Dial] = [
    {"kind": "status", "status": 429, "rate": 0.01, "headers": {"Retry-After": "1"}},
    {"kind": "status", "status": 500, "rate": 0.02},
    {"kind": "drop_after", "match": WRITES, "rate": 0.05},
]
"""All the time."""
KINDS: dict[str, list[Dial]] = {
    "slow": [{"kind": "slow", "seconds": 3.0, "rate": 0.6}],
    "accepts and never answers": [{"kind": "hang", "seconds": 40.0, "rate": 0.5, "times": 4}],
    "half an answer": [{"kind": "half", "rate": 0.4}],
    "answer lost after the write": [{"kind": "drop_after", "match": WRITES, "rate": 0.7}],
    "cut before it was read": [{"kind": "drop_before", "rate": 0.4}],
    "429": [{"kind": "status", "status": 429, "rate": 0.6, "headers": {"Retry-After": "2"}}],
    "500": [{"kind": "status", "status": 500, "rate": 0.5}],
    "502 with a page of HTML": [{"kind": "html502", "rate": 0.5}],
}
TOKEN_PATHS = "(oauth|token)"
NOT_TOKENS = rf"^(?!.*{TOKEN_PATHS})"
REFUSED: dict[str, Dial] = {
    "salesforce": {"body": [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]},
    "hubspot": {
        "body": {"status": "error", "category": "EXPIRED_AUTHENTICATION", "message": "The OAuth token is expired"}
    },
    "followupboss": {"body": {"errorMessage": "Authentication is required."}},
}
ENDED: Dial = {
    "kind": "status", "status": 400, "match": TOKEN_PATHS,
    "body": {"error": "invalid_grant", "error_description": "expired access/refresh token", "status": "BAD_REFRESH_TOKEN"},
}  # fmt: skip
NOTICED_WITHIN, TOLD_WITHIN = 90.0, 300.0


class CrmShocks:
    """Strikes one CRM at a time; the one whose access was revoked is left alone meanwhile."""

    def __init__(self, site: Site, lasts: tuple[float, float] = LASTS) -> None:
        """`lasts`: for how many seconds each shock does."""
        self._site, self._lasts = site, lasts
        self._revoked: set[str] = set()
        self._lock = threading.Lock()
        self.struck: Counter[str] = Counter()
        """Single requests that a dial of ours hit."""
        self.problems: list[str] = []
        self.revocations: list[threading.Thread] = []

    def calm(self) -> None:
        for tenant in self._site.tenants:
            self._turn(tenant.provider, [])

    def begin(self) -> None:
        for tenant in self._site.tenants:
            self._turn(tenant.provider, BASE)

    def strike(self, name: str, draw: Random) -> str:
        tenant = self._choice(draw)
        if tenant is None:
            return ""
        self._turn(tenant.provider, [*KINDS[name], *BASE])
        time.sleep(draw.uniform(*self._lasts))
        with self._lock:
            if tenant.provider not in self._revoked:
                self._turn(tenant.provider, BASE)
        return tenant.provider

    def tokens_expire(self, draw: Random) -> str:
        """The next requests with the token at hand are refused; a new one can be had, if the credential can renew itself."""
        slugs = [one.provider for one in self._site.tenants if one.provider != "followupboss"]
        slug = draw.choice([one for one in slugs if one not in self._revoked] or [""])
        if not slug:
            return ""
        refused = {"kind": "status", "status": 401, "match": NOT_TOKENS, "times": 1, **REFUSED[slug]}
        dials = [{"kind": "expire_session", "times": 2}] if slug == "salesforce" else [refused]
        self._turn(slug, [*dials, *BASE])
        time.sleep(3.0)
        with self._lock:
            if slug not in self._revoked:
                self._turn(slug, BASE)
        return slug

    def revoke(self, draw: Random) -> str:
        """In the background: the CRM takes our access away, we have to say so, and somebody connects again."""
        tenant = self._choice(draw)
        if tenant is None or any(thread.is_alive() for thread in self.revocations):
            return ""
        with self._lock:
            self._revoked.add(tenant.provider)
        thread = threading.Thread(target=self._until_connected_again, args=(tenant,), daemon=True)
        self.revocations.append(thread)
        thread.start()
        return tenant.provider

    def _until_connected_again(self, tenant: DemoTenant) -> None:
        slug = tenant.provider
        refused = {"kind": "status", "status": 401, "match": NOT_TOKENS, **REFUSED[slug]}
        try:
            self._turn(slug, [refused, ENDED])
            self._wait(NOTICED_WITHIN, f"{slug}: a revoked token was not noticed", _STATUS, slug)
            self._wait(TOLD_WITHIN, f"{slug}: nobody was told of a revoked token", _ALERT, slug)
        finally:
            self._turn(slug, BASE)
            with self._lock:
                self._revoked.discard(slug)
        self._connect(tenant)

    def _connect(self, tenant: DemoTenant) -> None:
        from config.processes import StartError

        for attempt in range(10):
            try:
                self._site.connect(tenant)
            except StartError as error:
                trouble = str(error)
                time.sleep(2.0 + attempt)
            else:
                return
        self.problems.append(f"{tenant.provider} could not be connected again: {trouble[-300:]}")

    def _wait(self, seconds: float, problem: str, statement: str, slug: str) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._site.ask(statement, slug):
                return
            time.sleep(1.0)
        self.problems.append(problem)

    def _choice(self, draw: Random) -> DemoTenant | None:
        free = [one for one in self._site.tenants if one.provider not in self._revoked]
        return draw.choice(free) if free else None

    def _turn(self, slug: str, dials: list[Dial]) -> None:
        self.struck[slug] += self._site.struck(slug)
        self._site.set_faults(slug, dials)


_STATUS = "SELECT 1 FROM crm_credentials WHERE provider = %s AND status = 'needs_reconnecting'"
_ALERT = """
SELECT 1 FROM alerts JOIN crm_credentials c ON c.id = alerts.connection_id
WHERE c.provider = %s AND alerts.kind = 'reconnect' AND alerts.opened_at IS NOT NULL AND alerts.resolved_at IS NULL
"""
