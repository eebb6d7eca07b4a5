"""The project's settings, with the fake CRM registered: for processes that a test starts."""

from config.settings import *  # noqa: F403 - all of them
from integrations import registry

registry.PROVIDERS["fakecrm"] = ("Fake CRM", "tests.fake_crm")
