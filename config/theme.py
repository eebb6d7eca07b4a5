"""How the admin looks: names, colours, the side menu. Read by the theme from settings.UNFOLD."""

from typing import Any

UNFOLD: dict[str, Any] = {}
