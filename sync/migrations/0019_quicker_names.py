from functools import reduce
from typing import ClassVar

from django.db import migrations

# Most names need nothing but lower case, which one look tells.
PLAIN = r"""
CREATE OR REPLACE FUNCTION dialbridge_plain(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value COLLATE "C" ~ '^[A-Za-z0-9]+( [A-Za-z0-9]+)*$'
    THEN btrim(lower(left(value, 80) COLLATE "C") COLLATE "default")
    ELSE btrim(regexp_replace(
        translate(
            regexp_replace(normalize(lower(left(value, 80)), NFKD), '[\u0300-\u036f''’.]', '', 'g'),
            'łøđðıæœß', 'loddiaos'
        ),
        '[^[:alnum:]]+', ' ', 'g'
    )) END
"""
FORMS = (
    "inc|incorporated|corp|corporation|company|co|llc|llp|lp|ltd|limited|plc|pllc|gmbh|mbh|ag|kg|kgaa|ohg|ug|se|sa|sas|sarl|srl|"
    "spa|bv|nv|ab|as|asa|aps|oy|oyj|pty|kk|sl|doo|sro|zoo"
)
# Each word has two spaces of its own meanwhile. A regular expression of so many words is built anew for every text.
WORDS = "' ' || replace(dialbridge_plain(value), ' ', '  ') || ' '"
LEFT = reduce(lambda text, form: f"replace({text}, ' {form} ', '')", FORMS.split("|"), WORDS)
COMPANY = f"""
CREATE OR REPLACE FUNCTION dialbridge_company(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN COALESCE(NULLIF(btrim(replace({LEFT}, '  ', ' ')), ''), dialbridge_plain(value))
"""
# A function of its own, so that each name is made plain once: the server does not write out what would be worked out twice.
PAIRS_OF = """
CREATE OR REPLACE FUNCTION dialbridge_pairs_of(tenant text, first_name text, last_name text, company text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[
    tenant || '|fl|' || first_name || '|' || last_name,
    tenant || '|fc|' || first_name || '|' || company,
    tenant || '|lc|' || last_name || '|' || company
]
"""
PAIRS = """
CREATE OR REPLACE FUNCTION dialbridge_match_pairs(tenant uuid, first_name text, last_name text, company text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN dialbridge_pairs_of(
    tenant::text, dialbridge_plain(first_name), dialbridge_plain(last_name), left(dialbridge_company(company), 5)
)
"""


class Migration(migrations.Migration):
    """What names are looked up by takes half the time to work out. It comes to the same, so keys and indexes stay as they are."""

    dependencies: ClassVar = [("sync", "0018_snoozing")]
    operations: ClassVar = [
        migrations.RunSQL(PLAIN, migrations.RunSQL.noop),
        migrations.RunSQL(COMPANY, migrations.RunSQL.noop),
        migrations.RunSQL(PAIRS_OF, migrations.RunSQL.noop),
        migrations.RunSQL(PAIRS, migrations.RunSQL.noop),
    ]
