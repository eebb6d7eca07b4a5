"""Hostile input for what parses, maps and computes without a database."""

import json
from typing import Any

import requests

from integrations import errors
from integrations.providers.salesforce import bulk_csv, cdc, outbound
from integrations.registry import PROVIDERS, provider_class
from mapping import editor_documents
from mapping.compiled import CompiledMapping, MappingError
from mapping.documents import InvalidDocument
from mapping.expressions import ExpressionError, JsboxRuntime, check_pattern
from mapping.options import option_problems
from mapping.paths import PathError, compile_path
from mapping.rows import MappingRow
from mapping.rules import RulesError, parse_rules
from mapping.transforms import TRANSFORMS, Context, TransformError
from mapping.validation import validate
from sync.values import storable
from tests.attacks import pure_texts
from tests.attacks.fuzzing import REFUSED, TAKEN, Target
from tests.attacks.nasties import Hostile
from tests.attacks.samples import (
    ANSWERS,
    CHANGE,
    CSV,
    DOCUMENT,
    ENDLESS,
    EXPRESSIONS,
    OPTIONS,
    PATHS,
    RECORD,
    SOAP,
    UNSPOILT,
    XML_BOMBS,
)

_runtimes: list[JsboxRuntime] = []


def _runtime() -> JsboxRuntime:
    """One for some hundred inputs, as for one batch of records."""
    if not _runtimes:
        _runtimes.append(JsboxRuntime())
    return _runtimes[0]


def close() -> None:
    """Gives the runtime's process back."""
    while _runtimes:
        _runtimes.pop().close()


def expression(hostile: Hostile) -> str:
    text = hostile.one_of(ENDLESS) if hostile.chance(0.01) else hostile.one_of(EXPRESSIONS)
    if hostile.chance(0.8):
        text = hostile.bent_text(text)
    hostile.sent, runtime = text, _runtime()
    try:
        json.dumps(runtime.evaluate(text, hostile.value(), RECORD), allow_nan=False)
        outcome = TAKEN
    except ExpressionError:
        outcome = REFUSED
    if hostile.chance(0.02):
        assert runtime.evaluate(UNSPOILT, None, RECORD) == [1, "a", "undefined", "Id"]
    if hostile.chance(0.005):
        _runtimes.pop().close()
    return outcome


def transform(hostile: Hostile) -> str:
    rule = hostile.one_of(tuple(TRANSFORMS))
    options: Any = OPTIONS.get(rule, {}) if hostile.chance(0.6) else hostile.bent(OPTIONS.get(rule, {}))
    hostile.sent = (rule, options)
    if option_problems(rule, options):
        return REFUSED
    context = Context("US", "Europe/Berlin", _runtime())
    value = hostile.value()
    hostile.sent = (rule, options, value)
    try:
        TRANSFORMS[rule].build(hostile.one_of(("inbound", "outbound")), options or {}, context)(value, RECORD)
    except TransformError:
        return REFUSED
    return TAKEN


def path(hostile: Hostile) -> str:
    text = hostile.bent_text(hostile.one_of(PATHS))
    try:
        found = compile_path(text)
    except PathError:
        return REFUSED
    record = hostile.bent(RECORD)
    hostile.sent = (text, record)
    found.get(record if isinstance(record, dict) else {})
    draft: dict[str, Any] = record if isinstance(record, dict) else {}
    try:
        found.set(draft, hostile.text())
        found.drop_emptied(draft)
    except PathError:
        return REFUSED
    assert compile_path(str(found)) == found, "its plainest spelling is another path"
    return TAKEN


_mapping: list[CompiledMapping] = []


def mapped(hostile: Hostile) -> str:
    """A record of a CRM, or values of ours, through the default mapping."""
    if not _mapping:
        rows = [
            MappingRow(one.dialer_field, "contacts", one.crm_field, one.direction, one.transform, dict(one.options))
            for one in provider_class("hubspot").default_mappings
        ]
        _mapping.append(CompiledMapping.compile(rows, object_type="contacts"))
    names = [*_mapping[0].crm_fields, "other"]
    record = {name: hostile.value() for name in names if hostile.chance(0.6)}
    hostile.sent = record
    with _mapping[0].session() as session:
        found = session.inbound(record, partial=hostile.chance(0.5))
        session.outbound({**found.values, hostile.text(): hostile.value()})
        json.dumps(storable(found.values), default=str)
    return REFUSED if found.problems else TAKEN


def rows_of_mapping(hostile: Hostile) -> str:
    content = hostile.body(DOCUMENT)
    try:
        editor_documents.read(content, "hubspot")
    except InvalidDocument:
        return REFUSED
    return TAKEN


