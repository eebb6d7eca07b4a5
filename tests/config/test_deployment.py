"""What a deployment is made of, tried by its pieces: there need be no container engine where the tests run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet
from django.core.management import get_commands, load_command_class

from config.middleware import Clickjacking, Csrf
from config.processes import ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
EXAMPLE = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
FILLED_IN = {
    "SECRET_KEY": "correct-horse-battery-staple-0123456789-abcdefghij",
    "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "BEHIND_PROXY": "true",
    "DATABASE_URL": "postgresql://dialbridge@127.0.0.1:1/nowhere",
}
"""What an operator adds to .env.example. Nothing here asks a database."""


def run(*command: str, data: Path, **env: str) -> str:
    """In an environment that has nothing of ours but what is given."""
    given = {"PATH": os.environ["PATH"], "DATA_DIR": str(data), **env}
    done = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_djangos_check_of_a_deployment_finds_nothing_in_the_example_filled_in(tmp_path: Path) -> None:
    env = {name: value for name, value in (EXAMPLE | FILLED_IN).items() if name != "DATA_DIR"}
    run(sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", data=tmp_path, **env)


def test_what_that_check_is_told_to_overlook_is_there_in_another_shape(settings: Any) -> None:
    for ours in (Clickjacking, Csrf):
        assert f"{ours.__module__}.{ours.__name__}" in settings.MIDDLEWARE


LOOK = """
import json, django
django.setup()
from django.test import Client
from django.templatetags.static import static

found = {}
for name in ("unfold/css/styles.css", "admin/js/core.js"):
    url = static(name)
    answer = Client().get(url, headers={"accept-encoding": "gzip"}, secure=True)
    found[url] = [answer.status_code, answer.headers.get("Cache-Control"), answer.headers.get("Content-Encoding")]
alive = Client().get("/healthz", headers={"host": "127.0.0.1:8000"})
print(json.dumps({"static": found, "alive": alive.status_code}))
"""


@pytest.mark.thorough
def test_the_images_build_step_makes_static_files_that_production_serves_under_names_by_content(tmp_path: Path) -> None:
    step = re.search(
        r"^RUN ((?:[A-Z_]+=\S+ \\\n\s+)+)python (manage\.py collectstatic .*)$", CONTAINERFILE, re.MULTILINE
    )
    assert step, "the step that collects the static files"
    words = dict(word.split("=", 1) for word in step[1].replace("\\\n", " ").split())
    run(sys.executable, *shlex.split(step[2]), data=tmp_path, **words)
    env = {
        "PUBLIC_URL": "https://testserver",
        "ALLOWED_HOSTS": "testserver",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    seen = json.loads(run(sys.executable, "-c", LOOK, data=tmp_path, **FILLED_IN, **env))
    assert seen["alive"] == 200, "the container's own health check comes without TLS and under another name"
    for url, (status, cached, encoding) in seen["static"].items():
        assert re.search(r"\.[0-9a-f]{12}\.(css|js)$", url)
        assert (status, encoding) == (200, "gzip")
        assert "immutable" in cached


def test_the_image_runs_as_nobody_special_and_holds_no_compiler_and_no_secret() -> None:
    steps = re.findall(r"^(FROM|COPY|USER|CMD|RUN) (.*)$", CONTAINERFILE, re.MULTILINE)
    users = [what for step, what in steps if step == "USER"]
    assert [int(user) > 0 for user in users] == [True]
    assert [step for step, _ in steps].index("USER") < [step for step, _ in steps].index("CMD")
    assert "python:3.11-slim" in dict(steps)["FROM"]
    assert "--only-binary=:all:" in CONTAINERFILE
    assert not re.search(r"\b(gcc|build-essential|apt-get)\b", CONTAINERFILE)


def test_only_what_runs_is_copied_into_the_image() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= copied
    assert not copied & {".env", ".data", ".git", ".venv", "tests"}


@pytest.mark.parametrize("name", ["release", "worker", "listener"])
def test_what_the_process_file_runs_exists_and_compose_runs_the_same(name: str) -> None:
    program, script, command = shlex.split(PROCFILE[name])
    assert (program, script) == ("python", "manage.py")
    assert command in get_commands()
    assert COMPOSE["services"][name]["command"] == [program, script, command]


def test_the_image_and_the_process_file_start_the_web_in_the_same_way() -> None:
    found = re.search(r"^CMD (\[.*?\])$", CONTAINERFILE, re.MULTILINE | re.DOTALL)
    assert found
    image = json.loads(found[1].replace("\\\n", ""))
    plain = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", PROCFILE["web"])
    assert image == shlex.split(plain)[shlex.split(plain).index("python") :]


def test_compose_brings_real_engines_and_waits_for_them() -> None:
    services = COMPOSE["services"]
    ours = {name for name, one in services.items() if one["image"] == "dialbridge"}
    assert ours == {"release", "web", "worker", "listener"}
    for name in ours:
        assert services[name]["environment"]["BROKER_URL"].startswith("redis://")
        assert services[name]["environment"].keys() <= EXAMPLE.keys()
        for needed in services[name]["depends_on"]:
            assert needed in services
    assert services["database"]["image"].rpartition("/")[2].startswith("postgres:")
    assert set(COMPOSE["volumes"]) == {mount.partition(":")[0] for mount in services["database"]["volumes"]}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"BROKER_URL": "amqp://queue"}, "BROKER_URL begins with 'amqp'"),
        (
            {"DATABASE_PREPARED": "false", "DATABASE_ROLE": "dialbridge_web", "DATABASE_WATCHED": "true"},
            "DATABASE_ROLE can't be used",
        ),
    ],
    ids=["broker", "pooler"],
)
def test_what_can_not_work_together_ends_the_start_with_a_sentence(
    tmp_path: Path, env: dict[str, str], words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        run(sys.executable, "-c", "import config.settings", data=tmp_path, **FILLED_IN, **env)


@pytest.mark.parametrize("name", ["worker", "listener"])
def test_compose_asks_each_host_of_workers_for_its_own_health(name: str) -> None:
    test = COMPOSE["services"][name]["healthcheck"]["test"]
    assert test == ["CMD", "python", "manage.py", "check_health", "--only", f"{name}s", "--here"]
    command = load_command_class(get_commands()["check_health"], "check_health")
    command.create_parser("manage.py", "check_health").parse_args(test[4:])


POOLED = {"DATABASE_POOL": "true", "DATABASE_POOL_SIZE": "3", "DATABASE_POOL_WAIT": "4", "DATABASE_PREPARED": "false"}


def test_the_pool_of_the_web_and_a_pooler_behind_it_are_set_by_the_environment(tmp_path: Path) -> None:
    look = "import json, config.settings as s; print(json.dumps(s.DATABASES['default'], default=str))"
    found = json.loads(run(sys.executable, "-c", look, data=tmp_path, **FILLED_IN, **POOLED))
    assert (found["OPTIONS"]["pool"]["max_size"], found["OPTIONS"]["pool"]["timeout"]) == (3, 4)
    assert found["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert "prepare_threshold" not in found["OPTIONS"]
    assert found["OPTIONS"]["tcp_user_timeout"] < 60_000, "a server that vanished is noticed"
