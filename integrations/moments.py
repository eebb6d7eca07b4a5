"""A moment as it stands in names of things: short, and in the zone of whoever looks."""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format


def short(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT")
