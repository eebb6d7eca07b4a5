"""While calls are posted and people are edited in a CRM: a web host and a worker host are unplugged, and Redis is killed."""

import os
from collections import Counter
from collections.abc import Callable

import requests

from config.processes import MANAGE, StartError
from tests.machines.network import Host
from tests.machines.site import Site, say, wait_for
from tests.machines.traffic import Dialer, RoundRobin

SECONDS = float(os.environ.get("BENCH_MACHINES", "45"))
PACE = 8.0
"""Calls a second."""
STREAMING = "salesforce"
EDIT_EVERY, LOOK_EVERY = 1.5, 0.5
_HOLDERS = (
    "SELECT connection_id, holder FROM feed_cursors "
    "WHERE feed = 'stream' AND held_until > clock_timestamp() AND holder <> ''"
)
_CONNECTIONS = (
    "SELECT coalesce(host(client_addr), ''), count(*) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' GROUP BY 1"
)
_TWICE = (
    "SELECT count(*) FROM (SELECT 1 FROM inbox_events WHERE source = 'stream' "
    "GROUP BY connection_id, dedupe_key HAVING count(*) > 1) twice"
)


def show_loss(site: Site) -> None:
    for host in site.workers[1:]:
        host.start("listener", [*MANAGE, "listen_changes"])
    stream = Stream(site)
    wait_for(stream.is_held, "a listener", 120, site.workers[1].last_words)
    way = RoundRobin([one.url for one in site.webs])
    dialer, events = Dialer(way, site.people, prefix="loss"), Events(site, stream)
    dialer.steadily(site.tenants, seconds=SECONDS, pace=PACE, meanwhile=events.at)
    took = site.drain()
    answers = ", ".join(f"{number} × {answer}" for answer, number in sorted(way.answers.items()))
    say(f"{sum(map(len, dialer.posted.values()))} calls posted in {SECONDS:.0f} s, answered {answers}")
    say(f"the slowest was promised after {dialer.slowest:.1f} s; the last was in its CRM {took:.0f} s after the end")
    say(f"lost: {', '.join(events.lost)}; connections to PostgreSQL at most: {events.connections()}")
    site.audit(dialer.posted)
    stream.tell()


class Stream:
    """The change stream of one CRM: who holds it, and whether what it tells arrives."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.holders: list[str] = []
        """Hosts, in the order in which they held it."""
        self._looks = self._crowded = 0
        self._edited: dict[str, str] = {}

    def is_held(self) -> bool:
        rows = self._site.ask(_HOLDERS)
        self._looks += 1
        self._crowded += len(rows) != len({connection for connection, _ in rows})
        for _, holder in rows:
            host = str(holder).partition(":")[0]
            if self.holders[-1:] != [host]:
                self.holders.append(host)
        return bool(self.holders)

    def edit(self) -> None:
        """Somebody edits a person in the CRM that tells of it by its stream."""
        tenant = self._site.tenant(STREAMING)
        person = self._site.people[tenant.slug][len(self._edited)]
        link, title = person["links"][0], f"Title {len(self._edited)}"
        order = {"object": link["object_type"], "id": link["crm_record_id"], "fields": {"Title": title}}
        requests.post(f"{tenant.sandbox}/_sandbox/edit", json=order, timeout=60).raise_for_status()
        self._edited[person["id"]] = title

    def tell(self) -> None:
        wait_for(self._all_arrived, "the edits of the CRM", 180)
        doubled = self._site.number(_TWICE)
        held = ", then by ".join(self.holders)
        say(
            f"stream of {STREAMING}: held by {held}; {self._crowded} of {self._looks} looks saw two holders; "
            f"all {len(self._edited)} edits arrived, {doubled} events are stored twice"
        )
        if self._crowded or doubled:
            raise StartError("A stream had two holders.")

    def _all_arrived(self) -> bool:
        self.is_held()
        rows = self._site.ask("SELECT id::text, title FROM contacts WHERE title LIKE 'Title %'")
        return set(self._edited.items()) <= set(rows)


class Events:
    """What happens when, and how many connections there are meanwhile."""

    def __init__(self, site: Site, stream: Stream) -> None:
        self._site, self._stream = site, stream
        self.lost: list[str] = []
        self._plan: list[tuple[float, Callable[[], None]]] = [
            (0.2, self._lose_web), (0.35, self._lose_worker), (0.6, site.redis.kill), (0.8, self._start_redis),
        ]  # fmt: skip
        self._next_edit = self._next_look = 0.0
        self._most: Counter[str] = Counter()

    def at(self, now: float) -> None:
        if self._plan and now >= self._plan[0][0] * SECONDS:
            _, happen = self._plan.pop(0)
            happen()
        if now >= self._next_edit:
            self._stream.edit()
            self._next_edit = now + EDIT_EVERY
        if now >= self._next_look:
            self._stream.is_held()
            self._count()
            self._next_look = now + LOOK_EVERY

    def connections(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in sorted(self._most.items()))

    def _lose_web(self) -> None:
        self._lose(self._site.webs[0])

    def _lose_worker(self) -> None:
        """The one whose listener holds the stream, where hosts have names."""
        names = {one.name: one for one in self._site.workers}
        self._lose(names.get(self._stream.holders[-1], self._site.workers[1]))

    def _lose(self, host: Host) -> None:
        host.lose()
        self.lost.append(host.name)

    def _start_redis(self) -> None:
        self._site.redis.start()
        self.lost.append("Redis for a while")

    def _count(self) -> None:
        network = self._site.network
        names = {host.address: host.name for host in network.hosts} if network.real else {}
        for address, number in self._site.ask(_CONNECTIONS):
            name = names.get(address, "PgBouncer and the rest")
            self._most[name] = max(self._most[name], number)
