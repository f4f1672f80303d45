"""Points that the environment alone decides: secrets, TLS, limits, logs. Pure."""

from collections.abc import Mapping

from app.commands.doctor.finding import Finding, Findings, fault, judged, ok, warning
from app.config import Settings
from app.config.production import faults_of

SECRETS = (
    "SECRET_KEY",
    "DATABASE_URL has",
    "BROKER_URL has",
    "RATE_LIMIT_STORAGE",
    "FLOWER_BASIC_AUTH",
    "ADMIN_PASSWORD",
)
LIMITS = ("RATE_LIMIT_CREATE", "RATE_LIMIT_READ", "RATE_LIMIT_AUTH")
RETENTIONS = ("completed", "failed", "cancelled", "events")


def unusable(faults: list[str]) -> Findings:
    """The faults that keep every process from starting."""
    for each in faults:
        seen, _, advice = each.partition(": ")
        yield fault("settings", seen, advice)


def environment(given: Mapping[str, str]) -> Findings:
    """What APP_ENV=production refuses, also where it is not set; `given` has the contents of NAME_FILE already."""
    app_env = given.get("APP_ENV", "development")
    advice = "set APP_ENV=production: start-up then refuses what is unsafe"
    yield judged("production mode", app_env == "production", f"APP_ENV is {app_env}", advice)
    found = faults_of(given)
    secrets = [each for each in found if each.startswith(SECRETS)]
    debug = [each for each in found if each.startswith("FLASK_DEBUG")]
    tls = [each for each in found if each not in secrets and each not in debug]
    yield from _each("secrets", secrets, "no default, short or simple secret")
    yield from _each("debug mode", debug, "off")
    said = "accepted without, by ALLOW_PLAINTEXT_CONNECTIONS" if _is_plain(given) else "demanded of database and broker"
    yield from _each("encrypted connections", tls, said)


def _is_plain(given: Mapping[str, str]) -> bool:
    return bool(faults_of({**given, "ALLOW_PLAINTEXT_CONNECTIONS": ""}) != faults_of(given))


def _each(point: str, faults: list[str], well: str) -> Findings:
    for each in faults:
        seen, _, advice = each.partition(": ")
        yield fault(point, seen, advice)
    if not faults:
        yield ok(point, well)


def of_settings(settings: Settings, *, api_processes: int) -> Findings:
    """Choices that start-up accepts and an operator should have made."""
    yield judged(
        "encrypted payloads",
        bool(settings.payload_keys),
        "keys are set" if settings.payload_keys else "PAYLOAD_KEYS is not set: sensitive task types are refused",
        "set it to the output of `openssl rand -base64 32`, and keep it elsewhere than the backups",
        warning,
    )
    open_advice = "set REGISTRATION=closed, or keep it if everybody who reaches the API may have an account"
    yield judged("registration", settings.registration == "closed", settings.registration, open_advice, warning)
    yield judged(
        "new accounts",
        settings.registration == "closed" or not settings.lets_new_accounts_out,
        "who registers may send mail and requests" if settings.lets_new_accounts_out else "may not reach outside yet",
        "set NEW_ACCOUNTS_REACH_OUTSIDE=closed: then an admin allows each account to (may_reach_outside)",
    )
    yield from _rate_limits(settings, api_processes)
    yield from _logs(settings)
    yield judged(
        "artifacts",
        bool(settings.artifacts_url),
        "ARTIFACTS_URL is set"
        if settings.artifacts_url
        else "kept in VAR_DIR of each process, where no other finds them",
        "set ARTIFACTS_URL to a bucket or to a directory that all processes share",
    )
    endless = [name for name in RETENTIONS if getattr(settings, f"retention_{name}_days") == 0]
    seen = f"kept for ever: {', '.join(endless)}" if endless else "tasks and history are deleted by age"
    yield judged("retention", not endless, seen, "set RETENTION_…_DAYS: a table that only grows gets slow", warning)
    yield _metrics(settings)


def _rate_limits(settings: Settings, api_processes: int) -> Findings:
    off = [name for name in LIMITS if not getattr(settings, name.lower())]
    seen = f"off: {', '.join(off)}" if off else "on"
    yield judged("rate limits", not off, seen, "set them, or leave them out: production has limits of its own")
    if not off and api_processes > 1 and settings.rate_limit_storage.startswith("memory:"):
        yield warning(
            "rate limits",
            f"each of {api_processes} API processes counts for itself",
            "set RATE_LIMIT_STORAGE to a Redis or Valkey that all share, or divide the limits",
        )


def _logs(settings: Settings) -> Findings:
    is_well = settings.log_format != "console" and settings.log_level != "DEBUG"
    seen = f"{settings.log_format}, {settings.log_level}"
    yield judged("logs", is_well, seen, "set LOG_FORMAT=json and LOG_LEVEL=INFO", warning)


def _metrics(settings: Settings) -> Finding:
    advice = "set METRICS_ALLOW to Prometheus's address, or give it an admin's key; import the alerts of deploy/"
    seen = settings.metrics_allow or "METRICS_ALLOW is not set: only admins can read /metrics"
    return judged("monitoring", bool(settings.metrics_allow), seen, advice, warning)
