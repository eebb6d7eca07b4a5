"""Pages of one whole tenant, as all apps have them."""

from integrations.admin_tenant_pages import OfOneTenant

__all__ = ["OfOneTenant"]
