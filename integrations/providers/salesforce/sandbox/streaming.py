"""Who hears of the organisation's changes: subscribers of its change events, and the addresses that it pushes to.

One request, and one click of a person, is one transaction; its changes are told together when it ends.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from integrations.providers.salesforce.sandbox.byhand import ByHand
from integrations.providers.salesforce.sandbox.callouts import Callouts
from integrations.providers.salesforce.sandbox.cometd import Streamer
from integrations.providers.salesforce.sandbox.events import Journal, Noted
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Store


class Streaming(ByHand):
    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self.journal = Journal(self.org, faults)
        self.stream = Streamer(self.org, faults, self.journal)
        self.callouts = Callouts(self.org)
        self._noted: dict[tuple[str, str], Noted] = {}
        self._depth = 0

    @route("POST", "/cometd/{version}")
    def cometd(self, request: Request, **_: str) -> Answer:
        return self.stream.answer(request, self.tokens.user_of(request))

    @route("PUT", "/setup/{what}")
    def set_up(self, request: Request, what: str) -> Answer:
        """What an administrator types into the pages `apex` and `outbound`; see `Callouts`."""
        self.callouts.set_up(what, request.json())
        return Answer(200, {"certificate": self.callouts.certificate} if what == "apex" else {})

    def handle(self, request: Request) -> Answer:
        with self.transaction():
            return super().handle(request)

    def convert(self, lead_id: str, opportunity: str = "") -> str:
        with self.transaction():
            return super().convert(lead_id, opportunity)

    def merge(self, object_type: str, winner: str, loser: str) -> None:
        with self.transaction():
            super().merge(object_type, winner, loser)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What happens inside is told together, when the outermost of them ends."""
        with self.store.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._tell()

    def changed(
        self,
        object_type: str,
        ids: Sequence[str],
        change_type: str,
        changed_fields: Sequence[str],
        origin: str,
        user: str,
    ) -> None:
        with self.transaction():
            for record_id in ids if object_type in self.stream.selected else ():
                key = (object_type, record_id)
                note = self._noted.setdefault(key, Noted(object_type, record_id, change_type, origin, user))
                note.and_then(change_type, changed_fields)

    def emit(self, object_type: str, kind: str, *ids: str) -> None:
        """A header without values: `GAP_UPDATE` of some ids, `GAP_OVERFLOW` of `000000000000000AAA`, `UPDATE` of `001*`."""
        with self.store.lock:
            self.journal.emit(object_type, kind, ids)
            self.stream.wake()

    def _tell(self) -> None:
        """A change that is committed late is told when it is there to be seen."""
        done = {key: note for key, note in self._noted.items() if self.journal.committed(note)}
        if done:
            self._noted = {key: note for key, note in self._noted.items() if key not in done}
            self.callouts.tell(self.journal.publish(list(done.values())))
            self.stream.wake()
