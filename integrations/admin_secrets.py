"""How a page tells that a connection's secrets are stored, without showing them."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import SECRET_COLUMNS
from integrations.admin_html import NOTHING
from integrations.fields import WrongKey
from integrations.models import CrmConnection

TAIL = 4
SHORTEST_WITH_TAIL = 24
"""Of a shorter secret even four characters would tell too much."""
UNREADABLE = gettext_lazy("stored, but not readable with the keys in FIELD_ENCRYPTION_KEYS")


def tail(secret: str) -> str:
    """That a secret is stored, and of a long one its end, so that somebody can tell which one it is."""
    if len(secret) < SHORTEST_WITH_TAIL or secret.rstrip().endswith("-"):
        return _("stored")
    return _("stored, ends in …%(end)s") % {"end": secret[-TAIL:]}


def read_secrets(row: CrmConnection) -> None:
    """All of them at once, which the page left out so far."""
    if set(SECRET_COLUMNS) <= row.get_deferred_fields():
        row.refresh_from_db(fields=SECRET_COLUMNS)


def kept_secret(row: CrmConnection, name: str) -> str:
    try:
        read_secrets(row)
        secret = getattr(row, name)
    except WrongKey:
        return str(UNREADABLE)
    return tail(secret) if secret else NOTHING
