from dataclasses import asdict
from typing import Any

from integrations.commands import JsonCommand
from integrations.key_rotation import Column, rotate


class Command(JsonCommand):
    help = (
        "Encrypts all stored secrets anew with the first of FIELD_ENCRYPTION_KEYS. Safe to repeat while the system runs; exit "
        "code 1 if anything is left under another key."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        columns = rotate()
        left = [one for one in columns if not one.is_done]
        data = {"columns": [asdict(one) for one in columns], "done": not left}
        self.report(options, data, "\n".join([*map(_line, columns), _verdict(columns)]))
        if left:
            raise SystemExit(1)


def _line(one: Column) -> str:
    lines = [f"{one.model}.{one.field}: {one.rotated:,} encrypted anew, {one.current:,} had the first key already"]
    lines += [f"  BAD {one.model} {pk}: no key opens its {one.field}" for pk in one.unreadable]
    lines += [f"  BAD {one.model} {pk}: its {one.field} kept changing" for pk in one.busy]
    return "\n".join(lines)


def _verdict(columns: list[Column]) -> str:
    if any(one.unreadable for one in columns):
        return (
            "Some secrets can't be read. Add the key that they were written with behind the others and run this again; if it is "
            "lost, connect those accounts again."
        )
    if any(one.busy for one in columns):
        return "Some rows were in use all the time. Run this again before you take the old key away."
    return "Everything has the first key. The other keys can be taken away, once every process was restarted with it."
