"""send_email against a real SMTP server: what arrives, and how refusals, drops and attacks end."""

import socket
import ssl
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.embedded.mail_catcher import Keeper
from taskledger_sdk.errors import PayloadRefused, PermanentError
from taskledger_sdk.registry import get_type
from tasks.handlers.send_email import send_email, undo_send_email
from tasks.mail import MailDeferred, MailRefused
from tests.support.fake_task import TASK_ID, FakeTask
from tests.support.servers.mail_server import MailServer
from tests.support.servers.raw_server import RawServer

HELLO = {"to": "ann@example.org", "subject": "Hello", "text": "It works."}


def task_for(url: str, **settings: str) -> FakeTask:
    return FakeTask(settings={"SMTP_URL": url, "MAIL_FROM": "Shop <shop@example.org>", **settings})


def load(**changed):
    return get_type("send_email").payload.load({**HELLO, **changed})


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, _class=EmailMessage, policy=default)


def test_a_message_arrives_with_both_bodies_and_its_files():
    with MailServer() as server:
        task = task_for(server.url)
        made = task.artifacts.save("Rechnung Łódź.pdf", "application/pdf", b"%PDF-1.4")

        send_email(task, load(subject="Zażółć €", text="Ω", html="<p>Ω</p>", attachments=[str(made.id)]))

    message = parsed(server.received[0][1])
    assert (message["Subject"], message["From"]) == ("Zażółć €", "Shop <shop@example.org>")
    assert message.get_body(("plain",)).get_content().strip() == "Ω"
    assert message.get_body(("html",)).get_content().strip() == "<p>Ω</p>"
    attached = next(message.iter_attachments())
    assert (attached.get_filename(), attached.get_content()) == ("Rechnung Łódź.pdf", b"%PDF-1.4")


def test_hidden_recipients_are_in_the_envelope_only():
    with MailServer() as server:
        result = send_email(
            task_for(server.url), load(to=["a@x.org", "b@x.org"], cc="c@x.org", bcc=["d@x.org", "a@x.org"])
        )

    envelope, content = server.received[0]
    assert envelope == ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]
    assert b"d@x.org" not in content
    assert result == {"message_id": f"<{TASK_ID}@example.org>", "recipients": 4, "relay_said": "OK, queued as 7"}


def test_every_attempt_has_the_same_message_id():
    with MailServer() as server:
        task = task_for(server.url)
        for task.attempt in (1, 2, 3):
            send_email(task, load())

    assert len({parsed(content)["Message-ID"] for _, content in server.received}) == 1


@pytest.mark.parametrize(
    ("refuse", "error"),
    [
        ({"ann@example.org": "550 5.1.1 no such user"}, MailRefused),
        ({"ann@example.org": "450 4.2.1 greylisted, come back"}, MailDeferred),
        ({"FROM": "553 5.7.1 not you"}, MailRefused),
        ({"FROM": "451 4.3.0 later"}, MailDeferred),
        ({"DATA": "554 5.6.0 spam"}, MailRefused),
        ({"DATA": "452 4.3.1 no room"}, MailDeferred),
        ({"ann@example.org": "421 4.3.2 shutting down"}, MailDeferred),
    ],
)
def test_refusals_for_good_and_for_now_are_told_apart(refuse, error):
    with MailServer(refuse=refuse) as server, pytest.raises(error, match=next(iter(refuse.values()))[4:]):
        send_email(task_for(server.url), load())


def test_only_a_refusal_for_good_is_permanent():
    assert issubclass(MailRefused, PermanentError)
    assert not issubclass(MailDeferred, PermanentError)


def test_when_one_recipient_is_refused_nobody_gets_the_message():
    with MailServer(refuse={"bad@example.org": "450 4.2.1 later"}) as server, pytest.raises(MailDeferred, match="bad@"):
        send_email(task_for(server.url), load(cc=["bad@example.org"]))

    assert server.received == []


