"""A fake Salesforce organisation, as unkind as the real one where it matters.

`POST /services/oauth2/{token,revoke}`, `GET /services/oauth2/userinfo`, and below `/services/data/{version}`: describe,
query and queryAll with a real subset of SOQL, records, collections, composite, getUpdated and getDeleted, limits, and the
parts of the Tooling and Metadata APIs that make custom fields and objects.

Fault dials of its own (see `integrations.sandbox.faults` for the general ones):
- `rotate`: a refresh hands out a new refresh token and kills the old one
- `expire_session`: the access token of this request is dead from now on
- `lock`: a record is locked (`UNABLE_TO_LOCK_ROW`), drawn for each record
- `refuse`: a record is refused with `body` {"errorCode", "message", "fields"}, drawn for each record
- `late_commit`: a change of a lead or contact is seen `seconds` after its stamp
- `slow_schema`: a new custom field is described `seconds` after it was made
- `slow_deploy`, `bad_deploy`: a deployment takes `seconds`, or fails
- `no_customizing`: the integration user may not make fields, objects or permission sets
- `lose_locators`: the place in a half-read list is forgotten
- `bayeux`: one message of the streaming channel in `match` is answered with `body`, or with nothing
- `repeat_events`: an event is delivered twice; `gap`, `overflow` (`match` is `EVENT /Lead`): it comes without values, or ids
- `slow_bulk` (a job takes `seconds`), `bulk_fails` (`body` is its reason), `bulk_quota`, `short_bulk`, `nul_bytes`, `empty_bulk`
- `no_id_scope`: the user-info service tells nothing
- `deny_consent`, `block_app`, `unapproved_app`: the consent page says no

`grow(200_000)` makes up leads that exist for `COUNT()` and bulk queries alone.
What people do by hand is in `byhand`: edit, add, remove, purge, undelete, convert, merge, hide, deny, duplicate_rule.
"""

from integrations.providers.salesforce.sandbox.service import Sandbox

__all__ = ["Sandbox"]
