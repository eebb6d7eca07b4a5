"""Every setting comes from the environment; see `.env.example` for each of them. Nothing here depends on a provider's code."""

import os
import sys
from pathlib import Path

import environ

from config import embedded_postgres, env, logs
from config.security_headers import POLICY
from config.theme import UNFOLD  # noqa: F401 - the theme reads it here
from integrations.registry import PROVIDERS, provider_settings

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / ".data")))
_env_file = BASE_DIR / ".env"
if _env_file.exists():
    environ.Env.read_env(str(_env_file))

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.secret_key(debug=DEBUG, data_dir=DATA_DIR)
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS")  # former ones: what they signed is still good
FIELD_ENCRYPTION_KEY = env.encryption_keys(debug=DEBUG, data_dir=DATA_DIR)

PUBLIC_URL = env.text("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS") or (["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# --- applications ---------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "config.apps.AdminPages",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "encrypted_model_fields",
    "integrations",
    "mapping",
    "sync",  # before django_q: it supervises the cluster under the same command name
    "activities",
    "django_q",
]

# Middleware marked `for_people` is skipped on the routes that machines call (see config/middleware.py).
MIDDLEWARE = [
    "config.observing.Observed",
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.Policy",
    "config.middleware.WhiteNoise",
    "config.middleware.Sessions",
    "config.middleware.Locale",
    "config.middleware.Common",
    "config.middleware.Csrf",
    "config.middleware.Authentication",
    "config.middleware.Idling",
    "config.middleware.Messages",
    "config.middleware.Clickjacking",
    "config.middleware.TimeZone",
    "config.middleware.TenantScope",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader", "config.theme_templates.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- database -------------------------------------------------------------------------------------------------------


def _embedded_url() -> str:
    try:
        cluster = embedded_postgres.ensure_running(DATA_DIR)
        embedded_postgres.ensure_database(cluster, "dialbridge")
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    return cluster.url("dialbridge")


def _database() -> dict[str, object]:
    url = env.text("DATABASE_URL")
    database = environ.Env.db_url_config(url or _embedded_url())
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise SystemExit(
            "DATABASE_URL has to name a PostgreSQL database (postgresql://…): the queue needs its row locks."
        )
    database["ENGINE"] = "config.postgresql"
    database.setdefault("OPTIONS", {}).setdefault("connect_timeout", 10)
    if DATABASE_ROLE and env.boolean("DATABASE_WATCHED"):  # which config/wsgi.py says
        database["OPTIONS"]["assume_role"] = DATABASE_ROLE
    for name, value in _KEEP_ALIVE.items():
        database["OPTIONS"].setdefault(name, value)
    if env.boolean("DATABASE_PREPARED", default=True):
        database["OPTIONS"]["prepare_threshold"] = 2
    else:  # a pooler hands one session of the server to many clients: what lives in a session can't be used
        database["DISABLE_SERVER_SIDE_CURSORS"] = True
        if "assume_role" in database["OPTIONS"]:
            raise SystemExit(
                "DATABASE_ROLE can't be used with DATABASE_PREPARED=false: a pooler that shares sessions would show one tenant's "
                "rows to another. Have the pooler keep sessions (pool_mode = session), or leave DATABASE_ROLE out."
            )
    # Workers fork, and a pool does not survive a fork: only the web process asks for one.
    if env.boolean("DATABASE_POOL"):
        most, wait = env.number("DATABASE_POOL_SIZE", 8), env.number("DATABASE_POOL_WAIT", 10)
        database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": most, "timeout": wait}
    else:
        database["CONN_MAX_AGE"] = 60
        database["CONN_HEALTH_CHECKS"] = True
    return dict(database)


_KEEP_ALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""Over TCP a server that vanished without a word is noticed within half a minute, not after hours."""
DATABASE_ROLE = env.text("DATABASE_ROLE")  # what the web, and it alone, takes on to run behind row-level security
DATABASES = {"default": _database()}
DATABASE_KEEPER = "" if env.text("DATABASE_URL") else "config.keeping.database"  # what workers call every two seconds
MIGRATE_LOCK_SECONDS = env.number("MIGRATE_LOCK_SECONDS", 10)  # a migration that waits longer for a table gives up
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- background work ------------------------------------------------------------------------------------------------

BROKER_URL = env.text("BROKER_URL")
Q_CLUSTER: dict[str, object] = {
    "name": "dialbridge",
    "orm": "default",
    "workers": env.number("WORKERS", 2),
    "queue_limit": env.number("WORKERS", 2),
    "bulk": 1,
    "timeout": 60,
    "retry": 180,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,  # results are not kept: the job table holds what became of each piece of work
    "max_rss": 300_000 if sys.platform == "linux" else None,  # kilobytes here, other units elsewhere
    "catch_up": False,
    "recycle": 500,
    "poll": 2,
    "label": "Background cluster",
}
_BROKERS = {
    "": "sync.broker.PostgresBroker",
    "redis://": "sync.outside_broker.RedisBroker",
    "rediss://": "sync.outside_broker.RedisBroker",
    "sqs://": "sync.outside_broker.SqsBroker",
}
_broker = "".join(BROKER_URL.partition("://")[:2])
if _broker not in _BROKERS:
    raise SystemExit(f"BROKER_URL begins with {_broker.split(':')[0]!r}. Leave it empty, or use redis://… or sqs://…")
Q_CLUSTER["broker_class"] = _BROKERS[_broker]

JOB_LEASE_SECONDS = env.number("JOB_LEASE_SECONDS", 90)
RELEASE = env.text("RELEASE")  # what this version of the code is called where failures began with it
INBOX_KEEP_DAYS = env.number("INBOX_KEEP_DAYS", 30)  # so far back the inbox can be replayed
INBOX_KEEP_FAILED_DAYS = env.number("INBOX_KEEP_FAILED_DAYS", 90)
JOB_KEEP_DAYS = env.number("JOB_KEEP_DAYS", 30)  # jobs that are done; those of calls stay with their calls
EXCHANGE_KEEP_DAYS = env.number("EXCHANGE_KEEP_DAYS", 7)  # requests to the CRMs with their answers; 0 keeps none
EXCHANGE_MOST_MB = env.number("EXCHANGE_MOST_MB", 200)  # so much of them each tenant may have

# --- the CRMs -------------------------------------------------------------------------------------------------------

# Each CRM's own settings stand in its folder; here they are read. Addresses are kept without a trailing slash.
for _slug in PROVIDERS:
    for _name, _default in provider_settings(_slug).items():
        globals()[_name] = env.items(_name) if isinstance(_default, list) else env.text(_name, _default).rstrip("/")
CRM_ALLOWED_HOSTS = env.items("CRM_ALLOWED_HOSTS")
LISTENER_CONNECTIONS = env.number("LISTENER_CONNECTIONS", 100)  # how many change streams one listener process holds

# --- REST -----------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["integrations.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["integrations.authentication.HasTenant"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.FiniteJson"],
    "DEFAULT_THROTTLE_CLASSES": ["integrations.authentication.PerKeyThrottle"],
    "DEFAULT_THROTTLE_RATES": {"api_key": env.text("API_RATE", "6000/min")},
    "DEFAULT_SCHEMA_CLASS": "config.api.Schema",
    "EXCEPTION_HANDLER": "config.api.problem",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Dialbridge",
    "DESCRIPTION": "Post calls and forget them; read changed contacts by cursor.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "OAS_VERSION": "3.1.1",  # the first that knows webhooks
    "WEBHOOKS": [f"activities.webhook_schema.{name}" for name in ("logged", "failed", "needs_review", "do_not_call")],
    "ENUM_NAME_OVERRIDES": {
        "CallStatusEnum": ["pending", "sending", "logged", "failed", "cancelled"],
        "PostStatusEnum": [(status, str(status)) for status in (200, 201, 400, 409)],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a mapping of many rows is one form

# --- people ---------------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
globals().update(env.mail("EMAIL_URL", debug=DEBUG))
EMAIL_IS_SET_UP = DEBUG or bool(env.text("EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Dialbridge <dialbridge@localhost>")
WATCH_FROM_WEB = env.boolean("WATCH_FROM_WEB", default=True)  # whether the web tells of it that no worker is alive
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]
USE_I18N = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = True  # pages look right even before collectstatic has run
WHITENOISE_MANIFEST_STRICT = False

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # "Strict" would forget who comes back from a CRM's consent page
SESSION_COOKIE_AGE = 3600 * env.number("SESSION_IDLE_HOURS", 12)  # after the last use; see config/idling.py
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.boolean("BEHIND_PROXY") else None
SECURE_SSL_REDIRECT = SECURE_PROXY_SSL_HEADER is not None and PUBLIC_URL.startswith("https://")
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # asked from beside the process, without TLS
SECURE_HSTS_SECONDS = 31536000 if PUBLIC_URL.startswith("https://") else 0
SECURE_REFERRER_POLICY = "same-origin"
SILENCED_SYSTEM_CHECKS = [
    "security.W002",  # config.middleware has these two,
    "security.W003",  # which step aside for machines
    "security.W005",  # whether other names under our host are served without TLS is not ours to say,
    "security.W021",  # nor whether browsers should know of it beforehand
]
CONTENT_SECURITY_POLICY = POLICY
X_FRAME_OPTIONS = "DENY"

LOGGING = logs.configuration(env.text("LOG_LEVEL", "INFO").upper(), env.text("LOG_FORMAT", logs.LINE).lower())
METRICS_TOKEN = env.text("METRICS_TOKEN")  # whoever reads /metrics shows it; empty: this machine only

TESTING = "pytest" in sys.modules or os.environ.get("PYTEST_VERSION") is not None
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    WHITENOISE_AUTOREFRESH = True