@pytest.mark.parametrize("moment", ["RCPT", "DATA"])
def test_a_dropped_connection_is_tried_again(moment):
    with MailServer(drop_at=moment) as server, pytest.raises(MailDeferred, match="broke off"):
        send_email(task_for(server.url), load())


@pytest.mark.parametrize("pieces", [[b"garbage\r\n"], [b"554 5.3.2 go away\r\n"], []])
def test_what_is_no_mail_relay_is_an_error_of_this_attempt_or_final(pieces):
    with RawServer(pieces, speaks_first=True) as server, pytest.raises((MailDeferred, MailRefused)):
        send_email(task_for(f"smtp://127.0.0.1:{server.port}"), load())


def test_a_relay_that_is_away_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(MailDeferred, match="refused"):
        send_email(task_for(f"smtp://127.0.0.1:{port}"), load())


def test_the_log_in_of_the_url_is_used():
    with MailServer(login=("me", "p@ss")) as server:
        send_email(task_for(server.url.replace("p@ss", "p%40ss")), load())

    assert server.logged_in == [True]


def test_a_wrong_log_in_is_final_and_does_not_tell_the_password():
    with MailServer(login=("me", "right")) as server, pytest.raises(MailRefused, match="refused the log-in") as refusal:
        send_email(task_for(server.url.replace("right", "wrong-one")), load())

    assert "wrong-one" not in str(refusal.value)


def test_a_password_is_not_sent_in_the_clear_to_another_machine(monkeypatch):
    with MailServer(login=("me", "secret")) as server:
        real = socket.getaddrinfo
        local = {"relay.test": "127.0.0.1"}
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real(local.get(host, host), *a, **k))

        with pytest.raises(PermanentError, match="offers no encryption"):
            send_email(task_for(server.url.replace("127.0.0.1", "relay.test")), load())

    assert server.logged_in == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def tls_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("tls_from_start", [False, True], ids=["STARTTLS", "smtps"])
def test_mail_is_encrypted_where_the_relay_can(certificate, monkeypatch, tls_from_start):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with MailServer(tls=tls_context(certificate), tls_from_start=tls_from_start) as server:
        send_email(task_for(server.url), load())

    assert len(server.received) == 1


@pytest.mark.parametrize("tls_from_start", [False, True], ids=["STARTTLS", "smtps"])
def test_a_relay_whose_certificate_is_not_trusted_gets_nothing(certificate, tls_from_start):
    with (
        MailServer(tls=tls_context(certificate), tls_from_start=tls_from_start) as server,
        pytest.raises(MailDeferred, match="certificate verify failed"),
    ):
        send_email(task_for(server.url), load())

    assert server.received == []


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "Hi\r\nBcc: victim@example.org"},
        {"subject": "Hi\nX: y"},
        {"subject": "Hi\x85Bcc: v"},
        {"subject": "Hi\u2028Bcc: v"},
        {"subject": "Hi\x0bBcc: v"},
        {"subject": ""},
        {"subject": "x" * 201},
        {"to": "ann@example.org\r\nBcc: victim@example.org"},
        {"to": ["ann@example.org, victim@example.org"]},
        {"to": "Ann <ann@example.org"},
        {"to": "Ann\r\nBcc: victim@example.org <ann@example.org>"},
        {"to": '"Ann\nBcc: v@x.org" <ann@example.org>'},
        {"to": "=?utf-8?q?a=0ABcc:_v@x.org?= <ann@example.org>"},
        {"to": "Ann <ann@example.org>, Bob <bob@example.org>"},
        {"subject": "=?utf-8?q?a=0ABcc:_victim@example.org?="},
        {"subject": "=?utf-8?b?YQpCY2M6IHZAeC5vcmc=?="},
        {"to": "ann@example.org>\r\nRCPT TO:<victim@example.org"},
        {"to": "ann @example.org"},
        {"to": "ann@"},
        {"to": []},
        {"cc": ["a@b.c\n"]},
        {"attachments": ["../../etc/passwd"]},
        {"from": "ceo@example.org"},
    ],
)
def test_header_injection_and_other_nonsense_are_refused_at_submission(changed):
    with pytest.raises(PayloadRefused):
        load(**changed)


