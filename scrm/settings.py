"""Every setting, from the environment. A missing or bad value stops the process with a sentence that says what to do.

Sources, the first one wins: the process's environment, the file that ENV_FILE names (``.env`` beside manage.py), and the
development keys that ``bin/setup`` wrote into SCRM_VAR. Production reads no development keys. ``.env.example`` documents all.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import sys
from typing import Any
from urllib.parse import urlsplit

import environ
import structlog
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.retry import Retry

from scrm import envfile, logs

BASE_DIR = envfile.BASE_DIR
env = environ.Env()
problems: list[str] = []  # collected, so that one start names them all
# they open no data, and an image is built with them before it has any key
KEYLESS_COMMANDS = {"help", "--help", "-h", "version", "--version", "collectstatic", "compile_catalogues"}


def _text(name: str, default: str = "") -> str:
    return env.str(name, default=default).strip()


def _flag(name: str, default: bool = False) -> bool:
    value = _text(name).lower()
    if value not in ("", "0", "1", "true", "false"):
        problems.append(f"{name}={value!r} 不是开关,请填 1 或 0。")
    return value in ("1", "true") if value else default


def _number(name: str, default: int, low: int, high: int) -> int:
    value = _text(name, str(default))
    if not value.isdecimal() or not low <= int(value) <= high:
        problems.append(f"{name}={value!r} 应为 {low} 到 {high} 之间的整数。")
        return default
    return int(value)


def _list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in _text(name, default).split(",") if item.strip()]


def _choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(name, default)
    if value not in choices:
        problems.append(f"{name}={value!r} 应为 {'、'.join(choices)} 之一。")
        return default
    return value


def _key(name: str, value: str) -> None:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 32:
        problems.append(f"{name} 中的密钥应为 32 字节的 base64,可用 openssl rand -base64 32 生成。")


def _index_key(name: str) -> str:
    value = _text(name)
    if value:
        _key(name, value)
    else:
        problems.append(f"缺少加密密钥 {name}。{REMEDY}")
    return value


def _key_ring(name: str) -> str:
    """``number:key`` items, the current one first; the text is what crypto.py reads."""
    items = _list(name)
    if not items:
        problems.append(f"缺少加密密钥 {name}。{REMEDY}")
    numbers = [item.partition(":")[0] for item in items]
    for item, number in zip(items, numbers, strict=True):
        if not number.isdecimal() or not 1 <= int(number) <= 255:
            problems.append(f"{name} 的每一项应写作“编号:密钥”,编号为 1 到 255。")
        else:
            _key(name, item.partition(":")[2])
    if len(set(numbers)) != len(numbers):
        problems.append(f"{name} 中有重复的密钥编号。")
    return ",".join(items)


def _database(name: str) -> dict[str, Any] | None:
    url = _text(name)
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        problems.append(f"{name} 应写作 postgresql://用户:密码@主机:5432/库名;本系统只支持 PostgreSQL。")
        return None
    return dict(env.db_url_config(url))


# ---- where things are -------------------------------------------------------------------------------------------

SCRM_VAR = envfile.load()
PRODUCTION = _flag("PRODUCTION")
if not PRODUCTION:
    envfile.read(SCRM_VAR / ".env")
REMEDY = "请写入环境变量或 .env(说明见 .env.example)。" if PRODUCTION else "请先运行 bin/setup。"

DEBUG = _flag("DEBUG")
SECRET_KEY = _text("SECRET_KEY")
MOBILE_SEAL_KEYS = _key_ring("MOBILE_SEAL_KEYS")
MOBILE_INDEX_KEY = _index_key("MOBILE_INDEX_KEY")
SECRET_SEAL_KEYS = _key_ring("SECRET_SEAL_KEYS")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", "" if PRODUCTION else "*")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS")
WEB_HOST = _text("WEB_HOST", "127.0.0.1")
WEB_PORT = _number("WEB_PORT", 8000, 1, 65535)
WEB_WORKERS = _number("WEB_WORKERS", 2, 1, 64)
WEB_THREADS = _number("WEB_THREADS", 4, 1, 64)
WORKER_PROCESSES = _number("WORKER_PROCESSES", 2, 1, 64)
TRUSTED_PROXY_COUNT = _number("TRUSTED_PROXY_COUNT", 1 if PRODUCTION else 0, 0, 5)
LOG_LEVEL = _choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_JSON = _flag("LOG_JSON", PRODUCTION)
SENTRY_DSN = _text("SENTRY_DSN")
METRICS_TOKEN = _text("METRICS_TOKEN")
REQUIRE_SECOND_FACTOR = _flag("REQUIRE_SECOND_FACTOR", PRODUCTION)
WECOM_BASE_IS_DEFAULT = not _text("WECOM_API_BASE")
_sandbox = SCRM_VAR / "wecom_sandbox" / "address"  # written while the sample company's WeCom runs on this machine
_at_hand = (
    _sandbox.read_text(encoding="ascii") if WECOM_BASE_IS_DEFAULT and not PRODUCTION and _sandbox.is_file() else ""
)
WECOM_API_BASE = (_text("WECOM_API_BASE") or _at_hand or "https://qyapi.weixin.qq.com/cgi-bin").rstrip("/") + "/"
if urlsplit(WECOM_API_BASE).scheme not in (
    {"https"} if PRODUCTION else {"https", "http"}
):  # secrets travel in addresses
    problems.append("WECOM_API_BASE 应写作 https://主机/cgi-bin/;http 只能用于本机的沙箱。")
WECOM_KEPT_DAYS = _number("WECOM_KEPT_DAYS", 90, 7, 3650)  # what WeCom told us and was told, once it is done
WECOM_WAY_QUOTA = _number("WECOM_WAY_QUOTA", 500_000, 1, 100_000_000)  # codes a corp may have, group codes included
WECOM_LEAVER_WAY_DAYS = _number("WECOM_LEAVER_WAY_DAYS", 0, 0, 3650)  # until a leaver's code is retired; 0: never
PUBLIC_URL = _text("PUBLIC_URL").rstrip("/")
if PUBLIC_URL and (urlsplit(PUBLIC_URL).scheme not in ("https", "http") or not urlsplit(PUBLIC_URL).hostname):
    problems.append("PUBLIC_URL 应写作 https://域名。")
# an account deleted on WeCom ends the employment; otherwise only the list of guides does
WECOM_LEAVER_ENDS_EMPLOYMENT = _flag("WECOM_LEAVER_ENDS_EMPLOYMENT")
# WeCom accounts of the brand itself that take over customers, each of a guide
WECOM_BRAND_ACCOUNTS = [userid.lower() for userid in _list("WECOM_BRAND_ACCOUNTS")]
WECOM_SANDBOX_PORT = _number("WECOM_SANDBOX_PORT", min(WEB_PORT + 1, 65535), 1, 65535)  # of a WeCom on this machine
# what kind of process this is; set by the entry points, not by people
PROCESS = _choice("SCRM_PROCESS", "command", ("web", "worker", "beat", "command"))

# ---- applications -----------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "scrm.apps.ScrmConfig",  # first: its commands and templates win
    "members",
    "guides",
    "campaigns",
    "attribution",
    "unfold.apps.BasicAppConfig",  # before the admin it dresses; the site is ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "scrm.apps.ConsoleConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "pghistory",
    "pgtrigger",
    "tree_queries",
    "import_export",
    "django_celery_beat",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "csp",
    "django_prometheus",
    "django_structlog",
]

MIDDLEWARE = [
    "scrm.health.Liveness",  # before everything that may touch a database or refuse a host
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "scrm.api.middleware.ShortWay",  # the guide API goes on with API_MIDDLEWARE instead of what follows
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "scrm.sessions.SessionLimits",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

API_MIDDLEWARE = [
    "scrm.api.middleware.RequestLog",
    "scrm.api.middleware.Language",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "scrm.urls"
WSGI_APPLICATION = "scrm.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ---- PostgreSQL -------------------------------------------------------------------------------------------------

EMBEDDED_DURABLE = True  # tests do without fsync
application, owner = _database("DATABASE_URL"), _database("DATABASE_OWNER_URL")
EMBEDDED_DATABASE = application is None
if application is None:
    application = {"ENGINE": "scrm.embedded.backend", "NAME": "scrm", "USER": "scrm_app"}
    owner = {**application, "USER": "scrm_owner"}
    if PRODUCTION:
        problems.append("生产环境必须用 DATABASE_URL 指定自己的 PostgreSQL。")
elif owner is None:
    problems.append("设置了 DATABASE_URL,还需要用 DATABASE_OWNER_URL 指定负责迁移的角色。")
elif owner["NAME"] != application["NAME"]:
    problems.append("DATABASE_URL 与 DATABASE_OWNER_URL 必须指向同一个库。")
elif owner["USER"] == application["USER"]:
    problems.append("DATABASE_URL 与 DATABASE_OWNER_URL 必须用两个不同的角色:应用角色不能拥有表。")

# A request never waits long; a job may. Both give up on a lock sooner than on a statement.
STATEMENT_SECONDS, LOCK_SECONDS = {"web": (15, 5)}.get(PROCESS, (3600, 30))
session = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={LOCK_SECONDS}s"
application["OPTIONS"] = {**application.get("OPTIONS", {}), "options": session}
if PROCESS == "web":  # one pool per gunicorn process; jobs hold their one connection
    application["OPTIONS"]["pool"] = {"min_size": 1, "max_size": WEB_THREADS + 2, "timeout": 10}
DATABASES = {"default": {**application, "CONN_MAX_AGE": 0, "ATOMIC_REQUESTS": False}}
# what `migrate` connects with; a migration may rewrite a table for long, but must not queue behind a lock for long
APPLICATION_ROLE = application["USER"]
DATABASE_OWNER: dict[str, Any] = owner or {}
DATABASE_OWNER["OPTIONS"] = {**DATABASE_OWNER.get("OPTIONS", {}), "options": "-c lock_timeout=30s"}

# ---- broker and cache -------------------------------------------------------------------------------------------

BROKER_URL = _text("BROKER_URL")
EMBEDDED_BROKER = not BROKER_URL
if EMBEDDED_BROKER:
    from scrm.embedded import valkey

    BROKER_URL = valkey.of(SCRM_VAR).url
    if PRODUCTION:
        problems.append("生产环境必须用 BROKER_URL 指定自己的 Redis 或 Valkey。")
elif urlsplit(BROKER_URL).scheme not in ("redis", "rediss", "redis+socket"):  # Celery's command line reads it too
    problems.append("BROKER_URL 应写作 redis://主机:6379/0、rediss://… 或 redis+socket:///路径。")

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": BROKER_URL.replace("redis+socket://", "unix://", 1),
        "KEY_PREFIX": "scrm",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2, "retry": Retry(NoBackoff(), 1)},
    }
}

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # an unacknowledged message comes back after visibility_timeout plus seconds, not minutes
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
}
CELERY_TASK_PUBLISH_RETRY = False  # ringing fails fast; the sweep makes it good
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = WORKER_PROCESSES
CELERY_TASK_ROUTES = {  # a worker of their own takes them: no long job may stand before a code that lives for 20 seconds
    "scrm.wecom.tasks.process_welcomes": {"queue": "welcome"},
    "scrm.wecom.tasks.send_welcomes": {"queue": "welcome"},
    "guides.tasks.read_new_friends": {"queue": "welcome"},  # by one process at a time: the others stay free
}
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_BEAT_SCHEDULER = "scrm.beat:SingleScheduler"
DJANGO_CELERY_BEAT_TZ_AWARE = True

# ---- language and time ------------------------------------------------------------------------------------------

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "简体中文"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "scrm" / "locale", BASE_DIR / "scrm" / "locale_vendor"]
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True

# ---- people -----------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "scrm.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses who failed too often
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
SESSION_COOKIE_AGE = 12 * 3600  # one working day
OTP_TOTP_ISSUER = "SCRM"

AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # a stranger cannot lock out a colleague
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = dt.timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "scrm.admin.login.locked"
AXES_IPWARE_PROXY_COUNT = TRUSTED_PROXY_COUNT or None
AXES_IPWARE_META_PRECEDENCE_ORDER = ["HTTP_X_FORWARDED_FOR", "REMOTE_ADDR"] if TRUSTED_PROXY_COUNT else ["REMOTE_ADDR"]

# ---- API --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["scrm.api.authentication.DeviceTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["scrm.api.renderers.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "scrm.api.schema.Schema",
    "EXCEPTION_HANDLER": "scrm.api.errors.handle",
    "NUM_PROXIES": TRUSTED_PROXY_COUNT,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
REST_KNOX = {
    "TOKEN_TTL": dt.timedelta(days=30),
    "AUTO_REFRESH": True,
    "AUTO_REFRESH_MAX_TTL": dt.timedelta(days=90),
    "TOKEN_LIMIT_PER_USER": None,  # the limit refuses instead of evicting; old ones are deleted at login
    "AUTH_HEADER_PREFIX": "Bearer",
}
KNOX_TOKEN_MODEL = "scrm.DeviceToken"  # noqa: S105
MIGRATION_MODULES = {"knox": None}  # its own would make a table that nobody uses
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "SCRM API",
    "DESCRIPTION": "What the guides' mini-program speaks. Money is integer fen and its names end in `_fen`; times are ISO 8601.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SCHEMA_PATH_PREFIX": "/api",
    "PATH_CONVERTER_OVERRIDES": {"id": int},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None},  # the badge would ask a foreign host
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {  # fields of one name with other choices
        "IdentityKind": "members.models.Identity.Kind",
        "ShareKind": "guides.models.Share.Kind",
        "ServiceActKind": "guides.models.ServiceAct.Kind",
        "ActionKind": "guides.models.Action.Kind",
        "ContentKind": "campaigns.models.Content.Kind",
        "ChainStatus": "campaigns.models.ChainOrder.Status",
        "ChainLineStatus": "campaigns.models.ChainLine.Status",
        "ChainPaymentKind": "campaigns.models.ChainPayment.Kind",
        "MadeState": "guides.api.code.STATES",
        "SaleKind": "campaigns.models.Sale.Kind",
        "DisputeStatus": "attribution.models.Dispute.Status",
        "RewardState": "guides.models.RewardClaim.Status",
    },
}

# ---- console ----------------------------------------------------------------------------------------------------

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("Private-domain operations"),
    "SITE_HEADER": _("Private-domain operations"),
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": "scrm.admin.theme.colours"},
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("scrm/favicon.svg")}],
    "STYLES": [lambda request: static("scrm/console.css")],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": "scrm.admin.navigation.sidebar"},
    "COMMAND": {"search_models": False},  # would count and scan every big table
    "DASHBOARD_CALLBACK": "attribution.admin.dashboard.add",
}
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "change"
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "change"
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True

# ---- transport --------------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],  # the theme's Alpine compiles expressions
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False  # the domain belongs to the company, not to us
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # they ask for the line above
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# ---- static files -----------------------------------------------------------------------------------------------

STATICFILES = "django.contrib.staticfiles.storage."  # compressing takes a newcomer's first start 15 seconds
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": f"{'whitenoise.storage.Compressed' if PRODUCTION else STATICFILES}ManifestStaticFilesStorage"
    },
}

# ---- logs, metrics, errors --------------------------------------------------------------------------------------

LOGGING = logs.configuration(level=LOG_LEVEL, as_json=LOG_JSON)
structlog.configure(
    processors=logs.PROCESSORS,
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
PROMETHEUS_EXPORT_MIGRATIONS = False

if SENTRY_DSN:
    import sentry_sdk

    sentry_sdk.init(SENTRY_DSN, send_default_pii=False, max_request_body_size="never", before_send=logs.scrub_report)

# ---- refusals ---------------------------------------------------------------------------------------------------

if not SECRET_KEY:
    problems.append(f"缺少 SECRET_KEY。{REMEDY}")
if PRODUCTION:
    if DEBUG:
        problems.append("生产环境不能打开 DEBUG。")
    if len(SECRET_KEY) < 50 or SECRET_KEY.startswith(("development-", "django-insecure-", "change-me")):
        problems.append("SECRET_KEY 是默认值或太短,请生成一个至少 50 位的随机串。")
    if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
        problems.append("生产环境必须用 ALLOWED_HOSTS 写明域名,不能用 *。")
    if not REQUIRE_SECOND_FACTOR:
        problems.append("生产环境不能关闭 REQUIRE_SECOND_FACTOR。")
if problems and not KEYLESS_COMMANDS.intersection(sys.argv[1:2]):
    raise ImproperlyConfigured("配置有误:\n" + "\n".join(f"  - {problem}" for problem in problems))
