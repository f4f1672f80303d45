"""The address of a service: what may be given, and where a key may travel without TLS. Pure."""

from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from taskledger_sdk.http.errors import NotConfigured

API = "/api/v1"


def base_url_of(text: str, *, may_be_plain: bool = False) -> str:
    """The address without /api/v1 and without a slash at its end.

    Raises NotConfigured for what is no http:// or https:// URL, for one with a name and password in it, and for plain
    http:// to another machine unless `may_be_plain`: everybody on the way could read the API key.
    """
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise NotConfigured(f"{_shown(text)} is no address of a service: give one such as https://tasks.example.org.")
    if parts.username or parts.password:
        raise NotConfigured(
            f"An address must not hold a name or a password: give {parts.scheme}://{host} and log in with an API key."
        )
    if parts.query or parts.fragment:
        raise NotConfigured(
            f"{_shown(text)} has a ? or a #, which an address of a service does not have: leave it out."
        )
    if parts.scheme == "http" and not may_be_plain and not is_loopback(host):
        raise NotConfigured(
            f"{parts.scheme}://{parts.netloc} is another machine, and without TLS everybody on the way can read the "
            f"API key: give https://{parts.netloc}, or --insecure-http (TASKLEDGER_INSECURE_HTTP=1) where the network "
            "is yours alone."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix(API).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def path_of(*parts: object) -> str:
    """A path below /api/v1; what varies is quoted, so that a name with a slash or a space stays one part."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _shown(text: str) -> str:
    """As it may be repeated: without what might be a password."""
    return repr(text.rpartition("@")[2])[:200]