def mapping_row(hostile: Hostile) -> str:
    parts = {
        "dialer_field": "email",
        "crm_object": "contacts",
        "crm_field": "email",
        "direction": "bidirectional",
        "transform": "none",
    }
    bent: dict[str, Any] = {name: hostile.text() if hostile.chance(0.3) else value for name, value in parts.items()}
    hostile.sent = bent
    try:
        CompiledMapping.compile([MappingRow(**bent, options=hostile.value())], object_type="contacts")
    except MappingError:
        return REFUSED
    return TAKEN


def validation(hostile: Hostile) -> str:
    rule = {"type": hostile.one_of(("required", "format", "length", "range", "enum")), "errorMessage": "No.",
            "params": {"min": 1, "max": 5, "values": ["a"], "pattern": "^[a-z]+$"}}  # fmt: skip
    said = hostile.bent([rule])
    hostile.sent = said
    try:
        rules = parse_rules(said)
    except RulesError:
        return REFUSED
    return REFUSED if validate({"x": hostile.value()}, {"x": rules}, _runtime()) else TAKEN


def pattern(hostile: Hostile) -> str:
    return REFUSED if check_pattern(hostile.bent_text("^(a|b)+[0-9]{2,5}$")) else TAKEN


def csv_rows(hostile: Hostile) -> str:
    body = hostile.scrambled(hostile.one_of(CSV) * hostile.random.randint(1, 3))
    size = hostile.random.randint(1, 40)
    hostile.sent = body
    try:
        found = list(bulk_csv.rows(body[at : at + size] for at in range(0, len(body), size)))
        for row in found:
            for text in row.values():
                bulk_csv.typed(hostile.one_of(("string", "double", "int", "boolean", "datetime")), text)
    except errors.Retry:
        return REFUSED
    return TAKEN


def csv_cell(hostile: Hostile) -> str:
    """What we write comes back as it was, in as many cells and lines."""
    values = {"A": hostile.value(), "B": hostile.text()}
    hostile.sent = values
    written = bulk_csv.line(["A", "B"]) + bulk_csv.record_line(["A", "B"], values)
    (row,) = bulk_csv.rows([written])
    expected = bulk_csv.cell(values["B"]).encode(errors="replace").decode()
    assert row["B"] == expected, (row["B"], expected)
    return TAKEN


def soap(hostile: Hostile) -> str:
    body = hostile.one_of(XML_BOMBS) if hostile.chance(0.1) else hostile.scrambled(SOAP)
    hostile.sent = body
    try:
        outbound.parse(body)
    except errors.FixData:
        return REFUSED
    return TAKEN


def change_event(hostile: Hostile) -> str:
    message = hostile.bent(CHANGE)
    hostile.sent = message
    try:
        cdc.read(message if isinstance(message, dict) else {})
        cdc.replay_id(message if isinstance(message, dict) else {})
    except errors.FixData:
        return REFUSED
    return TAKEN


def error_answer(hostile: Hostile) -> str:
    """A refusal of a CRM, or what somebody in between made of it, becomes one of our errors and nothing else."""
    response = requests.Response()
    response.status_code = hostile.one_of((200, 204, 301, 400, 401, 403, 404, 409, 412, 420, 429, 500, 502, 503, 599))
    response._content = hostile.body(hostile.one_of(ANSWERS))
    response.headers["Retry-After"] = hostile.text().replace("\n", "").replace("\r", "")
    response.headers["Content-Type"] = hostile.one_of(
        ("application/json", "text/html", "application/xml; charset=x", "")
    )
    response.url = "https://api.hubapi.com/crm/v3/objects/contacts"
    response.request = requests.Request("POST", response.url).prepare()
    problem = provider_class(hostile.one_of(tuple(PROVIDERS))).classify(response)
    assert problem is None or isinstance(problem, errors.CrmError)
    return TAKEN if problem is None else REFUSED


TARGETS = (
    *pure_texts.TARGETS,
    Target("expressions", expression, 60), Target("transforms", transform, 130), Target("paths", path, 130),
    Target("records mapped", mapped, 50), Target("mapping files", rows_of_mapping, 20), Target("mapping rows", mapping_row, 30),
    Target("validations", validation, 30), Target("patterns", pattern, 10), Target("CSV answers", csv_rows, 90),
    Target("CSV uploads", csv_cell, 30), Target("SOAP", soap, 60), Target("change events", change_event, 40),
    Target("errors of CRMs", error_answer, 40),
)  # fmt: skip
