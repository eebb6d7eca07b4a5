import json
import signal
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.demo import story
from config.demo.story import Audit, Client, DemoTenant
from config.processes import Processes, StartError, free_port, free_ports, sandbox_env
from integrations.registry import PROVIDERS

CALLS = 200
CONTACTS = 1000
WEB_PORT, SANDBOX_PORT = 8000, 9100


class Command(BaseCommand):
    help = "Shows the whole product against fake CRMs: real processes, real HTTP. Ctrl-C stops everything."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="run the story to its end, print a table, exit 0 if all held"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo is for a development site: it runs only with DEBUG=true. Use script/demo.")
        data_dir = Path(settings.DATA_DIR)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with Processes({}, data_dir / "logs") as processes:
                self._play(processes, data_dir, once=options["once"])
        except StartError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self._say("Stopped.")

    def _play(self, processes: Processes, data_dir: Path, *, once: bool) -> None:
        web = self._start(processes, data_dir)
        tenants, people = self._seed(processes)
        if not once:
            self._invite(web, people)
        audits = self._run_story(web, tenants)
        self.stdout.write("\nWhat the CRMs themselves hold:\n\n" + story.table(audits) + "\n")
        if once:
            if not all(audit.ok and audit.contacts >= CONTACTS for audit in audits):
                raise CommandError("The story did not hold: see the table, and the logs under .data/logs.")
            return
        self._invite(web, people)
        self._watch(processes)

    def _start(self, processes: Processes, data_dir: Path) -> str:
        self._say("Starting the fake CRMs …")
        port = free_ports(SANDBOX_PORT, len(PROVIDERS))
        sandboxes = processes.start_sandbox("--data", str(data_dir / "sandbox"), "--port", str(port))
        self.sandboxes = sandboxes
        web_port = free_port(WEB_PORT)
        processes.env.update(sandbox_env(sandboxes))
        processes.env["PUBLIC_URL"] = f"http://127.0.0.1:{web_port}"
        for url in sandboxes.values():
            processes.env.update(requests.get(f"{url}/_sandbox/connect", timeout=30).json()["environment"])
        self._say("Preparing the database …")
        processes.run("migrate", "--verbosity", "0")
        self._say("Starting web, workers and the change listener …")
        web = processes.start_web(web_port)
        processes.start_worker()
        processes.start_listener()
        return web

    def _seed(self, processes: Processes) -> tuple[list[DemoTenant], dict[str, Any]]:
        self._say("Connecting one tenant to each CRM …")
        made = json.loads(processes.run("seed_demo", "--json", "--sandboxes", json.dumps(self.sandboxes)))
        tenants = [DemoTenant(one["slug"], one["provider"], one["api_key"], one["sandbox"]) for one in made["tenants"]]
        return tenants, made

    def _run_story(self, web: str, tenants: list[DemoTenant]) -> list[Audit]:
        clients = {tenant.slug: Client(web, tenant) for tenant in tenants}
        self._say("Contacts arrive …")
        contacts = {slug: story.wait_for_contacts(client, CONTACTS, self._progress) for slug, client in clients.items()}
        self._say(f"\nThe dialer posts {CALLS} calls …")
        posted = {}
        for position, tenant in enumerate(tenants):
            share = CALLS // len(tenants) + (position < CALLS % len(tenants))
            posted[tenant.slug] = story.post_calls(clients[tenant.slug], contacts[tenant.slug], share)
        story.wait_for_logging(clients, posted, self._progress)
        return [story.audit(tenant, len(contacts[tenant.slug]), posted[tenant.slug]) for tenant in tenants]

    def _invite(self, web: str, people: dict[str, Any]) -> None:
        lines = [
            "",
            f"Open {web}/admin/ and log in, password {people['password']}:",
            f"  {people['support']:<36} sees every tenant",
        ]
        lines += [f"  {one['admin']:<36} sees {one['slug']} ({one['provider']})" for one in people["tenants"]]
        lines += [
            "Look at the first page, then Connections, Field mappings and Calls.",
            f"The API is described at {web}/api/docs/. Ctrl-C stops everything.",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()

    def _watch(self, processes: Processes) -> None:
        while True:
            time.sleep(1.0)
            for name in processes.dead():
                raise StartError(f"The {name} process ended. {processes.last_words(name)}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _progress(self, text: str) -> None:
        if sys.stdout.isatty():
            self.stdout.write(f"\r{text:<60}", ending="")
            self.stdout.flush()
