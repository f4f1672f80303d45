"""Settings: what is accepted, what is refused, and how it is said."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from app import config
from app.config import Settings, load
from app.config.production import DEVELOPMENT_SECRET
from app.errors import SettingsError

ENOUGH = {"DATABASE_URL": "postgresql://u:sekret-and-long@db/ledger", "BROKER_URL": "amqp://u:sekret-and-long@mq//"}
SECRET = "4f1c9a7be02d58634f1c9a7be02d5863"
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": SECRET,
    "DATABASE_URL": "postgresql://u:sekret-and-long@db/ledger?sslmode=verify-full",
    "BROKER_URL": "amqps://u:sekret-and-long@mq//",
}


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return caught.value.faults


def test_two_addresses_are_enough():
    settings = load(ENOUGH)

    assert (settings.port, settings.log_level, settings.queue_type) == (8000, "INFO", "classic")


def test_an_empty_variable_counts_as_unset():
    assert load(ENOUGH | {"PORT": "", "LOG_LEVEL": "  "}) == load(ENOUGH)


def test_every_fault_is_listed_with_an_example():
    faults = faults_of({"BROKER_URL": "kafka://mq", "PORT": "http", "LOG_LEVEL": "LOUD"})

    assert len(faults) == 4
    assert all(re.search(r"[A-Z_]+=\S", fault) for fault in faults)
    assert "make run" in next(fault for fault in faults if fault.startswith("DATABASE_URL"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://u@db/ledger"),
        ("DATABASE_URL", "postgresql://u@db"),
        ("DATABASE_URL", "postgresql://u@[db/ledger"),
        ("DATABASE_URL", "postgresql://u@a:1,b:none/ledger"),
        ("DATABASE_URL", "postgresql://u@db/ledger?sslmod=require"),
        ("DATABASE_URL", "postgresql://u@a,b/ledger?port=1,2,3"),
        ("DATABASE_URL", "postgresql://u@a,b/ledger?target_session_attrs=writable"),
        ("BROKER_URL", "mq"),
        ("BROKER_URL", "amqp://"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("APP_ENV", "staging"),
        ("QUEUE_TYPE", "stream"),
        ("MAX_BODY_BYTES", "1e6"),
        ("LEASE_SECONDS", "2"),
        ("RATE_LIMIT_READ", "many"),
        ("RATE_LIMIT_STORAGE", "postgresql://db"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("PAYLOAD_KEYS", "short"),
        ("ADMIN_API_KEY", "tl_short"),
        ("AUDIT_SINK_URL", "logs.example.com:514"),
        ("AUDIT_SINK_URL", "syslog://logs.example.com"),
        ("AUDIT_SINK_URL", "tls://"),
        ("AUDIT_SINK_URL", "tls://logs.example.com:0x10"),
        ("AUDIT_SINK_URL", "tls://logs.example.com/path"),
        ("AUDIT_SINK_URL", "https://user:password@logs.example.com/"),
        ("AUDIT_SINK_TOKEN", "two words"),
        ("AUDIT_SINK_TOKEN", "naïve"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: str):
    [fault] = faults_of(ENOUGH | {name: value})

    assert fault.startswith(f"{name} is refused: ")


def test_faults_do_not_repeat_a_password():
    faults = faults_of(
        {"DATABASE_URL": "mysql://u:sekret-and-long@db/ledger", "BROKER_URL": "kafka://u:sekret-and-long@mq"}
    )

    assert "sekret-and-long" not in " ".join(faults)


def test_the_settings_do_not_show_secrets():
    assert "sekret-and-long" not in repr(load(ENOUGH | {"SECRET_KEY": "sekret"}))


def test_the_settings_are_frozen():
    with pytest.raises(AttributeError):
        load(ENOUGH).port = 1


def test_production_starts_with_tls_and_a_secret():
    assert load(PRODUCTION).app_env == "production"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", DEVELOPMENT_SECRET),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "x" * 64),
        ("SECRET_KEY_PREVIOUS", DEVELOPMENT_SECRET),
        ("SECRET_KEY_PREVIOUS", "short"),
        ("SECRET_KEY_PREVIOUS", "x" * 64),
        ("FLASK_DEBUG", "1"),
        ("DATABASE_URL", "postgresql://taskledger:taskledger@db/ledger?sslmode=require"),
        ("DATABASE_URL", "postgresql://u:short@db/ledger?sslmode=require"),
        ("BROKER_URL", "amqps://guest:guest@mq//"),
        ("RATE_LIMIT_STORAGE", "redis://:short@cache/0"),
        ("FLOWER_BASIC_AUTH", "taskledger:taskledger"),
        ("ADMIN_PASSWORD", "short"),
        ("DATABASE_URL", "postgresql://u:sekret-and-long@db/ledger"),
        ("DATABASE_URL", "postgresql://u:sekret-and-long@db/ledger?sslmode=prefer"),
        ("DATABASE_URL", "postgresql://u:sekret-and-long@a:1,b:2/ledger"),
        ("DATABASE_URL", "postgresql://u:sekret-and-long@[::1]:1,[::2]:2/ledger"),
        ("DATABASE_URL", "postgresql://u:sekret-and-long@/ledger?host=/run/postgresql,b"),
        ("DATABASE_URL", "postgresql:///ledger?hostaddr=10.0.0.1"),
        ("DATABASE_URL", "postgresql://u:short@[::1]:1,[::2]:2/ledger?sslmode=require"),
        ("DATABASE_URL", "postgresql://a,b/ledger?user=u&password=short&sslmode=require"),
        ("BROKER_URL", "amqp://u:sekret-and-long@mq//"),
        ("BROKER_URL", "redis://mq/0"),
        ("AUDIT_SINK_URL", "tcp://logs.example.com"),
        ("AUDIT_SINK_URL", "udp://logs.example.com"),
        ("AUDIT_SINK_URL", "http://logs.example.com/audit"),
    ],
)
def test_production_refuses_what_is_unsafe(name: str, value: str):
    [fault] = faults_of(PRODUCTION | {name: value})

    assert fault.startswith(name)


def test_production_reports_malformed_and_unsafe_values_together():
    faults = faults_of(PRODUCTION | {"PORT": "http", "SECRET_KEY": ""})

    assert [fault.split()[0] for fault in faults] == ["PORT", "SECRET_KEY"]


def test_production_accepts_plain_connections_when_told_so():
    plain = {"DATABASE_URL": ENOUGH["DATABASE_URL"], "BROKER_URL": ENOUGH["BROKER_URL"]}

    assert load(PRODUCTION | plain | {"ALLOW_PLAINTEXT_CONNECTIONS": "true"}).allow_plaintext_connections


def test_production_accepts_a_database_on_a_local_socket():
    assert load(PRODUCTION | {"DATABASE_URL": "postgresql:///ledger?host=/run/postgresql"})


def test_production_accepts_several_hosts_that_demand_tls():
    url = "postgresql://u:sekret-and-long@[::1]:5432,b:5433/ledger?sslmode=verify-full"

    assert load(PRODUCTION | {"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url", ["tls://logs.example.com", "https://logs.example.com/a", "tcp://127.0.0.1", "udp://[::1]:514"]
)
def test_production_sends_the_audit_log_over_tls_or_to_this_host(url: str):
    assert load(PRODUCTION | {"AUDIT_SINK_URL": url}).audit_sink_url == url


def test_the_secret_of_the_audit_sink_may_lie_in_a_file_and_is_not_shown(tmp_path: Path):
    (tmp_path / "token").write_text("of-the-receiver\n")

    settings = load(ENOUGH | {"AUDIT_SINK_TOKEN_FILE": str(tmp_path / "token")})

    assert settings.audit_sink_token == "of-the-receiver"
    assert "of-the-receiver" not in repr(settings)
    assert "of-the-receiver" in settings.secrets


def test_production_limits_rates_unless_told_otherwise():
    usual, off = load(PRODUCTION), load(PRODUCTION | {"RATE_LIMIT_CREATE": "", "RATE_LIMIT_AUTH": " "})

    assert (usual.rate_limit_create, usual.rate_limit_auth) == ("3000 per minute", "30 per minute")
    assert (off.rate_limit_create, off.rate_limit_read, off.rate_limit_auth) == ("", "6000 per minute", "")


def test_development_limits_log_ins_only():
    settings = load(ENOUGH)

    assert (settings.rate_limit_create, settings.rate_limit_read, settings.rate_limit_auth) == (
        "",
        "",
        "120 per minute",
    )


def test_a_value_may_lie_in_a_file(tmp_path: Path):
    (tmp_path / "database_url").write_text(PRODUCTION["DATABASE_URL"] + "\n")
    (tmp_path / "secret_key").write_text(SECRET)
    given = PRODUCTION | {
        "DATABASE_URL": "",
        "DATABASE_URL_FILE": str(tmp_path / "database_url"),
        "SECRET_KEY": "",
        "SECRET_KEY_FILE": str(tmp_path / "secret_key"),
    }

    assert load(given) == load(PRODUCTION)


def test_a_secret_in_a_file_is_judged_like_any_other(tmp_path: Path):
    (tmp_path / "key").write_text("short")

    (fault,) = faults_of(
        {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
        | {"SECRET_KEY_FILE": str(tmp_path / "key")}
    )

    assert fault.startswith("SECRET_KEY is missing, shorter")


def test_files_that_cannot_be_read_and_values_given_twice_are_faults(tmp_path: Path):
    faults = faults_of(ENOUGH | {"BROKER_URL_FILE": str(tmp_path / "url"), "SECRET_KEY_FILE": str(tmp_path / "none")})

    assert any("BROKER_URL and BROKER_URL_FILE are both set" in fault for fault in faults)
    assert any("SECRET_KEY_FILE is refused" in fault and "No such file" in fault for fault in faults)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that only says where var is."""
    for setting in fields(Settings):
        monkeypatch.delenv(setting.name.upper(), raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    return tmp_path


def test_unset_addresses_come_from_a_running_embedded_mode(environment: Path):
    (environment / "embedded.env").write_text(
        "# written by make run\n" + "".join(f"{name}={value}\n" for name, value in ENOUGH.items())
    )

    assert config.get_settings.__wrapped__().broker_url == ENOUGH["BROKER_URL"]


def test_the_environment_goes_before_the_embedded_mode(environment: Path, monkeypatch: pytest.MonkeyPatch):
    (environment / "embedded.env").write_text("".join(f"{name}={value}\n" for name, value in ENOUGH.items()))
    monkeypatch.setenv("BROKER_URL", "redis://elsewhere/0")

    assert config.get_settings.__wrapped__().broker_url == "redis://elsewhere/0"


def test_production_does_not_take_addresses_from_the_embedded_mode(environment: Path, monkeypatch: pytest.MonkeyPatch):
    (environment / "embedded.env").write_text("".join(f"{name}={value}\n" for name, value in PRODUCTION.items()))
    monkeypatch.setenv("APP_ENV", "production")

    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        config.get_settings.__wrapped__()


def test_the_reference_lists_every_setting_with_its_default():
    reference = Path("docs/reference/settings.md").read_text(encoding="utf-8")

    for setting in fields(Settings):
        row = next((line for line in reference.splitlines() if line.startswith(f"| `{setting.name.upper()}`")), "")
        assert setting.metadata["description"] in row
        default = setting.default
        if default != "" and isinstance(default, (int, str)) and default != DEVELOPMENT_SECRET:
            assert f"`{str(default).lower() if isinstance(default, bool) else default}`" in row, row
