"""The process in which tenants' JavaScript runs: one JSON request a line in, one JSON answer a line out.

`mapping.sandbox` starts it as a script, with an empty environment and no way to open a file or a socket. jsbox stops
an expression after its time, memory or stack is used up; one long native call (a sort, a search in a large string)
cannot be stopped that way, so the kernel ends this process when one request burns too much processor time.

All expressions of a batch share one JavaScript runtime. Every built-in is frozen before the first one runs, so no
expression can change what the next one sees; after a time-out or a full memory the runtime is thrown away.
Measured: a runtime per expression 230-420 µs, a frozen one 8 ms once and then about 20 µs per expression.
"""

import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

import jsbox

SOFT_SECONDS = 0.1
HARD_CPU_SECONDS = 0.5
RETRIES_WHEN_STARVED = 5
MEMORY_BYTES = 16 * 1024 * 1024
STACK_BYTES = 256 * 1024
IDLE_CHECK_SECONDS = 20

# $run gives "=" and the JSON of the result, or "!" and what is wrong with the result. It copies the result property by
# property before it is serialised, so a getter, a Proxy or a toJSON cannot show one thing here and another thing later.
PRELUDE = r"""
"use strict";
(() => {
  for (const name of ["Atomics", "SharedArrayBuffer", "WeakRef", "FinalizationRegistry", "queueMicrotask",
                      "performance", "console"]) delete globalThis[name];
  // Both are accessors that keep their value outside of any object: freezing would not hold them.
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  // A result that changes with the clock or with luck would be written to the CRM at every sync.
  const refuse = (name) => () => { throw new TypeError(name + " is not available, results must be repeatable"); };
  Object.defineProperty(Math, "random", {value: refuse("Math.random")});
  const RealDate = Date;
  const FixedDate = function (...parts) {
    if (new.target === undefined || parts.length === 0) refuse("The current time")();
    return Reflect.construct(RealDate, parts, new.target);
  };
  Object.defineProperty(FixedDate, "name", {value: "Date"});
  Object.defineProperty(FixedDate, "prototype", {value: RealDate.prototype, writable: false});
  Object.defineProperty(RealDate.prototype, "constructor", {value: FixedDate});
  FixedDate.parse = RealDate.parse;
  FixedDate.UTC = RealDate.UTC;
  FixedDate.now = refuse("The current time");
  globalThis.Date = FixedDate;

  const MAX_TEXT = 65536, MAX_NODES = 10000, MAX_DEPTH = 20;
  class Refused { constructor(reason) { this.reason = reason; } }
  const cleanNumber = (value) => {
    if (!Number.isFinite(value)) throw new Refused("number:" + String(value));
    return value;
  };
  const clean = (value, depth, left) => {
    if (depth > MAX_DEPTH) throw new Refused("depth");
    if (--left.nodes < 0) throw new Refused("size");
    switch (typeof value) {
      case "boolean": return value;
      case "number": return cleanNumber(value);
      case "string":
        if ((left.text -= value.length) < 0) throw new Refused("size");
        return value;
      case "object":
        if (value === null) return null;
        if (Array.isArray(value)) return cleanArray(value, depth, left);
        return cleanObject(value, depth, left);
      default: throw new Refused("type:" + typeof value);
    }
  };
  const cleanArray = (value, depth, left) => {
    const size = value.length, copy = [];
    if (size > left.nodes) throw new Refused("size");
    for (let i = 0; i < size; i++) copy.push(clean(value[i], depth + 1, left));
    return copy;
  };
  const cleanObject = (value, depth, left) => {
    const proto = Object.getPrototypeOf(value);
    if (proto !== null && proto !== Object.prototype) throw new Refused("type:" + className(value));
    const copy = Object.create(null), names = Object.keys(value);
    if (names.length > left.nodes) throw new Refused("size");
    for (const name of names) {
      if ((left.text -= name.length) < 0) throw new Refused("size");
      copy[name] = clean(value[name], depth + 1, left);
    }
    return copy;
  };
  const className = (value) => Object.prototype.toString.call(value).slice(8, -1);
  const deepFreeze = (value) => {
    if (typeof value === "object" && value !== null) {
      for (const name of Object.keys(value)) deepFreeze(value[name]);
      Object.freeze(value);
    }
    return value;
  };
  const run = (expression, value, record) => {
    const result = expression(JSON.parse(value), deepFreeze(JSON.parse(record)));
    try {
      return "=" + JSON.stringify(clean(result, 0, {text: MAX_TEXT, nodes: MAX_NODES}));
    } catch (error) {
      if (error instanceof Refused) return "!" + error.reason;
      throw error;
    }
  };
  Object.defineProperty(globalThis, "$run", {value: run});

  const seen = new Set();
  const visit = (item) => {
    if (item === null || (typeof item !== "object" && typeof item !== "function") || seen.has(item)) return;
    seen.add(item);
    visit(Object.getPrototypeOf(item));
    for (const key of Reflect.ownKeys(item)) {
      const property = Reflect.getOwnPropertyDescriptor(item, key);
      visit(property.value); visit(property.get); visit(property.set);
    }
  };
  [globalThis, RealDate, Refused, [].values(), ""[Symbol.iterator](), "a".matchAll(/a/g), new Map().entries(),
   new Set().values(), [].values().map((x) => x), Iterator.from({next() {}}), function* () {}, (function* () {})(),
   async () => {}, async function* () {}, (async function* () {})(), (function () { return arguments; })(),
  ].forEach(visit);
  seen.forEach((item) => Object.freeze(item));
})();
"""

