"""English dates, as Django's own but for the time zone: whoever reads a time knows which clock it is by."""

DATETIME_FORMAT = "N j, Y, P T"
