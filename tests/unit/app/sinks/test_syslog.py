"""Entries as syslog messages: what RFC 5424 asks of them, whatever an entry holds."""

import json
import re

import pytest

from app.sinks.audit import syslog

ENTRY = {
    "id": 7,
    "at": "2026-01-31T09:00:00.250000Z",
    "action": "user.changed",
    "actor_id": None,
    "detail": {"role": "admin", "name": "Zoë\n"},
}
GRAMMAR = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) "
    rb"([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) - ([\x20-\x7e]+)"
)
"""HEADER, nil STRUCTURED-DATA and a MSG in ASCII, of RFC 5424, section 6."""


def test_a_message_is_the_header_and_the_entry():
    assert syslog.message(ENTRY, host="ledger-1") == (
        b"<109>1 2026-01-31T09:00:00.250000Z ledger-1 taskledger - user.changed - "
        b'{"id":7,"at":"2026-01-31T09:00:00.250000Z","action":"user.changed","actor_id":null,'
        b'"detail":{"role":"admin","name":"Zo\\u00eb\\n"}}'
    )


@pytest.mark.parametrize(
    ("action", "message_id"),
    [
        ("user.changed", b"user.changed"),
        ("two words\n<0>1 - forged", b"two_words_<0>1_-_forged"),
        ("é" * 40, b"_" * 32),
        ("", b"-"),
    ],
)
def test_every_action_fits_the_grammar_and_forges_no_header(action, message_id):
    found = GRAMMAR.fullmatch(syslog.message({**ENTRY, "action": action}, host="a host"))

    assert found is not None
    assert (found[3], found[4], found[6]) == (b"a_host", b"taskledger", message_id)
    assert json.loads(found[7])["action"] == action


@pytest.mark.parametrize(("action", "severity"), [("user.login_failed", 4), ("user.logged_in", 5)])
def test_a_refused_log_in_is_a_warning_of_the_facility_for_audits(action, severity):
    found = GRAMMAR.fullmatch(syslog.message({**ENTRY, "action": action}, host="h"))

    assert found is not None
    assert divmod(int(found[1]), 8) == (13, severity)


def test_a_stream_is_divided_by_lengths_in_octets():
    assert syslog.framed(b"<109>1 x") == b"8 <109>1 x"


def test_an_entry_too_long_for_a_datagram_says_what_was_left_out():
    entry = {**ENTRY, "detail": {"ids": ["x" * 1_000] * 100}}

    sent = syslog.datagram(entry, host="h")

    assert len(sent) < 65_507 < len(syslog.message(entry, host="h"))
    assert json.loads(sent[sent.index(b"{") :])["detail"] == {"left_out_bytes": 100_309}
    assert syslog.datagram(ENTRY, host="h") == syslog.message(ENTRY, host="h")
