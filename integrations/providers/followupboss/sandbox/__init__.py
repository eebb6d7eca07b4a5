"""A fake Follow Up Boss, as unkind as the real one. Base URL: `<server>/v1`; consent and tokens: `<server>/oauth/…`.

`seed.py` tells which keys, tokens and people are there. Faults of its own: `account_expired` (403 for everything but
`POST /events`), `hide_notes` and `hide_texts` (not shown on reading), `fresh_person`, `lead_flow_archived`, `takes_call_events`,
`no_appointments` (404, or 403 as the dial says), `empty_first` (a list begins with a page that holds nothing), `empty_answers` (a
change is confirmed without a word),
`consent_denied`, `consent_by`, `webhook_twice`, `webhook_lost`.
"""

from integrations.providers.followupboss.sandbox.appointments import Appointments
from integrations.providers.followupboss.sandbox.books import Books
from integrations.providers.followupboss.sandbox.events import Events
from integrations.providers.followupboss.sandbox.hand import ByHand
from integrations.providers.followupboss.sandbox.hooks import Hooks
from integrations.providers.followupboss.sandbox.notes import Notes
from integrations.providers.followupboss.sandbox.oauth import Tokens
from integrations.providers.followupboss.sandbox.seed import fill
from integrations.providers.followupboss.sandbox.tasks import Tasks


class Sandbox(Hooks, ByHand, Events, Notes, Tasks, Appointments, Tokens, Books):
    slug = "followupboss"
    revokes = False
    """Nobody can take a consent back from outside."""

    def seed(self) -> None:
        if not self.store.count("people"):
            fill(self.store, self.clock.timestamp())
