import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from config import env

ROOT = Path(__file__).resolve().parents[2]
GOOD = "hN2f0lqUu3m7S9dVb1xYcZ8aKp4TjR6wEoGiLQ5sXyCvB-M_"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("No", False), ("off", False), ("", False)])
def test_a_switch_is_read(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SWITCH", text)
    assert env.boolean("SWITCH") is value


def test_a_mistyped_switch_is_not_taken_for_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCH", "flase")
    with pytest.raises(SystemExit, match="SWITCH is 'flase'"):
        env.boolean("SWITCH")


def test_a_number_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "two")
    with pytest.raises(SystemExit, match="WORKERS"):
        env.number("WORKERS", 2)


@pytest.mark.parametrize("weak", ["", "short", "a" * 60])
def test_a_weak_secret_key_stops_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weak: str) -> None:
    monkeypatch.setenv("SECRET_KEY", weak)
    with pytest.raises(SystemExit, match="SECRET_KEY"):
        env.secret_key(debug=False, data_dir=tmp_path)


def test_a_good_secret_key_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    assert env.secret_key(debug=False, data_dir=tmp_path) == GOOD


@pytest.mark.parametrize(
    "keys", ["", "not-a-key", f"{Fernet.generate_key().decode()},broken"], ids=["no", "bad", "one bad"]
)
def test_bad_encryption_keys_stop_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keys: str) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", keys)
    with pytest.raises(SystemExit, match="FIELD_ENCRYPTION_KEYS"):
        env.encryption_keys(debug=False, data_dir=tmp_path)


def test_a_developer_gets_secrets_that_stay_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("FIELD_ENCRYPTION_KEYS", raising=False)
    first = (env.secret_key(debug=True, data_dir=tmp_path), env.encryption_keys(debug=True, data_dir=tmp_path))
    assert first == (env.secret_key(debug=True, data_dir=tmp_path), env.encryption_keys(debug=True, data_dir=tmp_path))
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {"0o600"}


def test_production_without_a_secret_ends_with_a_sentence_and_no_traceback() -> None:
    clean = {key: value for key, value in os.environ.items() if key not in {"DEBUG", "SECRET_KEY"}}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], check=False, cwd=ROOT, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("SECRET_KEY is missing or weak.")
