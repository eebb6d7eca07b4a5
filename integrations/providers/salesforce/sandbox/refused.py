"""An error of the organisation: the same words serve a whole answer and one record of a collection."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.sandbox.http import Answer


class Refused(Exception):
    """`extra` goes with a whole answer only: in a collection there is no room for it."""

    def __init__(
        self,
        code: str,
        message: str,
        fields: Sequence[str] = (),
        status: int = 400,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = list(fields)
        self.status = status
        self.extra = dict(extra or {})

    def answer(self) -> Answer:
        """REST errors are an array. `fields` is there only when there are some."""
        body: dict[str, Any] = {**self.extra, "message": self.message, "errorCode": self.code}
        if self.fields:
            body["fields"] = self.fields
        return Answer(self.status, [body])

    def result(self) -> dict[str, Any]:
        """Its form within a collection, where the code has another name."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields}
        return {"success": False, "errors": [error]}


def not_found(message: str = "The requested resource does not exist") -> Refused:
    return Refused("NOT_FOUND", message, status=404)
