"""How a line of the log looks: for people, or one JSON object for machines (`LOG_FORMAT=json`).

Either way it has passed the redaction of `integrations.redaction`, and it carries what the work at hand belongs to (see
`integrations.tracing`). An error is told by its traceback, which names places in the code and never the values there.
"""

import logging
import sys
import time
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from integrations import tracing
from integrations.redaction import redact

LINE, JSON = "line", "json"
STEPS = ("dialbridge.http", "dialbridge.calls", "dialbridge.crm", "dialbridge.jobs")
"""Loggers that tell of every single step. For machines only: a person would drown in them."""
PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "facts", "taskName"}


class Facts(logging.Filter):
    """Put on every handler: notes what the line belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.facts = tracing.facts()
        return True


class Line(logging.Formatter):
    """One line for people, with the facts at its end. The lines of a traceback follow it."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        facts = " ".join(f"{name}={_short(value)}" for name, value in _facts(record).items())
        text = super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")
        return f"{text} [{facts}]" if facts else text


class Json(JsonFormatter):
    """One object a line: time, level, logger, message, the facts, and whatever the line brought along."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("{message}", style="{", json_default=str)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in log_data.items() if value not in (None, "", [])}

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03}Z"
        log_data["level"], log_data["logger"] = record.levelname, record.name
        log_data["message"] = record.getMessage()
        log_data.update(_facts(record))
        log_data.update(_brought(record))
        log_data["process"] = record.process
        for name in ("exc_info", "stack_info"):
            log_data[name] = message_dict.get(name)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        return redact("".join(super().formatException(ei)))


def _facts(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = getattr(record, "facts", {})
    return found


def _brought(record: logging.LogRecord) -> dict[str, object]:
    """What a line brings along besides its text, without secrets and numbers like the text itself."""
    extra = {name: value for name, value in record.__dict__.items() if name not in PLAIN}
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in extra.items()
        if isinstance(value, str | int | float | list | tuple | bool) or value is None
    }


def _short(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value[:3])) + (f",… ({len(value)})" if len(value) > 3 else "")
    return str(value)


def configuration(level: str, form: str) -> dict[str, Any]:
    """For Django's LOGGING. Raises SystemExit for a form that does not exist."""
    if form not in (LINE, JSON):
        raise SystemExit(f"LOG_FORMAT is {form!r}. Write line or json.")
    handler = {
        "()": "config.logs.to_stderr",
        "filters": ["redact", "facts"],
        "formatter": form,
    }
    quiet = {"handlers": ["stderr"], "level": "WARNING", "propagate": False}
    steps = {"level": level if form == JSON else "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "redact": {"()": "integrations.redaction.RedactingFilter"},
            "facts": {"()": "config.logs.Facts"},
        },
        "formatters": {LINE: {"()": "config.logs.Line"}, JSON: {"()": "config.logs.Json"}},
        "handlers": {"stderr": handler},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "django-q": quiet,
            "django.server": quiet,
            **dict.fromkeys(STEPS, steps),
        },
    }


def to_stderr() -> "logging.StreamHandler[TextIO]":
    return logging.StreamHandler(sys.stderr)
