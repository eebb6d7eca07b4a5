"""A CRM that tells of no removals: that a record is missing is all it says of a deletion."""

from integrations.providers.base import CrmProvider
from tests.sync.model.provider import Provider as TellingProvider


class Provider(TellingProvider):
    slug = "silent"
    label = "Silent CRM"
    removals = CrmProvider.removals
