"""Backups of the whole database with PostgreSQL's own tools, and bringing one back.

A backup is one file in pg_dump's custom format, consistent as of one moment while everybody goes on working, and beside it a note
(`<file>.json`): when, of which code, and fingerprints of the keys that open the secrets in it. The secrets are as encrypted in the
file as in the database. The keys are not in it: who keeps FIELD_ENCRYPTION_KEYS beside it keeps what is needed, and whoever steals
the file alone has no secret.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from config import postgres_home
from sync import deployments


class BackupError(RuntimeError):
    """It did not work. The message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is written down beside a backup."""

    made_at: str
    """The state of which it is: nothing that was committed later is in it."""
    version: str
    keys: list[str]
    """Fingerprints of FIELD_ENCRYPTION_KEYS."""
    server: int

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.made_at)


def make(path: Path) -> Note:
    """Writes the backup; the file appears under its name only when it is whole. Raises BackupError."""
    if path.exists():
        raise BackupError(f"{path} exists already. A backup is never overwritten: name another file.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp(), current_setting('server_version_num')::int")
        moment, server = cursor.fetchone()
    note = Note(moment.isoformat(), deployments.version(), fingerprints(), server)
    draft = path.with_name(f".{path.name}.part")
    draft.touch(mode=0o600)
    try:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={draft}")
        _run("pg_restore", "--list", str(draft), of_database=False)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    note_of(path).write_text(json.dumps(asdict(note), indent=2))
    return note


def bring_back(path: Path) -> None:
    """Into the database of the settings, which has to be empty. All of it or nothing. Raises BackupError."""
    if not path.is_file():
        raise BackupError(f"There is no file {path}.")
    if connection.introspection.table_names():
        raise BackupError(
            "The database is not empty. Make a new one and point DATABASE_URL to it: what is there now stays until you drop it."
        )
    connection.close()
    _run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(path))


def read_note(path: Path) -> Note:
    try:
        return Note(**json.loads(note_of(path).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"The note {note_of(path)} that belongs to the backup can't be read.") from error


def note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def fingerprints() -> list[str]:
    """Of the keys that are set now. They tell whether it is the same key, and nothing of the key."""
    keys: Sequence[str] = settings.FIELD_ENCRYPTION_KEY
    return [hashlib.sha256(b"dialbridge key " + key.encode()).hexdigest()[:16] for key in keys]


def missing_keys(note: Note) -> list[str]:
    held = fingerprints()
    return [one for one in note.keys if one not in held]


def _run(program: str, *arguments: str, of_database: bool = True) -> None:
    command = [str(_program(program)), *(["--dbname", _target()] if of_database else []), *arguments]
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, and our words
        command, env={**os.environ, **_password()}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BackupError(f"{program} failed: {last[0]}")


def _program(name: str) -> Path:
    """That of the embedded PostgreSQL, which is of the newest major, else the system's."""
    try:
        ours = postgres_home.binaries() / name
    except RuntimeError:
        ours = Path()
    found = str(ours) if ours.is_file() else shutil.which(name)
    if not found:
        raise BackupError(f"{name} was not found. Install PostgreSQL's client programs.")
    return Path(found)


def _target() -> str:
    """The database in libpq's words, without the password, which others on the machine could read."""
    params = connection.get_connection_params()
    known = {"host": "host", "port": "port", "user": "user", "dbname": "dbname", "sslmode": "sslmode"}
    told = {name: str(params[key]) for name, key in known.items() if params.get(key)}
    return " ".join(f"{name}='{_quoted(value)}'" for name, value in told.items())


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _password() -> dict[str, str]:
    password = connection.get_connection_params().get("password")
    return {"PGPASSWORD": str(password)} if password else {}
