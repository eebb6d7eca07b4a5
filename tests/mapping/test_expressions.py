import errno
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping import sandbox
from mapping.expressions import ExpressionError, JsboxRuntime, check_expression
from mapping.sandbox import SandboxUnavailableError


@pytest.fixture(scope="module")
def shared() -> Iterator[JsboxRuntime]:
    """One runtime for many tests: what one expression leaves behind would show in the next."""
    runtime = JsboxRuntime()
    yield runtime
    runtime.close()


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        pytest.param("value.split(' ')[0]", "Ann Roe", "Ann", id="split"),
        pytest.param("value.trim();", " x ", "x", id="semicolon at the end"),
        pytest.param("value // comment", 1, 1, id="comment"),
        pytest.param("value > 5 ? 'hot' : 'cold'", 6, "hot", id="condition"),
        pytest.param("[value, null, true, 1.5, {a: [value]}]", "x", ["x", None, True, 1.5, {"a": ["x"]}], id="JSON"),
        pytest.param("({...value, b: 2})", {"a": 1}, {"a": 1, "b": 2}, id="object"),
        pytest.param("(() => { let n = 0; for (const one of value) n += one; return n; })()", [1, 2], 3, id="function"),
        pytest.param("record.first + ' ' + record.last", "", "Ann Roe", id="record"),
        pytest.param("r\\u0065cord.first", "", "Ann", id="record written with an escape"),
        pytest.param("value.sort()[0]", ["b", "a"], "a", id="value may be changed"),
        pytest.param("new Date(value).toISOString()", "2024-01-15", "2024-01-15T00:00:00.000Z", id="date"),
        pytest.param("new Date(2024, 0, 15).toISOString()", "", "2024-01-15T00:00:00.000Z", id="local dates are UTC"),
        pytest.param("value", "\u2028 'ä' \"\\ 😀", "\u2028 'ä' \"\\ 😀", id="odd characters"),
        pytest.param("value", {"__proto__": 1, "constructor": 2}, {"__proto__": 1, "constructor": 2}, id="odd names"),
        pytest.param("value ?? null", None, None, id="null"),
        pytest.param("-0", "", 0, id="negative zero"),
        pytest.param("value", 2**53 - 1, 2**53 - 1, id="large number"),
    ],
)
def test_an_expression_gives_json(shared: JsboxRuntime, expression: str, value: Any, expected: Any) -> None:
    assert shared.evaluate(expression, value, {"first": "Ann", "last": "Roe"}) == expected


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        pytest.param("undefined", "gave undefined (write `?? null`", id="undefined"),
        pytest.param("[undefined]", "gave undefined", id="undefined in a list"),
        pytest.param("NaN", "gave NaN", id="NaN"),
        pytest.param("1 / 0", "an infinite number", id="infinity"),
        pytest.param("10n", "a BigInt", id="BigInt"),
        pytest.param("Symbol('x')", "a symbol", id="symbol"),
        pytest.param("() => 1", "a function", id="function"),
        pytest.param("({toJSON() { return 1; }})", "a function", id="toJSON"),
        pytest.param("new Date(0)", "use .toISOString()", id="Date"),
        pytest.param("new Map()", "a Map", id="Map"),
        pytest.param("new (class Ann {})()", "an object that is not plain data", id="class"),
        pytest.param("Promise.resolve(1)", "a promise", id="promise"),
        pytest.param("import('fs')", "a promise", id="import"),
        pytest.param("require('fs')", "ReferenceError: require is not defined", id="require"),
        pytest.param("process.env", "ReferenceError: process is not defined", id="process"),
        pytest.param("queueMicrotask(() => 1)", "queueMicrotask is not defined", id="later"),
        pytest.param("new Date()", "current time is not available", id="clock"),
        pytest.param("Date.now()", "current time is not available", id="clock without new"),
        pytest.param("Math.random()", "Math.random is not available", id="luck"),
        pytest.param("'x'.repeat(70000)", "more than 64 KB", id="long text"),
        pytest.param("Array(20000).fill(1)", "more than 64 KB", id="long list"),
        pytest.param("Array(1e7)", "more than 64 KB", id="huge empty list"),
        pytest.param("Array.from({length: 9000}, () => 'aaaaaaaa')", "more than 64 KB", id="much text in pieces"),
        pytest.param(
            "(() => { let a = []; for (let i = 0; i < 50; i++) a = [a]; return a; })()", "20 levels", id="deep"
        ),
        pytest.param("(() => { const a = []; a.push(a); return a; })()", "20 levels", id="a list in itself"),
        pytest.param("'\\ud800'", "half a character", id="half a character"),
        pytest.param("'\\u0000'", "null character", id="null character"),
        pytest.param("value.nope.x", "TypeError: cannot read property 'x' of undefined", id="property of nothing"),
        pytest.param("record.first = 'x'", "'first' is read-only", id="record is read-only"),
        pytest.param("typo", "ReferenceError: typo is not defined", id="unknown name"),
    ],
)
def test_anything_but_json_is_explained(shared: JsboxRuntime, expression: str, sentence: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        shared.evaluate(expression, "x", {"first": "Ann"})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("(() => { throw new Error(value); })()", id="as message"),
        pytest.param("(() => { throw value; })()", id="as itself"),
        pytest.param(
            "(() => { class X extends Error {}; const x = new X(); x.name = value; throw x; })()", id="as name"
        ),
        pytest.param("({[value]: {}})[value].x.y", id="as property"),
        pytest.param("null[value]", id="as property of null"),
        pytest.param("({[Symbol.toStringTag]: value, __proto__: new Map()})", id="as type of the result"),
    ],
)
def test_an_error_never_repeats_a_personal_value(shared: JsboxRuntime, expression: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        shared.evaluate(expression, "+14155551234 Ann", {})
    assert "Ann" not in str(caught.value)
    assert "1415" not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        pytest.param("(() => { for (;;); })()", "100 ms", id="loop"),
        pytest.param("({toString() { for (;;); }}) + ''", "100 ms", id="toString"),
        pytest.param("JSON.stringify({toJSON() { for (;;); }})", "100 ms", id="toJSON"),
        pytest.param("({get a() { for (;;); }})", "100 ms", id="getter"),
        pytest.param("new Proxy({}, {ownKeys() { for (;;); }})", "100 ms", id="proxy"),
        pytest.param("(() => { try { for (;;); } catch { return 1; } finally { return 2; } })()", "100 ms", id="catch"),
        pytest.param("/^(a+)+$/.test('a'.repeat(40) + '!')", "100 ms", id="regular expression"),
        pytest.param("String.raw({raw: {length: 2 ** 53 - 1}})", "100 ms", id="one endless native call"),
        pytest.param("'a'.repeat(2e6).indexOf('a'.repeat(1e6) + 'b')", "100 ms", id="one slow native call"),
        pytest.param("(() => { let x = 3n ** 300000n; for (;;) x * x; })()", "100 ms", id="BigInt"),
        pytest.param("(() => { let a = []; for (;;) a.push('x'.repeat(1e5) + a.length); })()", "16 MB", id="memory"),
        pytest.param("'x'.repeat(1e9)", "16 MB", id="memory at once"),
        pytest.param("(function again() { return again() + 1; })()", "too deeply", id="recursion"),
        pytest.param("JSON.parse('['.repeat(1e6))", "too deeply", id="nesting"),
    ],
)
def test_an_expression_that_takes_too_much_is_stopped(expression: str, sentence: str) -> None:
    runtime = JsboxRuntime()
    started = time.monotonic()
    with pytest.raises(ExpressionError, match=sentence):
        runtime.evaluate(expression, "x", {})
    assert time.monotonic() - started < 60, "it ends by its own limit, on whatever machine"
    assert runtime.evaluate("value.split(' ').length", "a b", {}) == 2
    runtime.close()


