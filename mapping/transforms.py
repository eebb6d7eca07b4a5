"""The ten conversions a mapping row can name, each in both directions: inbound is CRM → dialer, outbound the reverse.

A transform is a row of a table: how to build the function for either direction from the row's options. Building once
and calling per record keeps the work per record small; `inbound` and `outbound` do both for a single value.
An empty value (None or "") stays empty, whatever the transform.
"""

import decimal
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mapping.expressions import ExpressionError, ExpressionRuntime
from mapping.numbers import e164
from mapping.options import Options, option_problems
from mapping.values import (
    TransformError,
    as_boolean,
    as_integer,
    as_moment,
    day_of,
    decimal_of,
    epoch_ms,
    iso_utc,
    shape,
)

__all__ = ["TRANSFORMS", "Context", "Transform", "TransformError", "check_options", "phone_plan"]


@dataclass(frozen=True)
class Context:
    """What a conversion may need besides the value: the tenant's region and time zone, and where expressions run."""

    region: str = "US"
    timezone: str = "UTC"
    runtime: ExpressionRuntime | None = None


Convert: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]  # the value, and the record it comes from
Build: TypeAlias = Callable[[Options, Context], Convert]


@dataclass(frozen=True)
class Transform:
    rule: str
    label: str | Promise
    build_inbound: Build
    build_outbound: Build

    def build(self, direction: str, options: Options, context: Context) -> Convert:
        """The function for one direction, for values that are not empty. It raises TransformError."""
        return (self.build_inbound if direction == "inbound" else self.build_outbound)(options, context)

    def inbound(self, value: Any, options: Options, context: Context, record: Mapping[str, Any] | None = None) -> Any:
        """A CRM's value as the dialer's. Raises TransformError with a sentence that holds no personal value."""
        return _unless_empty(self.build_inbound, value, options, context, record)

    def outbound(self, value: Any, options: Options, context: Context, record: Mapping[str, Any] | None = None) -> Any:
        """A dialer's value as the CRM's. Raises TransformError with a sentence that holds no personal value."""
        return _unless_empty(self.build_outbound, value, options, context, record)


def check_options(rule: str, options: object) -> list[str]:
    """Everything that is wrong with a row's options, one sentence each."""
    if rule not in TRANSFORMS:
        return [f'There is no transform "{rule}"; choose one of {", ".join(TRANSFORMS)}.']
    return option_problems(rule, options)


def _unless_empty(
    build: Build, value: Any, options: Options, context: Context, record: Mapping[str, Any] | None
) -> Any:
    return None if value is None or value == "" else build(options, context)(value, record or {})


# --- text and phone numbers


def _none(_options: Options, _context: Context) -> Convert:
    return lambda value, _record: value


def _lowercase(_options: Options, _context: Context) -> Convert:
    def convert(value: Any, _record: Mapping[str, Any]) -> str:
        if isinstance(value, str):
            return value.strip().lower()
        raise TransformError(f"The value is {shape(value)}, not text that has a lower case.")

    return convert


def phone_plan(options: Options, context: Context) -> tuple[str, str]:
    """Whose national numbers are meant, and whether valid ones are wanted or all that are possible."""
    return str(options.get("region", context.region)).upper(), str(options.get("accept", "valid"))


def _phone(options: Options, context: Context) -> Convert:
    region, accept = phone_plan(options, context)

    def convert(value: Any, _record: Mapping[str, Any]) -> str:
        text = value if isinstance(value, str) else str(value) if type(value) is int else ""
        number = e164(text, region, accept)
        if number is None:
            raise TransformError(
                f"The value is {shape(value)}, not a valid phone number for the region {region}. "
                "Write it with its country code in the CRM, or change the home country."
            )
        return number

    return convert


# --- dates


def _date_iso_in(options: Options, context: Context) -> Convert:
    zone, dayfirst = ZoneInfo(context.timezone), bool(options.get("dayfirst"))
    return lambda value, _record: iso_utc(as_moment(value, zone, dayfirst=dayfirst))


def _date_iso_out(options: Options, context: Context) -> Convert:
    output = options.get("output", "iso")
    if output == "date":
        return _date_sfdc(options, context)
    zone, dayfirst = ZoneInfo(context.timezone), bool(options.get("dayfirst"))
    write: Callable[[Any], str | int] = epoch_ms if output == "epoch_ms" else iso_utc
    return lambda value, _record: write(as_moment(value, zone, dayfirst=dayfirst))


def _date_sfdc(options: Options, context: Context) -> Convert:
    zone, dayfirst = ZoneInfo(context.timezone), bool(options.get("dayfirst"))
    return lambda value, _record: day_of(as_moment(value, zone, dayfirst=dayfirst), zone)


# --- yes and no


def _boolean_in(_options: Options, _context: Context) -> Convert:
    return lambda value, _record: as_boolean(value)


def _yn_out(_options: Options, _context: Context) -> Convert:
    return lambda value, _record: "Y" if as_boolean(value) else "N"


