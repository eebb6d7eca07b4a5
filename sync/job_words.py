"""What kinds of jobs, and the causes of their failures, are called on screens. The one place for it; apps above add their kinds.

The words stored are those of programs and of the REST interface. Whatever has no name here is shown with its underscores as spaces.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations.admin_html import spaced

Words = str | Promise

KINDS: dict[str, Words] = {
    "pull": _("Reading changes"),
    "fetch": _("Fetching what events told of"),
    "push": _("Writing a contact"),
    "push_results": _("Reading the results of a bulk job"),
    "sync_now": _("Syncing a contact now"),
    "backfill": _("Filling in a field"),
    "reconcile": _("Comparing all records"),
    "give_back": _("Giving values back"),
    "replay": _("Replaying events of the inbox"),
    "rehearse": _("Rehearsing a mapping"),
    "reapply": _("Applying a changed mapping"),
    "undo": _("Undoing"),
    "fields": _("Reading the CRM's fields"),
    "rights": _("Checking permissions"),
    "look": _("Looking at the account"),
    "prepare": _("Setting the account up"),
}
CAUSES: Mapping[str, Words] = {
    "account_replaced": _("The account was replaced by another"),
    "account_taken": _("The account belongs to another tenant"),
    "ambiguous_call": _("Several records fit the call"),
    "api_version": _("The CRM no longer serves this version of its API"),
    "app_registration": _("The app is not set up right in the CRM"),
    "automation": _("A rule or automation in the CRM"),
    "breaker_open": _("The CRM kept failing, so it is left alone for a minute"),
    "bulk_job_aborted": _("The CRM gave up a bulk job"),
    "changed_meanwhile": _("Somebody else changed the record meanwhile"),
    "configuration": _("Set-up or permissions"),
    "crm_error": _("The CRM reported an error"),
    "daily_budget": _("The daily budget of requests is used up"),
    "daily_quota": _("The CRM's daily quota is used up"),
    "duplicate": _("The CRM has such a record already"),
    "duplicate_value": _("The CRM has such a record already"),
    "duplicates_detected": _("The CRM has such a record already"),
    "hidden": _("The CRM hides it from this connection"),
    "internal": _("Something in Dialbridge itself"),
    "invalid_data": _("The CRM does not take the values"),
    "lead_converted": _("The lead was converted"),
    "merged_away": _("The record was merged into another"),
    "needs_reconnecting": _("The CRM no longer accepts our access"),
    "no_key_field": _("A field of ours is missing in the CRM"),
    "not_ready": _("The CRM is still at work on it"),
    "nothing_writable": _("None of the fields may be written"),
    "outcome_unknown": _("No answer came; it may have been done"),
    "permission": _("A permission is missing in the CRM"),
    "rate_limited": _("The CRM's limit of requests"),
    "read_only_field": _("The field may not be written"),
    "record_gone": _("The record is gone or hidden"),
    "record_locked": _("The record was locked"),
    "row_locked": _("The record was locked"),
    "schema": _("A field is missing in the CRM"),
    "service_unavailable": _("The CRM did not answer"),
    "storage_full": _("The CRM's storage is full"),
    "too_slow": _("The CRM took too long"),
    "unknown_choice": _("The value is none of the field's choices"),
    "unknown_field": _("The CRM has no such field"),
    "unknown_owner": _("The owner is no user of the CRM"),
    "unknown_property": _("The CRM has no such field"),
    "unknown_user": _("The agent is no user of the CRM"),
    "unreadable_answer": _("The CRM's answer made no sense"),
    "unsupported": _("This CRM can't do that"),
}


def kind_name(kind: str) -> str:
    return str(KINDS.get(kind) or spaced(kind))


def cause_name(cause: str) -> str:
    return str(CAUSES.get(cause) or spaced(cause))
