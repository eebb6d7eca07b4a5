import contextlib
import json
import signal
from argparse import ArgumentParser
from pathlib import Path
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from integrations.registry import PROVIDERS, sandbox_class
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store


class Command(BaseCommand):
    help = "Serves fake CRMs on loopback, one port each, for demos and tests. Refuses to run in production."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=9100, help="first port; the next CRMs get the next ports (9100)"
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument(
            "--provider", action="append", choices=list(PROVIDERS), help="only this CRM; may be repeated"
        )
        parser.add_argument("--data", type=Path, help="folder that keeps what was written across restarts")
        parser.add_argument(
            "--faults", type=json.loads, default=[], help='JSON list, e.g. [{"kind":"drop_after","rate":0.3}]'
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object with the addresses when ready")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The sandbox is for development: it runs only with DEBUG=true.")
        servers = self._start(options)
        stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        addresses = {server.service.slug: server.url for server in servers}
        if options["json"]:
            self.stdout.write(json.dumps(addresses))
        else:
            for slug, url in addresses.items():
                self.stdout.write(f"{PROVIDERS[slug][0]:<16} {url}   (faults, counts and data under {url}/_sandbox/)")
        self.stdout.flush()
        stop.wait()
        for server in servers:
            server.close()

    def _start(self, options: dict[str, Any]) -> list[SandboxServer]:
        servers = []
        for offset, slug in enumerate(PROVIDERS):
            if options["provider"] and slug not in options["provider"]:
                continue
            port = options["port"] + offset if options["port"] else 0
            journal = options["data"] / f"{slug}.jsonl" if options["data"] else None
            try:
                server = SandboxServer(sandbox_class(slug)(Store(journal), Clock(), Faults()), port, options["host"])
            except OSError as error:
                raise CommandError(f"Port {port} is taken. Choose another first port with --port.") from error
            with contextlib.suppress(ValueError):
                server.service.faults.set(options["faults"])
            servers.append(server.start())
        return servers
