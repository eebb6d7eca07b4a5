import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.db import DatabaseError

from config import readiness
from integrations.commands import JsonCommand


class Command(JsonCommand):
    help = "Says whether the system can do its work, and ends with code 1 if it can't: for a container's health check."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--only",
            choices=list(readiness.CHECKS),
            action="append",
            help="only this check; may be given several times",
        )
        parser.add_argument("--here", action="store_true", help="only the workers and listeners of this host count")

    def handle(self, *args: Any, **options: Any) -> None:
        host = socket.gethostname() if options["here"] else ""
        found = {name: _problems(name, host) for name in options["only"] or readiness.CHECKS}
        well = not any(found.values())
        lines = [f"{name}: {' '.join(problems) or 'ok'}" for name, problems in found.items()]
        self.report(options, {"ok": well, "problems": found}, "\n".join(lines))
        if not well:
            sys.exit(1)


def _problems(name: str, host: str) -> list[str]:
    try:
        return list(readiness.CHECKS[name](host) if name in readiness.OF_HOST else readiness.CHECKS[name]())
    except DatabaseError:
        return [readiness.ANSWERS]
