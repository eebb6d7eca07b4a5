"""Loaded by pytest before Django's settings: what a test run needs of the environment."""

import os

os.environ.setdefault("DEBUG", "true")
os.environ.setdefault("WATCH_FROM_WEB", "false")  # in a thread of its own, which would wait for a test's transaction
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the browser driver runs an event loop in this thread