@pytest.mark.parametrize(
    "poison",
    [
        "String.prototype.split = () => ['poisoned']",
        "(Object.getPrototypeOf('').split = () => ['poisoned'], 1)",
        "Object.defineProperty(String.prototype, 'split', {value: () => ['poisoned']})",
        "(String = null, 1)",
        "(Array.prototype[0] = 'poisoned', 1)",
        "({}).constructor.prototype.poisoned = 1",
        "({}).__proto__.poisoned = 1",
        "globalThis.poisoned = 1",
        "(poisoned = 1)",
        "(0, eval)('var poisoned = 1')",
        "Function('return this')().poisoned = 1",
        "delete globalThis.JSON",
        "(JSON.parse = () => 'poisoned', 1)",
        "($run = () => '=1', 1)",
        "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({done: true})",
        "Object.getPrototypeOf('a'.matchAll(/a/g)).next = () => ({done: true})",
        "Object.getPrototypeOf(function* () {}).prototype.next = () => ({done: true})",
        "(RegExp.prototype.exec = () => null, 1)",
        "(Error.prepareStackTrace = () => 'poisoned', 1)",
        "(Date.parse = () => 0, 1)",
        "(console.log = 1)",
        "(async () => { await 1; for (;;); })() && 1",
        "(() => { for (;;); })()",
        "'x'.repeat(1e9)",
    ],
)
def test_an_expression_cannot_influence_the_next_one(shared: JsboxRuntime, poison: str) -> None:
    with suppress(ExpressionError):  # refused, or without effect: the next expression tells
        shared.evaluate(poison, "x", {"a": 1})
    healthy = """[...value.split(' ')].map((one) => one.toUpperCase().replace(/B/, 'x')).concat(
        typeof poisoned, String({}.poisoned === undefined), [...'ab'.matchAll(/a/g)].length,
        [...(function* () { yield 5; })()], Date.parse('1970-01-01T00:00:01Z'), Object.keys(globalThis).length)"""
    assert shared.evaluate(healthy, "a b", {}) == ["A", "x", "undefined", "true", 1, 5, 1000, 0]


