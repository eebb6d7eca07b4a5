"""Finds the Chromium that the browser tests drive. `python -m tests.browser` exits 0 if there is one."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


if __name__ == "__main__":
    raise SystemExit(0 if chromium() else 1)
