"""Overrides django-q2's command: the same cluster, under a supervisor that replaces it when it stops working."""

import argparse
import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_q.cluster import Cluster
from django_q.conf import Conf

from sync import deployments
from sync.pulse import run_watched_cluster
from sync.supervisor import Supervisor
from sync.ticker import BEAT_EVERY, Beat, Duty, Ticker, queue_duties

# The sentinel ends a task three seconds after its time-out and replaces the worker: then there is a new sign.
SILENCE_BEYOND_TIMEOUT = 6.0
GRACE = 25.0


class Command(BaseCommand):
    help = "Runs the background cluster under a supervisor that replaces it when it stops working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-n", "--name", help="Serve this cluster of ALT_CLUSTERS instead of the default one.")
        parser.add_argument(
            "--unsupervised", action="store_true", help="Run a plain cluster in the foreground, without a supervisor."
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE,
            metavar="SECONDS",
            help=f"Time for the tasks in flight when asked to stop (default {GRACE:g}). A second signal stops at once.",
        )
        parser.add_argument("--pulse-fd", type=int, help=argparse.SUPPRESS)

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["name"] or Conf.CLUSTER_NAME
        if options["pulse_fd"] is not None:
            run_watched_cluster(options["pulse_fd"])
        elif not options["unsupervised"]:
            _supervise(name, options["grace"])
        elif name != Conf.CLUSTER_NAME:
            raise CommandError(
                f"A plain cluster takes its name from the environment: set Q_CLUSTER_NAME={name} instead of --name."
            )
        else:
            Cluster().start()


def _supervise(cluster: str, grace: float) -> None:
    timeout = _options_of(cluster).get("timeout")
    supervisor = Supervisor(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster", "--skip-checks"],  # they are done here
        allowed_silence=timeout + SILENCE_BEYOND_TIMEOUT if timeout else float("inf"),
        grace=grace,
        environment={**os.environ, "Q_CLUSTER_NAME": cluster},
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.request_stop)
    beat = Beat(supervisor.silent_for)
    duties = [
        Duty("beat of the cluster", BEAT_EVERY, beat.write),
        Duty("note of the version at work", 3600.0, deployments.note),
    ]
    if cluster == Conf.PREFIX:
        duties += queue_duties()
    if settings.DATABASE_KEEPER:
        duties.insert(0, Duty("start of the embedded database", 2.0, settings.DATABASE_KEEPER))
    ticker = Ticker(duties, at_the_end=beat.erase)
    ticker.start()
    supervisor.run()
    ticker.stop()


def _options_of(cluster: str) -> dict[str, Any]:
    """The cluster's settings as django-q2 will read them, which dies of a KeyError where this says what is missing."""
    options: dict[str, Any] = dict(settings.Q_CLUSTER)
    if cluster in {options.get("name"), options.get("cluster_name")}:
        return options
    others: dict[str, dict[str, Any]] = options.get("ALT_CLUSTERS", {})
    if cluster not in others:
        raise CommandError(
            f"There is no cluster called {cluster!r}. "
            "Add it to ALT_CLUSTERS in the Q_CLUSTER setting, or leave --name out."
        )
    return options | others[cluster]