def test_everything_an_expression_can_reach_is_frozen(shared: JsboxRuntime) -> None:
    expression = """(() => {
        const seen = new Set(), open = [];
        const visit = (item, name) => {
            if (item === null || !["object", "function"].includes(typeof item) || seen.has(item)) return;
            seen.add(item);
            if (!Object.isFrozen(item)) open.push(name);
            visit(Object.getPrototypeOf(item), name + ".__proto__");
            for (const key of Reflect.ownKeys(item)) {
                const property = Reflect.getOwnPropertyDescriptor(item, key);
                for (const part of ["value", "get", "set"]) visit(property[part], name + "." + String(key));
            }
        };
        visit(globalThis, "globalThis");
        return [seen.size > 500, open.slice(0, 20)];
    })()"""
    assert shared.evaluate(expression, "x", {}) == [True, []]


def test_no_accessor_keeps_a_value_outside_of_frozen_objects(shared: JsboxRuntime) -> None:
    """A setter of a built-in object can hide state that freezing does not hold; only these exist, and have none."""
    expression = """(() => {
        const found = [];
        for (const name of Object.getOwnPropertyNames(globalThis)) {
            const item = globalThis[name];
            for (const part of [item, item?.prototype]) {
                if (part === null || !["object", "function"].includes(typeof part)) continue;
                for (const key of Reflect.ownKeys(part))
                    if (Reflect.getOwnPropertyDescriptor(part, key).set) found.push(name + "." + String(key));
            }
        }
        return [...new Set(found)].filter((name) => !name.startsWith("globalThis")).sort();
    })()"""
    assert shared.evaluate(expression, "x", {}) == [
        "Error.stack",
        "Function.arguments",
        "Function.caller",
        "Iterator.Symbol(Symbol.toStringTag)",
        "Iterator.constructor",
        "Object.__proto__",
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        ";",
        "value.(",
        "return value",
        "let x = 1",
        "if (value) 1",
        "value; value",
        "value) + (1",
        "1); globalThis.x = 1; (2",
        "1]; globalThis.x = 1; [2",
        "/* value",
        "`value",
        "await value",
        "yield value",
        "x" * 4001,
    ],
)
def test_what_is_not_one_expression_is_refused_before_it_runs(shared: JsboxRuntime, expression: str) -> None:
    problem = check_expression(expression)
    assert problem is not None
    assert problem.endswith(".")
    with pytest.raises(ExpressionError):
        shared.evaluate(expression, "x", {})


def test_an_expression_stopped_three_times_is_not_run_again_in_the_batch() -> None:
    runtime, endless = JsboxRuntime(), "(() => { for (;;); })()"
    for _ in range(3):
        with pytest.raises(ExpressionError, match="100 ms"):
            runtime.evaluate(endless, "x", {})
    with pytest.raises(ExpressionError, match="not run again"):
        runtime.evaluate(endless, "x", {})
    assert runtime.evaluate("value", "x", {}) == "x"
    runtime.close()