def test_a_body_cannot_end_the_message_early():
    with MailServer() as server:
        send_email(task_for(server.url), load(text="one\r\n.\r\nRCPT TO:<victim@example.org>\r\n"))

    assert parsed(server.received[0][1]).get_content().splitlines() == ["one", ".", "RCPT TO:<victim@example.org>"]
    assert len(server.received) == 1


def test_the_name_and_type_of_a_file_cannot_add_headers():
    with MailServer() as server:
        task = task_for(server.url)
        made = task.artifacts.save('a"\r\nX-Evil: 1\r\n.txt', "text/plain\r\nX-Evil: 2", b"data")

        send_email(task, load(attachments=[str(made.id)]))

    message = parsed(server.received[0][1])
    attached = next(message.iter_attachments())
    assert attached.get_content_type() == "application/octet-stream"
    assert not any(part["X-Evil"] for part in message.walk())


def test_attachments_together_are_bounded():
    task = task_for("smtp://127.0.0.1:1")
    files = [str(task.artifacts.save(name, "text/plain", b"x" * 11_000_000).id) for name in ("a", "b")]

    with pytest.raises(PermanentError, match="larger than"):
        send_email(task, load(attachments=files))


def test_an_artifact_that_is_not_there_is_final():
    with pytest.raises(PermanentError, match="no artifact"):
        send_email(task_for("smtp://127.0.0.1:1"), load(attachments=[str(uuid4())]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SMTP_URL": ""}, "SMTP_URL is not set"),
        ({"SMTP_URL": "http://x"}, "SMTP_URL is no smtp"),
        ({"SMTP_URL": "smtp://user:hidden@host:99999"}, "SMTP_URL is no smtp"),
        ({"MAIL_FROM": "nobody"}, "MAIL_FROM"),
        ({"MAIL_FROM": "a@b.c\r\nBcc: v@x.org"}, "MAIL_FROM"),
    ],
)
def test_settings_that_cannot_work_are_named_without_their_password(settings, said):
    with pytest.raises(PermanentError, match=said) as fault:
        send_email(FakeTask(settings={"SMTP_URL": "smtp://127.0.0.1:1", **settings}), load())

    assert "hidden" not in str(fault.value)


def test_undoing_sends_a_cancellation_to_everybody_who_got_it():
    with MailServer() as server:
        sent = send_email(task_for(server.url), load(bcc=["b@x.org"]))
        compensation = task_for(server.url)
        compensation.id = uuid4()

        undo_send_email(compensation, load(bcc=["b@x.org"]), sent)

    envelope, content = server.received[1]
    message = parsed(content)
    assert envelope == ["ann@example.org", "b@x.org"]
    assert (message["Subject"], message["In-Reply-To"]) == ("Cancelled: Hello", sent["message_id"])
    assert message["Message-ID"] != sent["message_id"]


def test_the_mail_catcher_keeps_a_repeated_mail_once(tmp_path):
    keeper = Keeper(tmp_path)
    content = b"Message-ID: <1@x>\r\nSubject: a\r\n\r\nhello\r\n"

    names = {keeper.keep(content, "s@x.org", ["../../evil@x.org"]) for _ in range(3)}

    assert [path.name for path in tmp_path.iterdir()] == list(names)
    assert b"X-Envelope-To: ../../evil@x.org\r\nMessage-ID: <1@x>" in next(tmp_path.iterdir()).read_bytes()


def test_an_attempt_after_the_relay_accepted_sends_nothing_and_returns_the_same():
    with MailServer() as server:
        task = FakeTask(settings={"SMTP_URL": server.url})
        payload = get_type("send_email").payload.load({"to": "ann@example.org", "subject": "Once"})

        first = send_email(task, payload)
        second = send_email(task, payload)

    assert first == second
    assert len(server.received) == 1
