"""The automated accessibility check: WCAG 2.2 A and AA by axe, on a page that a browser has open."""

import json
from collections.abc import Sequence
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
GRAVE = {"serious", "critical"}
MENU = "#nav-sidebar"


def findings(page: Page, only: Sequence[str] = (), *, menu: bool = True) -> list[str]:
    """What is serious or worse, each as one line with the elements that it is about. `only` names rules, for a second look; the
    side `menu` is the same on every page, and larger than most."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    chosen = {"type": "rule", "values": list(only)} if only else {"type": "tag", "values": list(STANDARDS)}
    where = json.dumps({"exclude": [] if menu else [[MENU]]})
    options = json.dumps({"runOnly": chosen, "resultTypes": ["violations"], "iframes": False})
    found: list[dict[str, Any]] = page.evaluate(f"axe.run({where}, {options}).then(results => results.violations)")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in GRAVE
    ]
