"""Middleware: what a request says of who sent it is believed of our proxies, and of nobody else."""

import pytest

from app.web.middleware import TrustedProxies

PROXY, OTHER_PROXY, CLIENT, STRANGER = "10.0.0.2", "10.0.0.3", "198.51.100.7", "203.0.113.9"


def seen(peer: str, networks=("10.0.0.0/8",), **headers: str) -> dict[str, str]:
    """The environment that the application gets."""
    reached = []
    application = TrustedProxies(lambda environ, _: reached.append(environ) or [], networks)
    application({"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", **headers}, lambda *_: None)
    return reached[0]


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (CLIENT, CLIENT),
        (f"{STRANGER}, {CLIENT}", CLIENT),  # what stands further left, the client may have written itself
        (f"{CLIENT}, {OTHER_PROXY}", CLIENT),
        (f"{CLIENT}, no address", PROXY),
        ("", PROXY),
        (" , ", PROXY),
        ("::ffff:198.51.100.7", CLIENT),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_behind_a_proxy_of_ours_the_nearest_other_address_is_the_caller(forwarded, address):
    assert seen(PROXY, HTTP_X_FORWARDED_FOR=forwarded)["REMOTE_ADDR"] == address


@pytest.mark.parametrize("networks", [("10.0.0.0/8",), ()])
def test_whoever_is_no_proxy_of_ours_cannot_say_who_it_is(networks):
    environ = seen(STRANGER, networks, HTTP_X_FORWARDED_FOR=CLIENT, HTTP_X_FORWARDED_PROTO="https")

    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (STRANGER, "http")


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("HTTPS ", "https"), ("http, https", "https"), ("gopher", "http"), ("", "http")],
)
def test_a_proxy_of_ours_says_whether_the_connection_was_encrypted(said, scheme):
    assert seen(PROXY, HTTP_X_FORWARDED_PROTO=said)["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize("peer", [PROXY, STRANGER])
def test_the_application_sees_no_forwarded_header(peer):
    names = ("FOR", "PROTO", "HOST", "PREFIX", "PORT")
    headers = {f"HTTP_X_FORWARDED_{name}": "evil.example" for name in names} | {"HTTP_FORWARDED": "for=1.2.3.4"}

    assert not [name for name in seen(peer, **headers) if "FORWARDED" in name]
