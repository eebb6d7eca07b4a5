from typing import ClassVar

from django.db import migrations

EVERYONE = """
CREATE OR REPLACE FUNCTION dialbridge_everyone() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT current_setting('dialbridge.tenants', true) = '*'
$$
"""
TENANTS = """
CREATE OR REPLACE FUNCTION dialbridge_tenants() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN current_setting('dialbridge.tenants', true) IN ('', '*') THEN NULL
        ELSE current_setting('dialbridge.tenants', true)::uuid[] END
$$
"""


class Migration(migrations.Migration):
    """What the policies of row-level security ask: whom the running code works for. The policies are made after each migrate."""

    dependencies: ClassVar = [("integrations", "0007_people")]
    operations: ClassVar = [
        migrations.RunSQL(EVERYONE, "DROP FUNCTION IF EXISTS dialbridge_everyone() CASCADE"),
        migrations.RunSQL(TENANTS, "DROP FUNCTION IF EXISTS dialbridge_tenants() CASCADE"),
    ]
