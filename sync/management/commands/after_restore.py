from argparse import ArgumentParser
from typing import Any

from integrations.commands import JsonCommand, moment
from sync import restoring


class Command(JsonCommand):
    help = (
        "For a database that came back by other means than manage.py restore (a snapshot, a late replica): what was open then "
        "is looked up in the CRMs before it is written again. Run it before workers and web start."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--since", type=moment, required=True, help="the moment whose state it is, such as 2026-01-31T08:00"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        done = restoring.put_right(options["since"])
        text = (
            f"{done['doubtful_jobs']} open pieces of work are looked up before anything is written; "
            f"{done['contacts_told_again']} contacts come once more in the change feed."
        )
        self.report(options, done, text)
