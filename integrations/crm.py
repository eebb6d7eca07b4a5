"""Opens a connection for work: the provider instance and its transport."""

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from integrations.transport.client import WORKER, CrmApi, Patience


def open_crm(row: CrmConnection, patience: Patience = WORKER) -> tuple[CrmProvider, CrmApi]:
    provider = provider_class(row.provider)
    secrets = (str(row.webhook_token), row.webhook_secret)
    api = CrmApi(row.pk, provider, row.settings, patience, row.tenant.timezone, secrets)
    return provider(row.as_record(), api), api