def _checkbox_out(options: Options, context: Context) -> Convert:
    if options.get("native"):
        return _boolean_in(options, context)
    return lambda value, _record: "true" if as_boolean(value) else "false"


# --- picklists


def _picklist_in(options: Options, _context: Context) -> Convert:
    pairs = [(crm, dialer) for dialer, crm in options["map"].items()]
    return _lookup(pairs, options, "default_inbound", "the CRM's")


def _picklist_out(options: Options, _context: Context) -> Convert:
    return _lookup(list(options["map"].items()), options, "default_outbound", "the dialer's")


def _lookup(pairs: list[tuple[Any, Any]], options: Options, default: str, whose: str) -> Convert:
    """The first of several pairs with the same key wins; upper and lower case count only when both exist."""
    exact: dict[str, Any] = {}
    loose: dict[str, Any] = {}
    for key, found in pairs:
        exact.setdefault(_choice(key), found)
        loose.setdefault(_choice(key).casefold(), found)
    otherwise = _unmapped(options, default, whose)

    def one(value: Any) -> Any:
        key = _choice(value)
        return exact[key] if key in exact else loose[key.casefold()] if key.casefold() in loose else otherwise(value)

    return lambda value, _record: [one(item) for item in value] if isinstance(value, list) else one(value)


def _unmapped(options: Options, default: str, whose: str) -> Callable[[Any], Any]:
    if default in options:
        return lambda _value: options[default]
    if options.get("unmapped") == "pass":
        return lambda value: value
    if options.get("unmapped") == "blank":
        return lambda _value: None

    def refuse(value: Any) -> Any:
        raise TransformError(
            f"The mapping table has no entry for {whose} choice ({shape(value)}); add it to the table or set a default."
        )

    return refuse


def _choice(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


# --- money

_NO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_SYMBOL = r"(?:[^\d\s.,+-]{1,4}\s*)?"
_AMOUNT = re.compile(rf"{_SYMBOL}([+-]?)\s*{_SYMBOL}(\d{{1,3}}(?:,\d{{3}})+|\d+)(\.\d+)?\s*{_SYMBOL}", re.ASCII)
_MAX_UNITS = 10**15
_EXACT = decimal.Context(prec=60)  # more digits than an accepted amount can have


def _cents_in(options: Options, _context: Context) -> Convert:
    decimals = _decimals(options)

    def convert(value: Any, _record: Mapping[str, Any]) -> int:
        match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= 40 else None
        amount = decimal_of("".join(part or "" for part in match.groups()).replace(",", "") if match else value)
        if amount is None or abs(amount) >= _MAX_UNITS:
            raise TransformError(f"The value is {shape(value)}, not an amount of money such as 1,234.50.")
        units = amount.scaleb(decimals, context=_EXACT)
        if units != units.to_integral_value():
            raise TransformError(f"The amount has more than the {decimals} decimals of its currency.")
        return int(units)

    return convert


def _cents_out(options: Options, _context: Context) -> Convert:
    decimals = _decimals(options)

    def convert(value: Any, _record: Mapping[str, Any]) -> str:
        units = as_integer(value)
        if abs(units) >= _MAX_UNITS:
            raise TransformError("The amount is too large to be an amount of money.")
        whole, rest = divmod(abs(units), 10**decimals)
        return f"{'-' if units < 0 else ''}{whole}" + (f".{rest:0{decimals}}" if decimals else "")

    return convert


def _decimals(options: Options) -> int:
    currency = str(options.get("currency", "USD")).upper()
    return 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2


# --- the tenant's own expression


def _custom(direction: str) -> Build:
    def build(options: Options, context: Context) -> Convert:
        expression = options.get(direction) or options.get("expression")
        if not expression:
            raise TransformError(f'The custom transform has no expression for {direction}; add "{direction}".')

        def convert(value: Any, record: Mapping[str, Any]) -> Any:
            if context.runtime is None:
                raise RuntimeError("A custom transform needs a Context with a runtime.")
            try:
                return context.runtime.evaluate(expression, value, record)
            except ExpressionError as error:
                raise TransformError(str(error)) from error

        return convert

    return build


TRANSFORMS: dict[str, Transform] = {
    transform.rule: transform
    for transform in (
        Transform("none", _("As it is"), _none, _none),
        Transform("phone_e164", _("Phone number (E.164)"), _phone, _phone),
        Transform("date_iso", _("Date and time (ISO 8601)"), _date_iso_in, _date_iso_out),
        Transform("date_sfdc", _("Date (2024-01-15)"), _date_sfdc, _date_sfdc),
        Transform("boolean_yn", _("Y or N"), _boolean_in, _yn_out),
        Transform("boolean_checkbox", _("Checkbox (true or false)"), _boolean_in, _checkbox_out),
        Transform("lowercase", _("Lower case"), _lowercase, _lowercase),
        Transform("picklist_map", _("Table of choices"), _picklist_in, _picklist_out),
        Transform("currency_cents", _("Amount of money as cents"), _cents_in, _cents_out),
        Transform("custom", _("Own expression (JavaScript)"), _custom("inbound"), _custom("outbound")),
    )
}