_Answer = dict[str, Any]


def _new_runtime() -> Any:
    runtime = jsbox.Runtime(memory_limit=MEMORY_BYTES, max_stack_size=STACK_BYTES)
    runtime.eval(PRELUDE)
    return runtime


class _Child:
    def __init__(self) -> None:
        self._runtime: Any = None

    def answer(self, request: dict[str, Any]) -> _Answer:
        if request["do"] == "reset":
            self._runtime = None
            return {"ok": True}
        if request["do"] == "check":
            return self._check(request["codes"])
        return self._evaluate(request["code"])

    def _check(self, codes: list[str]) -> _Answer:
        parser = jsbox.Runtime(memory_limit=MEMORY_BYTES, max_stack_size=STACK_BYTES)
        for code in codes:
            try:
                parser.check_syntax(code)
            except jsbox.JavaScriptError as error:
                return {"ok": False, "why": "syntax", "message": error.message}
        return {"ok": True}

    def _evaluate(self, code: str) -> _Answer:
        if self._runtime is None:
            self._runtime = _new_runtime()
        try:
            return {"ok": True, "result": self._run(code)}
        except jsbox.JsTimeoutError:
            answer: _Answer = {"ok": False, "why": "time"}
        except jsbox.JavaScriptError as error:
            answer = _thrown(error)
        except (TypeError, ValueError):
            answer = {"ok": False, "why": "text"}
        if answer["why"] != "thrown":
            self._runtime = None
        return answer

    def _run(self, code: str) -> str:
        # The limit is wall-clock time. On a busy machine a harmless expression can reach it without having run.
        for attempt in range(RETRIES_WHEN_STARVED):
            started = time.process_time()
            try:
                return str(self._runtime.eval(code, timeout=SOFT_SECONDS))
            except jsbox.JsTimeoutError:
                starved = time.process_time() - started < SOFT_SECONDS / 2
                if not starved or attempt == RETRIES_WHEN_STARVED - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")


def _thrown(error: Any) -> _Answer:
    message = error.message or ""
    if "out of memory" in message or (not error.name and message == "null"):  # no room even for the error itself
        return {"ok": False, "why": "memory"}
    if "call stack size" in message or "stack overflow" in message:
        return {"ok": False, "why": "stack"}
    return {"ok": False, "why": "thrown", "name": error.name or "", "message": message[:300]}


def _lock_down() -> None:
    """After this the process can compute and talk over its two pipes, and nothing else."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; this process ends with its pipe


def _parent_is_gone(parent: int) -> bool:
    while not select.select([sys.stdin], [], [], IDLE_CHECK_SECONDS)[0]:
        if os.getppid() != parent:
            return True
    return False


def main() -> None:
    child, parent = _Child(), os.getppid()
    _lock_down()
    while not _parent_is_gone(parent) and (line := sys.stdin.readline()):
        # Processor time, not wall-clock: a busy machine must not kill us. Default action: the kernel ends the process.
        signal.setitimer(signal.ITIMER_PROF, HARD_CPU_SECONDS)
        answer = child.answer(json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
