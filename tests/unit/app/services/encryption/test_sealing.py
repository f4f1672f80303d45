"""Payloads of sensitive types, encrypted at rest."""

import base64
from copy import deepcopy
from uuid import UUID

import pytest

from app.errors import Refused
from app.services.encryption import sealing
from app.services.encryption.sealing import MARK, CannotOpen, opened, sealed

TASK, OTHER = UUID(int=1), UUID(int=2)
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
OLD_KEYS, BOTH, NEW_KEYS = sealing.keys(OLD), sealing.keys(f"{NEW},{OLD}"), sealing.keys(NEW)


@pytest.mark.parametrize("value", [None, "secret", 5, {"card": "4111 1111", "list": [1, None, "ü"]}])
def test_a_sealed_value_opens_again(value):
    assert opened(sealed(value, TASK, "payload", keys=OLD_KEYS), TASK, "payload", keys=OLD_KEYS) == value


def test_a_sealed_value_shows_nothing_of_itself():
    assert "4111" not in str(sealed({"card": "4111"}, TASK, "payload", keys=OLD_KEYS))


def test_equal_values_do_not_look_equal():
    assert sealed("x", TASK, "payload", keys=OLD_KEYS) != sealed("x", TASK, "payload", keys=OLD_KEYS)


def test_an_old_key_still_opens_while_a_new_one_seals():
    old, new = sealed("x", TASK, "payload", keys=OLD_KEYS), sealed("x", TASK, "payload", keys=BOTH)

    assert opened(old, TASK, "payload", keys=BOTH) == "x"
    assert opened(new, TASK, "payload", keys=NEW_KEYS) == "x"
    with pytest.raises(CannotOpen, match="not among PAYLOAD_KEYS"):
        opened(old, TASK, "payload", keys=NEW_KEYS)


@pytest.mark.parametrize(("task", "column"), [(OTHER, "payload"), (TASK, "result")])
def test_a_value_that_was_moved_does_not_open(task, column):
    box = sealed("x", TASK, "payload", keys=OLD_KEYS)

    with pytest.raises(CannotOpen):
        opened(box, task, column, keys=OLD_KEYS)


def test_a_value_that_was_changed_does_not_open():
    box = deepcopy(sealed("x", TASK, "payload", keys=OLD_KEYS))
    data = bytearray(base64.b64decode(box[MARK]["data"]))
    data[-1] ^= 1
    box[MARK]["data"] = base64.b64encode(data).decode()

    with pytest.raises(CannotOpen):
        opened(box, TASK, "payload", keys=OLD_KEYS)


def test_nothing_is_stored_in_the_clear_where_no_key_is_configured():
    with pytest.raises(Refused, match="no PAYLOAD_KEYS"):
        sealed("x", TASK, "payload", keys=())


def test_a_value_from_before_its_type_became_sensitive_is_returned_as_it_is():
    assert opened({"card": 1}, TASK, "payload", keys=()) == {"card": 1}


def test_keys_are_taken_in_both_alphabets_of_base64():
    raw = bytes(range(223, 255))
    standard, urlsafe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().strip("=")

    assert sealing.keys(standard)[0].name == sealing.keys(urlsafe)[0].name
