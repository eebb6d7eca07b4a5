"""Hostile input, drawn from a seed: texts that have broken programs before, and valid samples bent out of shape.

The same seed gives the same input, on every machine and in every order, so that each can be tried again alone.
"""

import json
import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

TEXTS: tuple[str, ...] = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\u0000\u0000", "\r\n", "\r\nX-Evil: 1",
    "\r\n\r\n<html>",
    "' OR 1=1 --", "'; DROP TABLE calls; --", '"; --', "\\", "\\'", "\\\\'", "%", "%s", "%(x)s", "{0}", "{}", "{{", "}}", "{{x}}",
    "{{#a}}{{/b}}", "{% load x %}", "${jndi:ldap://127.0.0.1/a}", "$(id)", "`id`", "| cat /etc/passwd", "../../../../etc/passwd",
    "..\\..\\windows", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://[::1]:80/", "//evil.example",
    "javascript:1",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "-->", "]]>", "<![CDATA[", "&lt;", "&#0;",
    "<!DOCTYPE x [",
    '=HYPERLINK("http://evil.example")', "=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(1)", "\t=1", "nan", "NaN", "Infinity",
    "-Infinity",
    "1e999", "-1e999", "1e-999", "0x10", "0b1", "01", "1_000", "٣", "½", "١٢٣٤", "9" * 40, "9" * 400, "-0", "0.1", "1.", ".5",
    "True",
    "null", "undefined", "none", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30", "2026-01-01T00:00:00+99:99",
    "-1-1-1",
    "2016-12-31T23:59:60Z", "1970-01-01", "+999999999999999", "+1 (415) 555-0101 ext. 99999", "tel:+14155550101;phone-context=x",
    "a@b", "a@" + "b" * 300, '"a b"@c.example', "a@b.example\r\nBcc: x@y.example", "ﷺ" * 40, "Z̑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "e\u0301" * 60, "👩‍👩‍👧‍👦" * 20,
    "a" * 254, "a" * 255, "a" * 256, "a" * 5000, "x" * 70_000, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "(" * 500, "[" * 500,
    '"' * 500,
    "constructor", "__proto__", "prototype", "__class__", "toString", "hasOwnProperty", "self", "None", "id", "tenant_id", "pk",
    "custom.x", "custom.", ".", "..", "a.b.c", "a[0]", "a[999999999]", "a[-1]", "a[b=c]", "a || b", "a[b=c].d", '"x"."y"', "a..b",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -0.0, 1, -1, 2**31, 2**31 - 1, -(2**31) - 1, 2**53, 2**63, -(2**63) - 1, 2**64, 10**30, 10**300, 1.5, 1e-320, 1e308,
    -1e308, 0.1,
)  # fmt: skip
RAW: tuple[bytes, ...] = (
    b"", b"null", b"[]", b"{}", b'""', b"0", b"[[]]", b'{"":""}', b"\xff\xfe", b"\xef\xbb\xbf{}", b"NaN", b"Infinity",
    b"-Infinity",
    b"[" * 100_000, b'{"a":' * 50_000, b"[" * 5000 + b"]" * 5000, b'"\\ud800"', b'{"a":1,"a":2}', b"9" * 5000, b"1e999",
    b"\x1f\x8b\x08\x00",
    b"{'a':1}", b"{a:1}", b"[1,]", b"true false", b"\x00", b'{"x":"' + b"y" * 200_000 + b'"}', "é".encode("latin-1"),
    "{}".encode("utf-16"),
    b"[" + b"1," * 50_000 + b"1]", b"{" + b",".join(b'"k%d":0' % n for n in range(20_000)) + b"}", b"--x\r\n\r\n--x--",
    b"a=b&c=d",
)  # fmt: skip


class Hostile:
    """One input's source of chance."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.sent: Any = None
        """What was made last, for the report."""

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one_of(self, things: Sequence[Any]) -> Any:
        return self.random.choice(things)

    def text(self) -> str:
        made: str = self.one_of(TEXTS)
        if self.chance(0.3):
            made = made[: self.random.randint(0, 80)] + str(self.one_of(TEXTS))[:200]
        if self.chance(0.1):
            made += chr(self.random.choice((self.random.randint(0, 0x2FF), self.random.randint(0, 0x10FFFF))))
        return made

    def value(self, depth: int = 0) -> Any:
        """Anything that JSON can say, and a little more."""
        kind = self.random.randint(0, 9 if depth < 4 else 6)
        if kind <= 3:
            return self.text()
        if kind == 4:
            return self.one_of(NUMBERS)
        if kind <= 6:
            return self.one_of((None, True, False, [], {}))
        size = self.random.randint(0, 4)
        if kind == 7:
            return {self.text()[:300]: self.value(depth + 1) for _ in range(size)}
        if kind == 8:
            return [self.value(depth + 1) for _ in range(size)]
        return self.nested(self.random.randint(5, 120))

    def nested(self, depth: int) -> Any:
        made: Any = 1
        for _ in range(depth):
            made = [made] if self.chance(0.5) else {"a": made}
        return made

    def bent(self, sample: Any) -> Any:
        """The sample with one to four places changed, taken away, doubled or renamed."""
        made = deepcopy(sample)
        for _ in range(self.random.randint(1, 4)):
            made = self._bend(made)
        return made

    def _bend(self, made: Any) -> Any:
        if not isinstance(made, dict | list) or not made or self.chance(0.1):
            return self.value()
        keys: list[Any] = list(made) if isinstance(made, dict) else list(range(len(made)))
        key = self.one_of(keys)
        way = self.random.randint(0, 6)
        if way <= 2:
            made[key] = self.value()
        elif way == 3:
            made[key] = self._bend(made[key])
        elif way == 4:
            del made[key]
        elif isinstance(made, dict):
            made[self.text()[:200]] = made[key] if way == 5 else self.value()
        else:
            made.extend([made[key]] * self.random.randint(1, 3))
        return made

    def body(self, sample: Any) -> bytes:
        """The sample as bytes: mostly bent JSON, sometimes as it was, sometimes bytes bent after that, sometimes no JSON at all."""
        if self.chance(0.05):
            self.sent = self.one_of(RAW)
            return bytes(self.sent)
        made = self.json(sample if self.chance(0.1) else self.bent(sample))
        self.sent = self.scrambled(made) if self.chance(0.2) else made
        return bytes(self.sent)

    def json(self, value: Any) -> bytes:
        text = json.dumps(value, ensure_ascii=self.chance(0.5))
        return text.encode("utf-8", "surrogatepass")

    def scrambled(self, made: bytes) -> bytes:
        """Some bytes changed, cut out, doubled, or put in."""
        bent = bytearray(made)
        for _ in range(self.random.randint(1, 6)):
            place = self.random.randint(0, len(bent))
            way = self.random.randint(0, 4)
            if way == 0 and bent:
                bent[place % len(bent)] = self.random.randint(0, 255)
            elif way == 1:
                del bent[place : place + self.random.randint(1, 20)]
            elif way == 2:
                bent[place:place] = bent[place : place + self.random.randint(1, 60)]
            elif way == 3:
                bent[place:place] = self.text().encode("utf-8", "surrogatepass")[:500]
            else:
                del bent[place:]
        return bytes(bent)

    def bent_text(self, sample: str) -> str:
        """A written form, bent: of its pieces some are doubled, left out or swapped for something else."""
        made = self.scrambled(sample.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        self.sent = made if self.chance(0.8) else self.text()
        return str(self.sent)
