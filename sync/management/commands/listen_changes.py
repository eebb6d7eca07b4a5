import signal
import time
from argparse import ArgumentParser
from typing import Any

from integrations.commands import JsonCommand
from sync.listening import Listener


class Command(JsonCommand):
    help = "Listens to the change streams of all connections whose CRM has one. Any number of these may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once-seconds", type=float, metavar="N", help="stop after so many seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        listener = Listener()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, listener.stop)
        started = time.monotonic()
        listener.run(options["once_seconds"])
        done = {**listener.summary(), "seconds": round(time.monotonic() - started, 2)}
        text = ", ".join(f"{value} {name}" for name, value in done.items())
        self.report(options, done, text)
