"""The tenant's own JavaScript in a mapping: what it may be, how it is run, and what it may answer.

An expression sees two names: `value`, and `record` (all fields of the record, read-only). It works on a JSON copy,
has no clock, no randomness and no host, and must give JSON back. A runtime serves one tenant and one batch; it starts
from an untouched JavaScript world in which nothing built in can be changed, so one expression cannot influence the
next. The JavaScript itself runs in a process that can be killed (`mapping.sandbox`).
"""

import json
import os
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, cast

from mapping.sandbox import Sandbox, SandboxDiedError, borrow, give_back

JSON: TypeAlias = Any

MAX_EXPRESSION_CHARS = 4_000
MAX_PATTERN_CHARS = 500
MAX_INPUT_CHARS = 1_000_000
MAX_RESULT_CHARS = 64 * 1024
STOPS_BEFORE_GIVING_UP = 3
PATTERN_FLAGS = frozenset("imsuv")

_STOPPED = {
    "time": "The expression took longer than 100 ms and was stopped.",
    "memory": "The expression needed more than 16 MB of memory and was stopped.",
    "stack": "The expression calls itself too deeply and was stopped.",
    "text": "The expression failed with a message that is not readable text.",
}
_WRONG_RESULTS = {
    "type:undefined": "undefined (write `?? null` behind it for an empty result)",
    "type:function": "a function",
    "type:bigint": "a BigInt (use Number(…) or String(…))",
    "type:symbol": "a symbol",
    "type:Date": "a Date (use .toISOString())",
    "type:Promise": "a promise",
    "type:Map": "a Map (use Object.fromEntries(…))",
    "type:Set": "a Set (use Array.from(…))",
    "number:NaN": "NaN, which is not a number",
    "number:Infinity": "an infinite number",
    "number:-Infinity": "an infinite number",
    "depth": "lists or objects nested more than 20 levels deep",
    "size": "more than 64 KB",
}
# What the engine itself says. A message with any other word that is not in the expression may quote the record.
_ENGINE_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and as at be big call can cannot current for in is must no not of only or out than the to too with
        argument arguments array assignment available class circular constructor convert count date defined digits
        expected expecting expression extensible field flags function group hand index initialized invalid iterable
        large left length lexical malformed null number object operand precision private properties property prototype
        radix range read reference regexp regular repeatable results set side string symbol time token type undefined
        unexpected unsupported unterminated uri url value variable""",
    )
)
_ENGINE_ERRORS = frozenset({"TypeError", "RangeError", "ReferenceError", "SyntaxError", "URIError", "Error"})


class ExpressionError(ValueError):
    """What is wrong with an expression or its result, as a sentence without any value of the record."""


class ExpressionRuntime(Protocol):
    def evaluate(self, expression: str, value: JSON, record: JSON) -> JSON: ...


class JsboxRuntime:
    """For one tenant and one batch, in the thread that made it; `close` it or let it go out of scope.

    Limits: 100 ms, 16 MB and a stack of 256 KB per evaluation, 64 KB of result. An expression that had to be stopped
    three times is not run again by this runtime, so that a batch of records ends in reasonable time.
    """

    def __init__(self) -> None:
        self._home = _here()
        self._stops: Counter[str] = Counter()
        self._sandbox: Sandbox | None = None
        self._release: Callable[[], object] = lambda: None
        self._closed = False

    def evaluate(self, expression: str, value: JSON, record: JSON) -> JSON:
        """Raises ExpressionError; RuntimeError in another thread than the runtime's own."""
        self._check_usable()
        if self._stops[expression] >= STOPS_BEFORE_GIVING_UP:
            raise ExpressionError("The expression was stopped three times in this batch and is not run again.")
        problem = check_expression(expression)
        if problem:
            raise ExpressionError(problem)
        payload = _json(value), _json(record if _mentions_record(expression) else None)
        code = f'"use strict";$run((value, record) => ({_bare(expression)}\n), {payload[0]}, {payload[1]})'
        return self._result(expression, code)

    def close(self) -> None:
        """May be called twice. The runtime cannot be used afterwards."""
        self._closed = True
        self._release()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._sandbox is None:
            self._sandbox = borrow()
            self._release = weakref.finalize(self, give_back, self._sandbox)
        return self._sandbox.ask(request)

    def _drop_sandbox(self) -> None:
        cast("weakref.finalize[Any, Any]", self._release).detach()
        self._sandbox = None

    def _check_usable(self) -> None:
        if _here() != self._home:
            raise RuntimeError("A JavaScript runtime may only be used in the thread that made it; make one per thread.")
        if self._closed:
            raise RuntimeError("This JavaScript runtime is closed; make a new one.")

    def _result(self, expression: str, code: str) -> JSON:
        try:
            answer = self._ask({"do": "eval", "code": code})
        except SandboxDiedError:
            self._stops[expression] += 1
            self._drop_sandbox()
            raise ExpressionError(_STOPPED["time"]) from None
        if answer["ok"]:
            return _read_result(answer["result"])
        if answer["why"] == "thrown":
            raise ExpressionError(_thrown(answer["name"], answer["message"], expression))
        self._stops[expression] += 1
        raise ExpressionError(_STOPPED[answer["why"]])


