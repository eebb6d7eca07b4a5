"""Which version of our own code the workers run, noted when one starts that was not seen before: failures may begin with it.

The version is RELEASE, if the operator sets it, else a short sum of the code itself.
"""

import hashlib
from functools import cache
from pathlib import Path

from django.conf import settings

from sync.models import Deployment

PARTS = ("config", "integrations", "mapping", "sync", "activities")
LONGEST = 100


@cache
def version() -> str:
    release: str = settings.RELEASE
    return release[:LONGEST] or f"code-{_sum_of(Path(settings.BASE_DIR))}"


def note() -> bool:
    """Notes the version at work. True when it is new here."""
    _row, new = Deployment.objects.get_or_create(version=version())
    return new


def _sum_of(base: Path) -> str:
    found = hashlib.sha256()
    for path in [*sorted(one for part in PARTS for one in (base / part).rglob("*.py")), base / "requirements.txt"]:
        if path.exists():
            found.update(path.read_bytes())
    return found.hexdigest()[:10]
