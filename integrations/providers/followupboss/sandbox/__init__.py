"""A fake Follow Up Boss, as unkind as the real one. Base URL: `<server>/v1`; token endpoint: `<server>/oauth/token`.

`seed.py` tells which keys, tokens and people are there. Faults of its own: `account_expired` (403 for everything),
`hide_notes` (call notes are not shown).
"""

from integrations.providers.followupboss.sandbox.books import Books
from integrations.providers.followupboss.sandbox.calls import Calls
from integrations.providers.followupboss.sandbox.oauth import Tokens
from integrations.providers.followupboss.sandbox.people import People
from integrations.providers.followupboss.sandbox.seed import fill
from integrations.providers.followupboss.sandbox.settings import AccountSettings


class Sandbox(People, Calls, AccountSettings, Tokens, Books):
    slug = "followupboss"

    def seed(self) -> None:
        if not self.store.count("people"):
            fill(self.store, self.clock.timestamp())
