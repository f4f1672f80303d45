"""Keeping secrets out of what is written down: logs, recorded errors, answers."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from urllib.parse import quote, unquote

from app.config import get_settings, words
from app.config.database_address import passwords_of as database_passwords
from app.config.production import DEFAULT_PASSWORDS, DEVELOPMENT_SECRET, split_url
from app.config.secret_files import SUFFIX, with_files
from app.errors import SettingsError
from tasks.brokers import passwords_of

HIDDEN = "[secret]"
SHORTEST = 6  # shorter ones would make holes in ordinary words, and hide nothing that a guess does not find
SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|PAYLOAD_KEYS|CREDENTIAL|BASIC_AUTH", re.I)
# What we give out ourselves and do not keep: API keys, refresh tokens, webhook secrets, access tokens.
GIVEN_OUT = r"\btlr?_[A-Za-z0-9_-]{20,}|\bwhsec_[A-Za-z0-9+/=_-]{16,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
URL_PASSWORD = r"(?<=://)[^\s/:@'\"]*:[^\s/@'\"]+(?=@)"  # noqa: S105 (a pattern)


class Scrubber:
    """Replaces every known secret in a text, and everything that has the shape of one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets if _is_worth_it(secret) for form in _forms(secret)}
        exact = [re.escape(form) for form in sorted(known, key=len, reverse=True)]
        self._pattern = re.compile("|".join([*exact, URL_PASSWORD, GIVEN_OUT]))

    def __call__(self, text: str) -> str:
        """The text without them."""
        return self._pattern.sub(HIDDEN, text)


def _is_worth_it(secret: str) -> bool:
    return len(secret) >= SHORTEST and secret != DEVELOPMENT_SECRET and secret.lower() not in DEFAULT_PASSWORDS


def _forms(secret: str) -> set[str]:
    """As it is, and as JSON, repr() and URLs write it."""
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}


def secrets_in(environ: Mapping[str, str]) -> set[str]:
    """What an environment keeps secret: values of variables with such a name, and passwords in URLs."""
    found: set[str] = set()
    for name, value in environ.items():
        if SECRET_NAME.search(name):
            found |= {value, *words(value), value.partition(":")[2]}
        if "://" in value:
            passwords = {split_url(value).password or "", *passwords_of(value), *database_passwords(value)}
            found |= passwords | {unquote(password) for password in passwords}
    return {secret for secret in found if secret}


@cache
def _scrubber() -> Scrubber:
    # every variable that ends so, also those of task types, which only their handlers read
    named = [name.removesuffix(SUFFIX) for name in os.environ if name.endswith(SUFFIX) and _may_be_secret(name)]
    secrets = secrets_in(with_files(os.environ, named)[0])
    try:
        settings = get_settings()
    except SettingsError:  # a command that needs no settings; what the environment holds is still hidden
        return Scrubber(secrets)
    return Scrubber(secrets | secrets_in({f"SECRET_{n}": value for n, value in enumerate(settings.secrets)}))


def _may_be_secret(name: str) -> bool:
    return bool(SECRET_NAME.search(name)) or name.endswith(f"_URL{SUFFIX}")


def scrub(text: str) -> str:
    """The text without this process's secrets."""
    return _scrubber()(text)


def look_again() -> None:
    """Read the secrets anew: the environment has changed."""
    _scrubber.cache_clear()
