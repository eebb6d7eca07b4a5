"""`/metrics`: the state of the whole site and of this web process, as Prometheus reads it.

It names no tenant and no person, so its size is bounded by what the code knows: providers, kinds of work, routes. Whoever shows
METRICS_TOKEN may read it. Without one it is for programs on this machine only, and for nobody where a proxy stands in front,
since then everybody comes from this machine.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from activities.targets import KIND as LOG_CALL
from config.observing import Requests
from sync import deployments, site_gauges
from sync.models import Lane
from sync.site_gauges import Reading

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
REFUSED = "Show METRICS_TOKEN as a bearer token. Without one set, /metrics answers programs on this machine only.\n"
CALL_STATES = {"ready": "pending", "leased": "pending", "dead": "failed"}


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    help: str
    labels: Sequence[str] = ()


GAUGES = {
    "jobs": _Gauge("jobs", "Open pieces of work; each state is counted up to 10,000.", ("state", "kind", "lane")),
    "oldest": _Gauge("oldest_ready_job_seconds", "For how long the oldest piece of work has been due.", ("lane",)),
    "dead": _Gauge("dead_jobs", "Pieces of work that need a person, by cause.", ("provider", "cause")),
    "ended": _Gauge("jobs_ended_last_hour", "Pieces of work that ended within the last hour.", ("kind", "state")),
    "connections": _Gauge("connections", "Connections to CRMs.", ("provider", "status")),
    "breakers": _Gauge("breakers_open", "Connections whose CRM keeps failing, so that we only probe.", ("provider",)),
    "tokens": _Gauge("tokens_ending", "Access tokens of working connections that end within minutes.", ("provider",)),
    "keys": _Gauge("api_keys_ending", "API keys that end within 14 days."),
    "limits": _Gauge("limiter_used_ratio", "Use of the fullest quota.", ("provider", "quota")),
    "blocked": _Gauge("limiter_blocked", "Buckets that the CRM has closed for a while.", ("provider",)),
    "inbox": _Gauge("inbox_events", "Stored events that wait or failed; each up to 10,000.", ("provider", "state")),
    "arrival": _Gauge("event_arrival_seconds", "Longest way of an event to us in 15 minutes.", ("provider", "source")),
    "streams": _Gauge("streams", "Change streams: held, broken (tried again) or nobody's.", ("provider", "state")),
    "read": _Gauge("longest_unread_seconds", "Age of the oldest last complete reading.", ("provider",)),
    "beats": _Gauge("processes_alive", "Clusters of workers, and listeners, with a sign of life.", ("kind",)),
    "conflicts": _Gauge("conflicts_open", "Conflicts that wait for a person; up to 10,000."),
    "alerts": _Gauge("alerts_open", "Alerts that are open.", ("kind", "severity")),
    "tenants": _Gauge("tenants", "Active tenants."),
}
ALWAYS: dict[str, tuple[tuple[str, ...], ...]] = {"beats": (("worker",), ("listener",))}
"""Of these an absence is a number too: zero."""


class Site(Collector):
    """What the database tells of the whole site."""

    def collect(self) -> Iterator[Metric]:
        try:
            readings = site_gauges.read()
        except DatabaseError:
            readings = None
        yield GaugeMetricFamily("dialbridge_database_up", "Whether the database answered.", value=readings is not None)
        info = GaugeMetricFamily("dialbridge_build_info", "The version of the code.", labels=["version"])
        info.add_metric([deployments.version()], 1)
        yield info
        if readings is not None:
            yield from _gauges(readings)
            yield _calls(readings)
            yield from _requests(readings)


def _gauges(readings: Sequence[Reading]) -> Iterator[Metric]:
    for key, gauge in GAUGES.items():
        family = GaugeMetricFamily(f"dialbridge_{gauge.name}", gauge.help, labels=gauge.labels)
        values: dict[tuple[str, ...], float] = dict.fromkeys(ALWAYS.get(key, ()), 0.0)
        values |= {_labels(key, one.labels): one.value for one in readings if one.name == key}
        for labels, value in sorted(values.items()):
            family.add_metric(labels, value)
        yield family


def _labels(key: str, labels: Sequence[str]) -> tuple[str, ...]:
    place = GAUGES[key].labels.index("lane") if "lane" in GAUGES[key].labels else None
    return tuple(Lane(int(text)).name.lower() if at == place else text for at, text in enumerate(labels))


def _calls(readings: Sequence[Reading]) -> Metric:
    """Of the jobs that log calls, in the words that people use."""
    counts = dict.fromkeys(("pending", "failed", "logged_last_hour"), 0.0)
    for one in readings:
        if one.name == "jobs" and one.labels[1] == LOG_CALL:
            counts[CALL_STATES[one.labels[0]]] += one.value
        if one.name == "ended" and tuple(one.labels) == (LOG_CALL, "done"):
            counts["logged_last_hour"] += one.value
    family = GaugeMetricFamily(
        "dialbridge_calls", "Calls on their way to a CRM, by how far they are.", labels=["state"]
    )
    for state, value in counts.items():
        family.add_metric([state], value)
    return family


def _requests(readings: Sequence[Reading]) -> Iterator[Metric]:
    """Counters of all processes of all machines. They begin anew with each hour of UTC, as after a restart."""
    counted = CounterMetricFamily(
        "dialbridge_crm_requests", "Requests to CRMs by answer, of the hour.", labels=["provider", "status"]
    )
    spent = CounterMetricFamily("dialbridge_crm_request_seconds", "Time they took.", labels=["provider"])
    for one in readings:
        if one.name in ("requests", "requests_seconds"):
            family = counted if one.name == "requests" else spent
            family.add_metric(list(one.labels), one.value)
    yield counted
    yield spent


registry = CollectorRegistry()
registry.register(Site())
registry.register(Requests())


def page(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return HttpResponse(REFUSED, status=403, content_type="text/plain; charset=utf-8")
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if token:
        scheme, _space, shown = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        return scheme.lower() == "bearer" and constant_time_compare(shown.strip(), token)
    through_a_proxy = settings.SECURE_PROXY_SSL_HEADER or settings.PUBLIC_URL.startswith("https://")
    if through_a_proxy or any(name in request.META for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