@lru_cache(4096)
def check_expression(expression: str) -> str | None:
    """Why this is not one JavaScript expression, as a sentence; None when it is."""
    if not isinstance(expression, str) or not _bare(expression):
        return "The expression is empty; write for example value.trim()."
    if len(expression) > MAX_EXPRESSION_CHARS:
        return f"The expression has {len(expression):,} characters; at most {MAX_EXPRESSION_CHARS:,} are allowed."
    # Text that parses between round and between square brackets closes neither of them, so it cannot leave its place.
    text = _bare(expression)
    codes = [f'"use strict";((value, record) => {opened}{text}\n{closed})' for opened, closed in ("()", "[]")]
    try:
        answer = _ask_once({"do": "check", "codes": codes})
    except SandboxDiedError:
        return "The expression is too complicated to be read."
    return None if answer["ok"] else f"The expression is not valid JavaScript: {_one_line(answer['message'])}."


def pattern_expression(pattern: str, flags: str = "") -> str:
    """The expression that tells whether `value` matches a tenant's regular expression."""
    return f"new RegExp({json.dumps(pattern)}, {json.dumps(flags)}).test(value)"


@lru_cache(4096)
def check_pattern(pattern: str, flags: str = "") -> str | None:
    """Why this is not a JavaScript regular expression, as a sentence; None when it is."""
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"The pattern has {len(pattern):,} characters; at most {MAX_PATTERN_CHARS:,} are allowed."
    runtime = JsboxRuntime()
    try:
        runtime.evaluate(pattern_expression(pattern, flags), "", None)
    except ExpressionError:
        return "The pattern is not a valid regular expression."
    finally:
        runtime.close()
    return None


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _ask_once(request: dict[str, Any]) -> dict[str, Any]:
    sandbox = borrow()
    answer = sandbox.ask(request)
    give_back(sandbox)
    return answer


def _bare(expression: str) -> str:
    """People end a line with a semicolon; an expression has none."""
    return expression.strip().rstrip(";").rstrip()


def _mentions_record(expression: str) -> bool:
    return "record" in expression or "\\" in expression  # \u0072ecord is the same name


def _json(value: JSON) -> str:
    """The JavaScript text of a string that holds the JSON of the value."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExpressionError("The value cannot be given to an expression, because it is not JSON.") from error
    if len(text) > MAX_INPUT_CHARS:
        raise ExpressionError("The record is larger than an expression may read (1 MB).")
    return json.dumps(text)


def _read_result(result: str) -> JSON:
    if not result.startswith("="):
        what = _WRONG_RESULTS.get(result[1:], "an object that is not plain data")
        raise ExpressionError(
            f"The expression gave {what}; it must give text, a number, true, false, null, a list or an object."
        )
    if len(result) > MAX_RESULT_CHARS:
        raise ExpressionError(f"The expression gave {_WRONG_RESULTS['size']}.")
    value = json.loads(result[1:], parse_int=_whole)
    if "\\u" in result and not _storable(value):
        raise ExpressionError(
            "The expression gave text with half a character or a null character, which cannot be stored."
        )
    return value


def _whole(text: str) -> int | float:
    """JavaScript has only floating point: beyond 2^53 the digits it prints are no exact whole number."""
    number = int(text)
    return number if abs(number) <= 2**53 else float(text)


def _storable(value: JSON) -> bool:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not re.search(r"(?<!\\)(\\\\)*\\u0000", text)


def _thrown(name: str, message: str, expression: str) -> str:
    """The engine's message, unless a word of it can only come from the record."""
    kind = name if name in _ENGINE_ERRORS else "an error"
    words = set(re.findall(r"\w+", message.lower()))
    if words <= _ENGINE_WORDS | set(re.findall(r"\w+", expression.lower())):
        return f"The expression failed with {kind}: {_one_line(message)}."
    return f"The expression failed with {kind}; its text is not shown, because it may quote the record."


def _one_line(message: str) -> str:
    return message.splitlines()[0].strip().rstrip(".") if message.strip() else "no reason given"
