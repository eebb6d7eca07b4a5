"""The contract between Dialbridge and a CRM, role by role. `integrations.providers.base` puts the roles together."""