def test_a_runtime_belongs_to_the_thread_that_made_it() -> None:
    runtime = JsboxRuntime()
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="in the thread that made it"):
        pool.submit(runtime.evaluate, "value", 1, {}).result()
    assert runtime.evaluate("value", 1, {}) == 1
    runtime.close()


def test_threads_with_a_runtime_each_do_not_disturb_each_other() -> None:
    def work(number: int) -> list[Any]:
        runtime = JsboxRuntime()
        results = [runtime.evaluate("value * 2", number, {}) for _ in range(20)]
        runtime.close()
        return results

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[number * 2] * 20 for number in range(4)]


def test_a_closed_runtime_says_so() -> None:
    runtime = JsboxRuntime()
    runtime.evaluate("value", 1, {})
    runtime.close()
    runtime.close()
    with pytest.raises(RuntimeError, match="closed"):
        runtime.evaluate("value", 1, {})


def test_processes_are_used_again_and_ended_when_too_many() -> None:
    runtimes = [JsboxRuntime() for _ in range(sandbox.MAX_IDLE + 2)]
    assert [runtime.evaluate("value", 1, {}) for runtime in runtimes] == [1] * len(runtimes)
    for runtime in runtimes:
        runtime.close()
    assert len(sandbox._idle) == sandbox.MAX_IDLE
    again = JsboxRuntime()
    again.evaluate("value", 1, {})
    assert len(sandbox._idle) == sandbox.MAX_IDLE - 1
    del again  # without close
    assert len(sandbox._idle) == sandbox.MAX_IDLE
    sandbox.close_idle()
    assert not sandbox._idle


def test_an_idle_process_that_was_killed_is_replaced() -> None:
    runtime = JsboxRuntime()
    runtime.evaluate("value", 1, {})
    runtime.close()
    for idle in sandbox._idle:
        idle._process.kill()
        idle._process.wait()
    fresh = JsboxRuntime()
    assert fresh.evaluate("value", 2, {}) == 2
    fresh.close()


def test_the_process_gets_no_environment_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    environments: list[Any] = []

    def popen(*args: Any, **rest: Any) -> Any:
        environments.append(rest["env"])
        return real(*args, **rest)

    real = subprocess.Popen
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setattr(subprocess, "Popen", popen)
    sandbox.Sandbox().close()
    assert environments == [{"TZ": "UTC"}]


def test_the_process_can_open_nothing_once_it_serves() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(sandbox.CHILD.parent)!r}); import sandbox_child, socket\n"
        "sandbox_child._lock_down()\n"
        "for act in (lambda: open('/etc/hosts'), socket.socket):\n"
        "    try: act(); print('opened')\n"
        "    except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EMFILE)] * 2


def test_a_forked_worker_starts_a_process_of_its_own() -> None:
    code = """
import os, sys
from mapping.expressions import JsboxRuntime
kept, idle = JsboxRuntime(), JsboxRuntime()
assert (kept.evaluate("value", 1, {}), idle.evaluate("value", 2, {})) == (1, 2)
idle.close()
child = os.fork()
assert JsboxRuntime().evaluate("value", 3, {}) == 3
if child == 0:
    try:
        kept.evaluate("value", 4, {})
    except RuntimeError:
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert kept.evaluate("value", 5, {}) == 5
print("both work")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("both work\n", "")


def test_a_process_that_cannot_start_is_no_fault_of_the_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.close_idle()
    runtime = JsboxRuntime()
    assert check_expression("value + 41") is None
    sandbox.close_idle()
    monkeypatch.setattr(sandbox, "CHILD", sandbox.CHILD.with_name("missing.py"))
    with pytest.raises(SandboxUnavailableError):
        runtime.evaluate("value + 41", 1, {})
    monkeypatch.undo()
    assert runtime.evaluate("value + 41", 1, {}) == 42
    runtime.close()


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "x" * 1_000_001], ids=["NaN", "set", "too large"])
def test_a_value_that_is_not_json_is_refused(shared: JsboxRuntime, value: Any) -> None:
    with pytest.raises(ExpressionError):
        shared.evaluate("value", value, {})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_$é", max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_json_goes_in_and_comes_out_the_same(shared: JsboxRuntime, value: Any) -> None:
    assert shared.evaluate("value", value, None) == value
    assert shared.evaluate("record", None, value) == value
