"""What is signed and comes back is signed with HMAC-SHA-256, and nothing else is accepted for it."""

import base64
import hashlib

import pytest
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer

from app.dashboard.sessions import DashboardSessions
from app.web.requests import dry_run, pagination

SHA_1, SHA_256 = 20, 32


@pytest.fixture
def asked(application, admin):
    """A request of an admin."""
    with application.test_request_context("/api/v1/tasks", headers=admin.headers):
        application.preprocess_request()
        yield


def size_of_signature(signed: str) -> int:
    signature = signed.rpartition(".")[2]
    return len(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))


def session_signer(application, kind):
    signer = kind().get_signing_serializer(application)
    assert signer is not None
    return signer


def test_cursors_tokens_of_dry_runs_and_sessions_have_signatures_of_256_bits(asked, application):
    signed = [
        str(pagination.encode("x", "tasks")),
        dry_run.token_for("replay", {}),
        session_signer(application, DashboardSessions).dumps({"who": "x"}),
    ]

    assert {size_of_signature(each) for each in signed} == {SHA_256}


def test_what_was_signed_with_sha_1_is_refused(asked, application, settings, admin):
    old = {"digest_method": hashlib.sha1}
    cursor = URLSafeSerializer(settings.secret_key, salt="cursor.tasks", signer_kwargs=old).dumps("x")
    token = URLSafeTimedSerializer(settings.secret_key, salt="replay.None", signer_kwargs=old).dumps({})

    class Before(SecureCookieSessionInterface):
        salt = DashboardSessions.salt

    cookie = session_signer(application, Before).dumps({"who": {"user": "x"}})

    assert {size_of_signature(each) for each in (cursor, token, cookie)} == {SHA_1}
    with pytest.raises(Exception, match="is not a cursor of this list"):
        pagination.decode(cursor, "tasks")
    with pytest.raises(Exception, match="is not valid, or older"):
        dry_run.choice_in("replay", token)
    with application.test_request_context("/tasks", headers={"Cookie": f"taskledger={cookie}"}) as context:
        assert not context.session
    assert dry_run.choice_in("replay", dry_run.token_for("replay", {"count": 1})) == {"count": 1}
