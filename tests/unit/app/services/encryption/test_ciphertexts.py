"""Payloads of sensitive types, encrypted at rest."""

import base64
from copy import deepcopy
from uuid import UUID

import pytest

from app.errors import Refused
from app.services.encryption import ciphertexts
from app.services.encryption.ciphertexts import MARK, CannotDecrypt, decrypted, encrypted

TASK, OTHER = UUID(int=1), UUID(int=2)
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
OLD_KEYS, BOTH, NEW_KEYS = ciphertexts.keys(OLD), ciphertexts.keys(f"{NEW},{OLD}"), ciphertexts.keys(NEW)


@pytest.mark.parametrize("value", [None, "secret", 5, {"card": "4111 1111", "list": [1, None, "ü"]}])
def test_an_encrypted_value_is_decrypted_again(value):
    assert decrypted(encrypted(value, TASK, "payload", keys=OLD_KEYS), TASK, "payload", keys=OLD_KEYS) == value


def test_an_encrypted_value_shows_nothing_of_itself():
    assert "4111-1111" not in str(encrypted({"card": "4111-1111"}, TASK, "payload", keys=OLD_KEYS))


def test_equal_values_do_not_look_equal():
    assert encrypted("x", TASK, "payload", keys=OLD_KEYS) != encrypted("x", TASK, "payload", keys=OLD_KEYS)


def test_an_old_key_still_decrypts_while_a_new_one_encrypts():
    old, new = encrypted("x", TASK, "payload", keys=OLD_KEYS), encrypted("x", TASK, "payload", keys=BOTH)

    assert decrypted(old, TASK, "payload", keys=BOTH) == "x"
    assert decrypted(new, TASK, "payload", keys=NEW_KEYS) == "x"
    with pytest.raises(CannotDecrypt, match="not among PAYLOAD_KEYS"):
        decrypted(old, TASK, "payload", keys=NEW_KEYS)


@pytest.mark.parametrize(("task", "column"), [(OTHER, "payload"), (TASK, "result")])
def test_a_value_that_was_moved_does_not_open(task, column):
    box = encrypted("x", TASK, "payload", keys=OLD_KEYS)

    with pytest.raises(CannotDecrypt):
        decrypted(box, task, column, keys=OLD_KEYS)


def test_a_value_that_was_changed_does_not_open():
    box = deepcopy(encrypted("x", TASK, "payload", keys=OLD_KEYS))
    data = bytearray(base64.b64decode(box[MARK]["data"]))
    data[-1] ^= 1
    box[MARK]["data"] = base64.b64encode(data).decode()

    with pytest.raises(CannotDecrypt):
        decrypted(box, TASK, "payload", keys=OLD_KEYS)


def test_nothing_is_stored_in_the_clear_where_no_key_is_configured():
    with pytest.raises(Refused, match="no PAYLOAD_KEYS"):
        encrypted("x", TASK, "payload", keys=())


def test_a_value_from_before_its_type_became_sensitive_is_returned_as_it_is():
    assert decrypted({"card": 1}, TASK, "payload", keys=()) == {"card": 1}


def test_keys_are_taken_in_both_alphabets_of_base64():
    raw = bytes(range(223, 255))
    standard, urlsafe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().strip("=")

    assert ciphertexts.keys(standard)[0].name == ciphertexts.keys(urlsafe)[0].name
