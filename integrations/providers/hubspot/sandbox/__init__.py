"""A HubSpot to test against: as strict, as late and as forgetful as the real one, on loopback."""

from integrations.providers.hubspot.sandbox.service import Sandbox

__all__ = ["Sandbox"]
