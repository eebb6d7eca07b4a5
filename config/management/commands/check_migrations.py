from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import migration_rules


class Command(BaseCommand):
    help = "Says which migrations could not be run while the former version of the code is at work on a full database."

    def handle(self, *args: Any, **options: Any) -> None:
        found = migration_rules.faults()
        if found:
            raise CommandError("\n".join(map(str, found)))
        self.stdout.write("All migrations can be run on a live system.")
