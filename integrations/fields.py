"""Encrypted columns that fail loudly.

The library's own fields swallow a wrong key (handing out the ciphertext, and encrypting it again on save) and, in
`bulk_update`, store the encrypted text of an SQL expression. These subclasses do neither.
"""

import json
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import models
from encrypted_model_fields.fields import EncryptedMixin, decrypt_str


class WrongKey(RuntimeError):
    """A stored secret can't be read with the configured keys."""


class EncryptedText(EncryptedMixin, models.TextField):  # type: ignore[type-arg]  # generic in the stubs only
    """Text encrypted at rest with the first of FIELD_ENCRYPTION_KEYS, readable with any of them."""

    def to_python(self, value: Any) -> Any:
        return value

    def from_db_value(self, value: str | None, *args: Any) -> Any:
        if value is None:
            return None
        try:
            return decrypt_str(value)
        except InvalidToken as error:
            raise WrongKey(
                f"{self.model._meta.label}.{self.name} can't be decrypted. "
                "Add the key that it was written with to FIELD_ENCRYPTION_KEYS, behind the new one."
            ) from error

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return value if hasattr(value, "as_sql") else super().get_db_prep_save(value, connection)


class EncryptedJson(EncryptedText):
    """A JSON value encrypted as one text."""

    def from_db_value(self, value: str | None, *args: Any) -> Any:
        plain = super().from_db_value(value, *args)
        return None if plain is None else json.loads(plain)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return super().get_db_prep_save(json.dumps(value), connection)
