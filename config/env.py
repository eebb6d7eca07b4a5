"""Strict readers of the environment: a wrong value ends the start with one sentence that names the variable."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def boolean(name: str, *, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise SystemExit(f"{name} is {value!r}. Write true or false.")


def items(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def number(name: str, default: int) -> int:
    value = text(name, str(default))
    if not value.isdigit():
        raise SystemExit(f"{name} is {value!r}. Write a whole number.")
    return int(value)


def mail(name: str, *, debug: bool) -> dict[str, Any]:
    """Django's settings for e-mail from one address; on a developer's machine what would be sent is printed."""
    url = text(name, "consolemail://" if debug else "dummymail://")
    try:
        return dict(environ.Env.email_url_config(url))
    except ImproperlyConfigured as error:
        raise SystemExit(
            f"{name} begins with {url.split(':')[0]!r}. Write smtp+tls://user:password@host:587."
        ) from error


def secret_key(*, debug: bool, data_dir: Path) -> str:
    """`SECRET_KEY`; under DEBUG one is made and kept when none is set."""
    value = text("SECRET_KEY")
    if not value and debug:
        return _kept_secret(data_dir, "secret_key", lambda: secrets.token_urlsafe(50))
    if len(value) < 40 or len(set(value)) < 10:
        raise SystemExit(
            "SECRET_KEY is missing or weak. Set it to at least 40 random characters, for instance the output of: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"
        )
    return value


def encryption_keys(*, debug: bool, data_dir: Path) -> list[str]:
    """`FIELD_ENCRYPTION_KEYS`, the first encrypts; under DEBUG one is made and kept when none is set."""
    keys = items("FIELD_ENCRYPTION_KEYS")
    if not keys and debug:
        return [_kept_secret(data_dir, "field_encryption_key", lambda: Fernet.generate_key().decode())]
    if not keys:
        raise SystemExit(
            "FIELD_ENCRYPTION_KEYS is missing. It keeps the CRM tokens unreadable at rest. Make one with: python3 -c "
            "'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        )
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError as error:
            raise SystemExit(
                f"FIELD_ENCRYPTION_KEYS: key number {position} is not 32 bytes in URL-safe base64."
            ) from error
    return keys


def _kept_secret(data_dir: Path, name: str, make: Callable[[], str]) -> str:
    """A development secret that survives restarts; several processes starting at once agree on one."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / f"{name}.json"
    if not path.exists():
        draft = data_dir / f".{name}.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(make()))
        try:
            os.link(draft, path)  # fails when somebody was faster: theirs counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return str(json.loads(path.read_text()))
