"""Who may come in, and what keeps their secrets."""

from dataclasses import dataclass
from datetime import timedelta

from marshmallow.validate import OneOf, Range

from app.config.checks import check_api_key, check_payload_keys
from app.config.production import DEVELOPMENT_SECRET
from app.config.setting import setting


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Who may come in, and what keeps their secrets."""

    app_env: str = setting(
        "str",
        "`production` refuses default or short secrets, debug mode and connections without TLS",
        example="production",
        default="development",
        check=OneOf(("development", "production")),
    )
    secret_key: str = setting(
        "str",
        "Signs list cursors and tokens; the same for all API processes",
        example="the output of: openssl rand -hex 32",
        default=DEVELOPMENT_SECRET,
        secret=True,
    )
    secret_key_previous: str = setting(
        "str",
        "A second SECRET_KEY, which is accepted and never signs: the old one while the key is changed",
        example="what SECRET_KEY was before",
        default="",
        secret=True,
    )
    payload_keys: str = setting(
        "str",
        "Keys for payloads of sensitive types, separated by commas: the first one encrypts, all decrypt",
        example="the output of: openssl rand -base64 32",
        default="",
        check=check_payload_keys,
        secret=True,
    )
    registration: str = setting(
        "str",
        "`open` lets anybody make an account of their own, `closed` only admins and the command line",
        example="closed",
        default="open",
        check=OneOf(("open", "closed")),
    )
    new_accounts_reach_outside: str = setting(
        "str",
        "Whether an account that somebody made for themselves may use task types that reach outside, webhooks and "
        "callbacks before an admin has decided: `open` or `closed`; unset: closed in production, else open",
        example="closed",
        default="",
        check=OneOf(("", "open", "closed")),
    )
    max_stored_bytes: int = setting(
        "int",
        "Bytes of files that one account may have stored, unless the account has a quota of its own; 0: no quota",
        example="10737418240",
        default=10_737_418_240,
        check=Range(0, 2**60),
    )
    max_log_in_days: int = setting(
        "int",
        "A log-in ends after so many days, however often it is continued by a refresh token",
        example="30",
        default=30,
        check=Range(1, 3_650),
    )
    admin_email: str = setting(
        "str",
        "E-mail address of the first admin, whom `flask --app app setup` makes",
        example="admin@example.com",
        default="",
    )
    admin_password: str = setting("str", "Password of the first admin", example="a few words", default="", secret=True)
    admin_api_key: str = setting(
        "str",
        "An API key for the first admin: tl_ and 43 random characters",
        example="tl_ and the output of: openssl rand -base64 32 | tr +/ -_ | tr -d =",
        default="",
        check=check_api_key,
        secret=True,
    )

    @property
    def max_log_in(self) -> timedelta:
        """How long a log-in lasts at most."""
        return timedelta(days=self.max_log_in_days)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """Every key whose signatures are accepted; the first one signs."""
        return (self.secret_key, self.secret_key_previous) if self.secret_key_previous else (self.secret_key,)

    @property
    def lets_new_accounts_out(self) -> bool:
        """Whether an account that no admin has decided about may reach outside."""
        said = self.new_accounts_reach_outside
        return said == "open" if said else self.app_env != "production"
