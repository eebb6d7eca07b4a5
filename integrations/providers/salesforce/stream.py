"""A connection's stream of changes: sessions one after the other, each from the last position that the caller has stored.

Two threads know of it. One iterates `pages` and sits in a held request most of the time. Another may call `close`, which sends
one request of its own to say goodbye; the server then answers the held one. That is the only request made beside another:
connections come from a pool that threads may share, cookies were all set at the handshake, and nothing else of the transport
is written there but a counter.

A second transport (the Pub/Sub API) would be another class with `pages` and `close`, and positions of its own.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import cdc
from integrations.providers.salesforce.cometd import NEW_ONLY, RETAINED, Batch, Lost, ReplayRefused, Session
from integrations.records.events import RemoteEvent, StreamPage

ALL_CHANGES = "/data/ChangeEvents"
RETENTION = timedelta(hours=72)
TRIES = 5
"""Sessions begun in vain, one after the other, until the caller is told."""
BACKOFF, MAX_BACKOFF = 1.0, 30.0
"""Seconds before the second session; doubled for each further one. Storms of handshakes use up the clients of an organisation."""
SILENT_PAUSE = 1.0
_CHANNEL = re.compile(r"/data/[A-Za-z]\w{0,99}")

Describe = Callable[[str], cdc.Compounds]
"""Object type → its compound fields."""


class Stream:
    """Positions are {"replay": number, "at": time}: the last event stored, or where the subscription began."""

    def __init__(
        self, api: Api, positions: Mapping[str, Any], channels: Sequence[str], describe: Describe | None = None
    ) -> None:
        self._session = Session(api)
        self._channels = tuple(channels)
        self._positions = {channel: positions[channel] for channel in channels if channel in positions}
        self._describe = describe or (lambda _: {})
        self._known: dict[str, cdc.Compounds] = {}
        self._closed = Event()
        self._failures = 0

    def pages(self) -> Iterator[StreamPage]:
        while not self._closed.is_set():
            try:
                yield from self._one_session()
            except Lost as lost:
                self._recover(lost.reason)
            except errors.Throttled:
                raise
            except errors.Retry as error:  # an answer that got lost may have held events
                self._recover(error)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Whichever thread comes first. A session that is not ended takes up one of the organisation's clients a while longer."""
        with contextlib.suppress(errors.CrmError, Lost):
            self._session.disconnect()

    def _recover(self, reason: errors.CrmError) -> None:
        """Waits before another session, or gives up. No wait lasts longer than `close` takes."""
        if self._closed.is_set():
            return
        self._failures += 1
        if self._failures >= TRIES:
            raise reason
        wait = min(MAX_BACKOFF, BACKOFF * 2 ** (self._failures - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._closed.wait(max(wait, getattr(reason, "after", None) or 0.0))

    # --- one session --------------------------------------------------------------------------------------------------

    def _one_session(self) -> Iterator[StreamPage]:
        self._session.handshake()
        for channel in self._channels:
            yield from self._subscribe(channel)
        while not self._closed.is_set():
            batch = self._session.connect()
            yield from self._stored(batch)
            if batch.alive:
                self._failures = 0
                yield StreamPage()
            self._closed.wait(self._session.interval if batch.alive else SILENT_PAUSE)
        self._say_goodbye()

    def _subscribe(self, channel: str) -> Iterator[StreamPage]:
        replay, missed = self._start(channel)
        batch = self._session.subscribe(channel, replay)
        if isinstance(batch.problem, ReplayRefused):
            yield from self._stored(Batch(batch.events))
            replay, missed = RETAINED, True
            batch = self._session.subscribe(channel, replay)
        if batch.problem is None and (missed or channel not in self._positions):
            yield self._page(channel, (), self._position(replay, None), missed=missed)
        yield from self._stored(batch)

    def _start(self, channel: str) -> tuple[int, bool]:
        """From where to read on, and whether events before that are lost.

        Who subscribed for new events only and heard none has no place to go on from: what came meanwhile is lost.
        """
        if channel not in self._positions:
            return NEW_ONLY, False
        replay, at = _read(self._positions[channel])
        if replay is None or at is None or self._session.server_time - at > RETENTION:
            return RETAINED, True
        return replay, replay == NEW_ONLY

    def _stored(self, batch: Batch) -> Iterator[StreamPage]:
        """A page for each channel that the batch has events of. What is wrong with the session is raised after them."""
        by_channel: dict[str, list[Mapping[str, Any]]] = {}
        for message in batch.events:
            by_channel.setdefault(str(message.get("channel") or ""), []).append(message)
        for channel, messages in by_channel.items():
            if channel in self._channels:
                yield self._read(channel, messages)
        if batch.problem is not None:
            raise batch.problem

    def _read(self, channel: str, messages: Sequence[Mapping[str, Any]]) -> StreamPage:
        events: list[RemoteEvent] = []
        unreadable = False
        for message in messages:
            try:
                events.append(self._event(message))
            except errors.FixData:
                unreadable = True
        replays = [found for found in map(cdc.replay_id, messages) if found is not None]
        times = [event.occurred_at for event in events if event.occurred_at is not None]
        position = self._position(max(replays), max(times, default=None)) if replays else None
        return self._page(channel, events, position, missed=unreadable)

    def _event(self, message: Mapping[str, Any]) -> RemoteEvent:
        return cdc.read(message, self._compounds(cdc.entity(message)))

    def _compounds(self, object_type: str) -> cdc.Compounds:
        """Asked once for each object. Names go by rule where describe is of no help."""
        if object_type not in self._known:
            self._known[object_type] = {}
            with contextlib.suppress(errors.Retry, errors.FixConfig, errors.FixData, errors.Gone):
                self._known[object_type] = self._describe(object_type)
        return self._known[object_type]

    # --- positions ----------------------------------------------------------------------------------------------------

    def _position(self, replay: int, at: datetime | None) -> dict[str, Any]:
        return {"replay": replay, "at": (at or self._session.server_time).isoformat()}

    def _page(
        self, channel: str, events: Sequence[RemoteEvent], position: dict[str, Any] | None, *, missed: bool
    ) -> StreamPage:
        """Kept here as it is handed over: the page is stored before the next request leaves."""
        if position is not None:
            self._positions[channel] = position
        return StreamPage(channel, events, self._positions.get(channel), missed)


def channels_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The channels that the connection's settings name: one, a list, or one for all that the organisation has selected."""
    chosen = settings.get("stream_channel") or ALL_CHANGES
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in names:
        if not _CHANNEL.fullmatch(str(name)):
            raise errors.FixConfig(
                f"{name} is no channel for change events. Set stream_channel to {ALL_CHANGES}, or to a list such as "
                "/data/LeadChangeEvent and /data/ContactChangeEvent."
            )
    return tuple(dict.fromkeys(names))


def _read(position: Any) -> tuple[int | None, datetime | None]:
    try:
        return int(position["replay"]), datetime.fromisoformat(position["at"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return None, None
