"""A fake Salesforce organisation, as unkind as the real one where it matters.

`POST /services/oauth2/{token,revoke}`, `GET /services/oauth2/userinfo`, and below `/services/data/{version}`: describe,
query and queryAll with a real subset of SOQL, records, collections, and the part of the Tooling API that makes custom
fields.

Fault dials of its own (see `integrations.sandbox.faults` for the general ones):
- `rotate`: a refresh hands out a new refresh token and kills the old one
- `expire_session`: the access token of this request is dead from now on
- `lock`: a record is locked (`UNABLE_TO_LOCK_ROW`), drawn for each record
- `late_commit`: a change of a lead or contact is seen `seconds` after its stamp
- `slow_schema`: a new custom field is described `seconds` after it was made
- `no_customizing`: the integration user may not make fields or permission sets
- `lose_locators`: the place in a half-read list is forgotten
"""

from integrations.providers.salesforce.sandbox.service import Sandbox

__all__ = ["Sandbox"]
