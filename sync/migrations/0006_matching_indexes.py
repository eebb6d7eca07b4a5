from django.contrib.postgres.operations import CreateExtension
from django.db import migrations

# A name or company without case, accents and punctuation. It is immutable, as a generated column needs it.
PLAIN = r"""
CREATE OR REPLACE FUNCTION dialbridge_plain(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN btrim(regexp_replace(
    translate(
        regexp_replace(normalize(lower(left(value, 80)), NFKD), '[\u0300-\u036f''’.]', '', 'g'),
        'łøđðıæœß', 'loddiaos'
    ),
    '[^[:alnum:]]+', ' ', 'g'
))
"""
# The legal forms that one system writes and another leaves out.
FORMS = (
    "inc|incorporated|corp|corporation|company|co|llc|llp|lp|ltd|limited|plc|pllc|gmbh|mbh|ag|kg|kgaa|ohg|ug|se|sa|sas|sarl|srl|"
    "spa|bv|nv|ab|as|asa|aps|oy|oyj|pty|kk|sl|doo|sro|zoo"
)
COMPANY = rf"""
CREATE OR REPLACE FUNCTION dialbridge_company(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN COALESCE(
    NULLIF(btrim(regexp_replace(dialbridge_plain(value), '\m({FORMS})\M *', '', 'g')), ''), dialbridge_plain(value)
)
"""
# Who somebody is by name and company; blank unless both names and the company are known: names alone say too little.
KEY = """
CREATE OR REPLACE FUNCTION dialbridge_match_key(first_name text, last_name text, company text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN first_name = '' OR last_name = '' OR company = '' THEN ''
    ELSE dialbridge_plain(first_name) || ' ' || dialbridge_plain(last_name) || ' ' || dialbridge_company(company) END
"""
# Stored, because looking names up compares thousands of keys. Only the database fills and reads it, so no model names it.
COLUMN = """
ALTER TABLE contacts ADD COLUMN match_key text
GENERATED ALWAYS AS (dialbridge_match_key(first_name, last_name, company)) STORED
"""
# Two of first name, last name and the company's beginning, which is what alike people have in common: a typing error spoils one.
# Looking up such pairs takes a hundredth of the time that comparing trigrams takes where names and companies repeat.
PAIRS = """
CREATE OR REPLACE FUNCTION dialbridge_match_pairs(tenant uuid, first_name text, last_name text, company text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[
    tenant::text || '|fl|' || dialbridge_plain(first_name) || '|' || dialbridge_plain(last_name),
    tenant::text || '|fc|' || dialbridge_plain(first_name) || '|' || left(dialbridge_company(company), 5),
    tenant::text || '|lc|' || dialbridge_plain(last_name) || '|' || left(dialbridge_company(company), 5)
]
"""
# A short list of waiting entries: every look-up reads all of it.
BY_PAIRS = """
CREATE INDEX contact_by_match_pairs ON contacts
USING gin (dialbridge_match_pairs(tenant_id, first_name, last_name, company))
WITH (gin_pending_list_limit = 256) WHERE match_key <> '' AND deleted_at IS NULL
"""
BY_STORED_ID = """
CREATE INDEX contact_by_stored_crm_id ON contacts (tenant_id, (custom ->> 'crm_record_id')) WHERE custom ? 'crm_record_id'
"""


class Migration(migrations.Migration):
    """What a new record is looked up by: pairs of names and company, and the CRM id a dialer may have kept.

    The column is computed for all rows while the table is locked, about a minute for a million contacts, and so are the indexes.
    """

    dependencies = [("sync", "0005_engine")]

    operations = [
        CreateExtension("fuzzystrmatch"),
        migrations.RunSQL(PLAIN, "DROP FUNCTION IF EXISTS dialbridge_plain(text)"),
        migrations.RunSQL(COMPANY, "DROP FUNCTION IF EXISTS dialbridge_company(text)"),
        migrations.RunSQL(KEY, "DROP FUNCTION IF EXISTS dialbridge_match_key(text, text, text)"),
        migrations.RunSQL(COLUMN, "ALTER TABLE contacts DROP COLUMN IF EXISTS match_key"),
        migrations.RunSQL(PAIRS, "DROP FUNCTION IF EXISTS dialbridge_match_pairs(uuid, text, text, text)"),
        migrations.RunSQL(BY_PAIRS, "DROP INDEX IF EXISTS contact_by_match_pairs"),
        migrations.RunSQL(BY_STORED_ID, "DROP INDEX IF EXISTS contact_by_stored_crm_id"),
    ]
