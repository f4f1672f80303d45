"""send_email to addresses as people have them, over a real SMTP server; and what a mail must have beside them."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import get_type
from tasks.handlers.send_email import send_email, undo_send_email
from tasks.mail import MailRefused
from tests.support.fake_task import FakeTask
from tests.support.servers.mail_server import MailServer

HELLO = {"to": "ann@example.org", "subject": "Hello", "text": "It works."}
LONG_DOMAIN = ".".join(["d" * 60] * 3) + ".org"


def load(**changed):
    return get_type("send_email").payload.load({**HELLO, **changed})


def sent(server: MailServer, *, mail_from: str = "Shop <shop@example.org>", **changed) -> EmailMessage:
    """Send it; returns what the server got, as a reader has it."""
    task = FakeTask(settings={"SMTP_URL": server.url, "MAIL_FROM": mail_from})
    send_email(task, load(**changed))
    return message_from_bytes(server.received[-1][1], _class=EmailMessage, policy=default)


@pytest.mark.parametrize(
    "address",
    [
        "maximiliana.schwarzenbergerova@example.org",
        "john.vandenberghe-dubois@example.org",
        "first.second.third.fourth@example.org",
        "018f3c5e-7d2a-7000-8000-0123456789ab@example.org",
        "ann+invoices+2026@example.org",
        "a-b--c_d@sub-domain.very.deep.tree.of.names.in.a.large.company.example.org",
        "l" * 64 + "@example.org",
        f"ann@{LONG_DOMAIN}",
        "o'neil@example.org",
        "Ann@Example.ORG",
        "ann@localhost",
        "ann@mail.test",
        "ann@xn--bcher-kva.example",
    ],
)
def test_an_address_as_people_have_it_gets_its_mail(address):
    with MailServer() as server:
        message = sent(server, to=address)

    assert server.received[0][0] == [address]
    assert message["To"].addresses[0].addr_spec == address


@pytest.mark.parametrize(
    "address",
    [
        "l" * 65 + "@example.org",
        "ann@" + "d" * 64 + ".org",
        f"{'l' * 64}@dddd.{LONG_DOMAIN}",
        "ann..b@example.org",
        ".ann@example.org",
        "ann@example..org",
        "ann@-example.org",
        "ann@[127.0.0.1]",
        "ann@exa_mple.org",
        "@example.org",
        "ann",
        "ann@exa mple.org",
        "ann@example.org ",
        "ann\u2028@example.org",
        "a" * 200_000 + "!",
        "a." * 100_000 + "@",
    ],
)
def test_what_is_no_address_is_refused_and_told_why(address):
    with pytest.raises(PayloadRefused, match="is no e-mail address"):
        load(to=address)


@pytest.mark.parametrize("address", ["ann@bücher.example", "Ann <ann@BÜCHER.example>"])
def test_a_domain_in_other_letters_is_sent_in_ascii_to_any_relay(address):
    with MailServer() as server:
        message = sent(server, to=address)

    assert server.received[0][0] == ["ann@xn--bcher-kva.example"]
    assert message["To"].addresses[0].domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('"Ada Lovelace" <ada@example.org>', "Ada Lovelace"),
        ("Ada Lovelace <ada@example.org>", "Ada Lovelace"),
        ('"Lovelace, Ada" <ada@example.org>', "Lovelace, Ada"),
        (r'"Ada \"the\" Countess" <ada@example.org>', 'Ada "the" Countess'),
        ("Łucja Żółć <ada@example.org>", "Łucja Żółć"),
        ("<ada@example.org>", ""),
    ],
)
def test_a_name_before_an_address_is_shown(said, name):
    with MailServer() as server:
        message = sent(server, to=[said, "Ada@example.org", "ada@example.org"], cc=said)

    assert server.received[0][0] == ["ada@example.org", "Ada@example.org"]
    assert [(each.display_name, each.addr_spec) for each in message["Cc"].addresses] == [(name, "ada@example.org")]


def test_a_local_part_in_other_letters_is_sent_where_the_relay_offers_smtputf8():
    with MailServer(smtputf8=True) as server:
        message = sent(server, to="Jörg <jörg@bücher.example>", subject="Grüße")

    assert server.received[0][0] == ["jörg@xn--bcher-kva.example"]
    assert "To: Jörg <jörg@xn--bcher-kva.example>\r\n".encode() in server.received[0][1]
    assert message["Subject"].encode(errors="surrogateescape").decode() == "Grüße"


def test_without_smtputf8_such_an_address_is_refused_for_good_and_told_why():
    with (
        MailServer() as server,
        pytest.raises(MailRefused, match=r"jörg@example\.org needs a mail relay with SMTPUTF8"),
    ):
        sent(server, to=["ann@example.org", "jörg@example.org"])

    assert server.received == []


def test_a_sender_in_other_letters_is_sent_too():
    with MailServer() as server:
        message = sent(server, mail_from="Bücher & Co <shop@bücher.example>")

    assert str(message["From"]) == "Bücher & Co <shop@xn--bcher-kva.example>"
    assert message["Message-ID"].endswith("@xn--bcher-kva.example>")


def test_the_date_is_the_moment_of_the_attempt():
    with MailServer() as server:
        message = sent(server)

    assert abs(parsedate_to_datetime(message["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(message.get_all("Date")) == 1


def test_the_mail_of_an_undo_has_a_date_too():
    with MailServer() as server:
        task = FakeTask(settings={"SMTP_URL": server.url, "MAIL_FROM": "shop@example.org"})
        undo_send_email(task, load(to="Ann <ann@example.org>"), {"message_id": "<1@example.org>"})

    assert b"\r\nDate: " in server.received[0][1]


def test_a_mail_in_html_only_has_its_words_as_text():
    html = (
        "<html><head><title>T</title><style>p{}</style></head><body>"
        "<h1>Your invoice</h1><p>Ten&nbsp;euros &amp;\n  more.<br>Bye</p>"
    )
    with MailServer() as server:
        message = sent(
            server,
            text="",
            html=html + '<p>See <a href="https://example.org/7">here</a>.</p><script>x()</script></body></html>',
        )

    words = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert words == "Your invoice\n\nTen euros & more.\nBye\n\nSee here <https://example.org/7>.\n"
    assert "<h1>Your invoice</h1>" in message.get_body(("html",)).get_content()


def test_a_text_that_was_given_is_kept_beside_the_html():
    with MailServer() as server:
        message = sent(server, text="Mine.", html="<p>Theirs.</p>")

    assert message.get_body(("plain",)).get_content().strip() == "Mine."


@pytest.mark.parametrize("text", ["é" * 5000, "x" * 5000, "Zażółć\n" * 200, "=?utf-8?q?a?= \t end "])
def test_a_body_travels_in_ascii_and_short_lines_and_arrives_as_it_was(text):
    with MailServer() as server:
        message = sent(server, text=text, subject="ż" * 200, html=f"<p>{text}</p>")

    raw = server.received[0][1]
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 100
    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n") == text.rstrip("\n") + "\n"
    assert message["Subject"] == "ż" * 200


def test_the_name_of_a_file_cannot_add_a_header():
    with MailServer() as server:
        task = FakeTask(settings={"SMTP_URL": server.url, "MAIL_FROM": "shop@example.org"})
        made = task.artifacts.save("=?utf-8?q?a=0AX-Evil:_yes?=.pdf", "application/pdf", b"%PDF")
        send_email(task, load(attachments=[str(made.id)]))

    assert b"\nX-Evil" not in server.received[0][1]
