"""Reads the bodies of the REST interface."""

import json
import math
from typing import Any

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser

NOT_PACKED = "Bodies are read as they come: send the JSON without a Content-Encoding."


class FiniteJson(JSONParser):
    """JSON whose numbers are numbers: what overflows would be an infinity, which no JSON can hold."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = (parser_context or {}).get("request")
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "") if request is not None else ""
        if encoding.lower() not in {"", "identity"}:
            raise UnsupportedMediaType(f"Content-Encoding: {encoding[:40]}", NOT_PACKED)
        try:
            return json.loads(stream.read().decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        except ValueError as error:
            raise ParseError(f"This is not valid JSON: {error}") from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON.")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse("A number that large")
