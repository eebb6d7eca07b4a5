"""The fake organisation's HTTP side: which path does what. Its parts have a module each; this one puts them together."""

from typing import ClassVar

from integrations.providers.salesforce.sandbox.base import Counter
from integrations.providers.salesforce.sandbox.bulk_ingest import BulkIngest
from integrations.providers.salesforce.sandbox.bulk_query import BulkQuery
from integrations.providers.salesforce.sandbox.composite import Composite
from integrations.providers.salesforce.sandbox.customizing import Customizing
from integrations.providers.salesforce.sandbox.records import Records
from integrations.providers.salesforce.sandbox.replication import Replication
from integrations.providers.salesforce.sandbox.seed import Seeder
from integrations.providers.salesforce.sandbox.signin import SignIn
from integrations.providers.salesforce.sandbox.streaming import Streaming


class Sandbox(SignIn, BulkQuery, BulkIngest, Composite, Customizing, Replication, Records, Streaming, Counter):
    slug: ClassVar[str] = "salesforce"

    def seed(self) -> None:
        if not self.store.count("Organization"):
            Seeder(self.org).fill()
