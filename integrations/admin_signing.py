"""What a page says of the secrets that messages to somebody's address are signed with; never the secrets."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import signing
from integrations.admin_html import NOTHING, zone_name
from integrations.fields import WrongKey


def signed_by(field: str) -> Callable[[Any, Any], str]:
    """A method of an admin, for the page of a row whose `field` holds what `signing.rotated` stores."""

    def line(_admin: Any, row: Any) -> str:
        try:
            stored = getattr(row, field)
        except WrongKey:
            return _("A secret that can't be read any more. Change it.")
        until = signing.old_ends_at(stored, timezone.now()) if stored else None
        if until is None:
            return _("One secret") if stored else NOTHING
        shown = f"{formats.date_format(timezone.localtime(until), 'DATETIME_FORMAT')} {zone_name()}"
        return _("Two secrets, the new one and the old one, until %(time)s") % {"time": shown}

    line.__name__ = "signed_by"
    return admin.display(line, description=gettext_lazy("signed with"))
