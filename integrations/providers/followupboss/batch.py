"""One answer for each record of a batch, where the service takes records one by one."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from integrations import errors, exchanges
from integrations.contract.ports import Api
from integrations.providers.followupboss import failures
from integrations.records.activities import Agreed
from integrations.records.remote import RecordWrite, Written

Write = TypeVar("Write", bound=RecordWrite | Agreed)

CONCERNS_EVERYTHING = frozenset({"system_not_registered"})
"""Causes of a FixConfig that the next record would meet as well."""


def write_each(api: Api, writes: Sequence[Write], write: Callable[[Write], Written]) -> list[Written]:
    """A stumble in the middle keeps what was written so far: it stands at that record and at those not tried yet.

    Raises what concerns all records, and a stumble at the first. A refusal without a reason is asked after, once.
    """
    done: list[Written] = []
    asked = False
    for place, one in enumerate(writes):
        try:
            with exchanges.about(one.key):
                done.append(write(one))
        except (errors.FixData, errors.Gone, errors.Stale) as error:
            done.append(Written(one.key, error=error))
        except errors.FixConfig as error:
            closed = error if isinstance(error, errors.Standstill) or asked else _closed(api)
            asked = True
            if isinstance(closed, errors.Standstill) and done:
                return [*done, *(Written(other.key, error=closed) for other in writes[place:])]
            if isinstance(closed, errors.Standstill):
                raise closed from error
            if error.cause in CONCERNS_EVERYTHING:
                raise
            done.append(Written(one.key, error=error))
        except errors.Retry as error:
            if not done:
                raise
            return [*done, Written(one.key, error=error), *_put_off(writes[place + 1 :], error)]
    return done


def _closed(api: Api) -> errors.CrmError | None:
    """That the whole account is closed, if it is."""
    try:
        failures.ask_for_everything(api)
    except errors.Standstill as standstill:
        return standstill
    except errors.CrmError:
        return None
    return None


def _put_off(writes: Sequence[Write], error: errors.Retry) -> list[Written]:
    return [Written(one.key, error=_untried(error)) for one in writes]


def _untried(error: errors.Retry) -> errors.Retry:
    if isinstance(error, errors.OutcomeUnknown):
        return errors.Retry("Follow Up Boss stopped answering before it was this record's turn.", after=error.after)
    return error
