"""One answer for each record of a batch, where the service takes records one by one."""

from collections.abc import Callable, Sequence

from integrations import errors
from integrations.records import RecordWrite, Written

CONCERNS_EVERYTHING = frozenset({"account_expired", "system_not_registered", "foreign_host"})
"""Causes of a FixConfig that the next record would meet as well."""


def write_each(writes: Sequence[RecordWrite], write: Callable[[RecordWrite], Written]) -> list[Written]:
    """A stumble in the middle keeps what was written so far: it stands at that record and at those not tried yet.

    Raises what concerns all records, and a stumble at the first.
    """
    done: list[Written] = []
    for place, one in enumerate(writes):
        try:
            done.append(write(one))
        except (errors.FixData, errors.Gone, errors.Stale) as error:
            done.append(Written(one.key, error=error))
        except errors.FixConfig as error:
            if error.cause in CONCERNS_EVERYTHING:
                raise
            done.append(Written(one.key, error=error))
        except errors.Retry as error:
            if not done:
                raise
            rest = writes[place + 1 :]
            return [
                *done,
                Written(one.key, error=error),
                *(Written(later.key, error=_untried(error)) for later in rest),
            ]
    return done


def _untried(error: errors.Retry) -> errors.Retry:
    if isinstance(error, errors.OutcomeUnknown):
        return errors.Retry("Follow Up Boss stopped answering before it was this record's turn.", after=error.after)
    return error
