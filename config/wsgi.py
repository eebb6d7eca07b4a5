"""The web process. It may pool its database connections, since it does not fork after start, and takes on DATABASE_ROLE."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "true")
os.environ.setdefault("DATABASE_WATCHED", "true")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config.whole_bodies import WholeBodies

application = WholeBodies(get_wsgi_application(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)

# What is loaded once stays: the collector of garbage would look through all of it, a fifth of a second in the midst of a page.
gc.collect()
gc.freeze()
