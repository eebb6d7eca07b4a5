"""The web process. It may pool its database connections, since it does not fork after start, and takes on DATABASE_ROLE."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "true")
os.environ.setdefault("DATABASE_WATCHED", "true")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
