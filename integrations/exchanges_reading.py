"""What was noted of the requests about a record: which they are, how its part of each is told, and how to send one by hand."""

import re
import shlex
from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_
from urllib.parse import urlsplit

from django.db.models import F, Q, QuerySet

from integrations.models import ApiExchange, CrmConnection
from integrations.records.connections import Credential
from integrations.registry import provider_class

MOST_NAMES = 20
"""Texts by which a record is looked for in the bodies of a batch."""
NO_CREDENTIAL = "$AUTHORIZATION"


def about_record(keys: Collection[object], names: Iterable[str] = ()) -> QuerySet[ApiExchange]:
    """The requests about these keys, newest first, without their bodies.

    Of batches those that name the record by one of `names`, and those that failed: what else was asked for the batch, such as
    which fields there are, says nothing about the record.
    """
    known = [one for one in dict.fromkeys(map(str, names)) if one][:MOST_NAMES]
    named = (Q(**{f"{field}__contains": one}) for one in known for field in ("path", "request", "response"))
    own = reduce(or_, named, Q(failed=True) | Q(keys__len=1))
    found: QuerySet[ApiExchange] = ApiExchange.objects.filter(own, keys__overlap=[str(one) for one in keys])
    # By a term, not by the column: else the planner walks through all that was asked, hoping to meet the few about the record.
    return found.defer("request", "response").order_by((F("pk") * -1).asc())


def named(texts: Iterable[str]) -> re.Pattern[str]:
    """Finds any of these texts as a word of its own: the id 12 is no part of 512."""
    known = [re.escape(one) for one in dict.fromkeys(texts) if one][:MOST_NAMES]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(known)})(?![\w-])") if known else re.compile(r"(?!)")


def as_curl(row: ApiExchange, connection: CrmConnection, body: str) -> str:
    """The request as a command. The credential has to be given to it by hand: it is not kept."""
    parts = [
        f"curl -X {row.method}",
        shlex.quote(_host(connection) + row.path),
        f'-H "Authorization: {NO_CREDENTIAL}"',
    ]
    if body:
        parts += ["-H 'Content-Type: application/json'", f"--data-raw {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


def _host(connection: CrmConnection) -> str:
    base = provider_class(connection.provider).base_url(
        Credential(auth=connection.auth, access_token="", instance_url=connection.instance_url or "")
    )
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}"
