from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from config import backups
from integrations.commands import JsonCommand
from sync import restoring


class Command(JsonCommand):
    help = (
        "Brings a backup back into an empty database, the one that DATABASE_URL names, and puts right what was lost with the time "
        "since. Stop web, workers and listeners of the old database first."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="the file that manage.py backup wrote")
        parser.add_argument(
            "--without-keys", action="store_true", help="also if keys are missing: all CRMs have to be connected anew"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            note = backups.read_note(path)
            missing = backups.missing_keys(note)
            if missing and not options["without_keys"]:
                raise CommandError(
                    f"{len(missing)} of the {len(note.keys)} keys that open the secrets of this backup are not in "
                    "FIELD_ENCRYPTION_KEYS. Add them, or bring it back --without-keys and connect all CRMs anew."
                )
            backups.bring_back(path)
        except backups.BackupError as error:
            raise CommandError(str(error)) from error
        call_command("migrate", verbosity=0)
        done = restoring.put_right(note.moment)
        text = (
            f"The state of {note.made_at} is back. {done['doubtful_jobs']} open pieces of work are looked up in the CRMs before "
            f"anything is written, and {done['contacts_told_again']} contacts come once more in the change feed. Start workers and "
            "web, then run manage.py reconcile for each tenant."
        )
        self.report(options, {"file": str(path), **done}, text)
