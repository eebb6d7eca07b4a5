from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from config import backups
from integrations.commands import JsonCommand


class Command(JsonCommand):
    help = "Writes a backup of the whole database into one file, while everybody goes on working."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="the file to write, such as /backups/dialbridge-2026-01-31.dump")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            note = backups.make(path)
        except (backups.BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        size = path.stat().st_size
        text = (
            f"{path} holds the state of {note.made_at}, {size / 1024**2:.1f} MB. Keep {backups.note_of(path).name} and "
            "FIELD_ENCRYPTION_KEYS with it, in another place: without the keys no secret in it can be read."
        )
        self.report(options, {"file": str(path), "bytes": size, **asdict(note)}, text)
