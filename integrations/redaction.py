"""Takes secrets and phone numbers out of text before it is logged, stored or shown."""

import logging
import re

_NAMES_OF_SECRETS = (
    "access_token|refresh_token|id_token|client_secret|authorization|assertion|private_key|api_key|apikey|password|code_verifier"
    "|hapikey|x-system-key|token|secret|signature|sessionid|cookie"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.S), "[key]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~!-]{6,}"), r"\1 [secret]"),
    (
        re.compile(
            rf"""(?ix) (["']? \b(?:{_NAMES_OF_SECRETS})\b ["']? \s* [:=] \s*) (?: "[^"]*" | '[^']*' | [^\s,;&}}]+ )"""
        ),
        r"\1[secret]",
    ),
    (re.compile(r"(?i)([?&](?:code|state)=)[^&\s\"']+"), r"\1[secret]"),
    (re.compile(r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]+"), "[secret]"),
    (re.compile(r"\b(?:pat-[a-z0-9]+-[A-Za-z0-9-]{8,}|fka_[A-Za-z0-9]+|dbk_[A-Za-z0-9_-]+)"), "[secret]"),
    (re.compile(r"(?<![\w.:-])(?:\+|00)\d[\d\s().-]{6,18}\d(?![\w])"), "[phone]"),
    (re.compile(r"(?<![\w.:/-])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?![\w-])"), "[phone]"),
)


def redact(text: str) -> str:
    """The same text without tokens, keys and phone numbers. Safe to apply twice."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Put on every handler, so that a careless log call still cannot leak."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
