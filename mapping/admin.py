"""Registers the admin pages of the mapping, except for those to which the app above adds an editor: rows and policies."""

from django.contrib import admin

from mapping.admin_schema import CrmFieldAdmin, CrmObjectAdmin, SchemaChangeAdmin
from mapping.admin_versions import MappingVersionAdmin
from mapping.models import CrmField, CrmObject, MappingVersion, SchemaChange

admin.site.register(MappingVersion, MappingVersionAdmin)
admin.site.register(CrmField, CrmFieldAdmin)
admin.site.register(CrmObject, CrmObjectAdmin)
admin.site.register(SchemaChange, SchemaChangeAdmin)
