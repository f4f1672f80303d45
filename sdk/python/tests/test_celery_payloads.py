"""Calls, results, failures and notes of Celery tasks as JSON."""

import datetime
import decimal
import json
import uuid

import pytest

celery = pytest.importorskip("celery")

from taskledger_sdk.celery import ids, payloads  # noqa: E402  (where Celery is installed)
from taskledger_sdk.celery.payloads import Failure, Note, NotJson  # noqa: E402
from taskledger_sdk.registry import TYPE_NAME  # noqa: E402

VALUES = [
    None,
    True,
    1.5,
    "héllo",
    datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC),
    datetime.date(2026, 3, 1),
    datetime.time(12, 30),
    decimal.Decimal("1.50"),
    uuid.UUID(int=7),
    b"\xff\x00",
    {"a": [1, {"b": decimal.Decimal(2)}]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_as_it_was_written(value):
    written = json.loads(json.dumps(payloads.encode(value, "it")))

    assert payloads.decode(written) == value


def test_tuples_become_lists_and_keys_become_texts():
    assert payloads.encode({1: (2, 3), None: ()}, "it") == {"1": [2, 3], "null": []}


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1, {2}), {}, "argument 2 is a set"),
        ((), {"to": [{"a": object()}]}, r"argument 'to'\[0\]\['a'\] is of the type object"),
        ((float("nan"),), {}, "argument 1 is nan"),
        (("\x00",), {}, "argument 1 holds a NUL"),
        (("\ud800",), {}, "argument 1 holds half of a surrogate pair"),
        (({(1, 2): 3},), {}, "argument 1 has a key of the type tuple"),
    ],
)
def test_what_cannot_be_written_is_named_by_its_place(args, kwargs, words):
    with pytest.raises(NotJson, match=words):
        payloads.encode_call(args, kwargs)


def test_a_call_is_read_as_it_was_written():
    payload = payloads.encode_call((1, b"x"), {"at": datetime.date(2026, 1, 1)}, {"headers": {"a": 1}})

    read = payloads.decode_call(json.loads(json.dumps(payload)))

    assert (read.args, read.kwargs) == ([1, b"x"], {"at": datetime.date(2026, 1, 1)})
    assert read.options == {"headers": {"a": 1}}


class Declined(Exception):
    """An error of an application."""


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), ValueError(), KeyError("x"), Declined("no funds", 17), FileNotFoundError(2, "no such file")],
    ids=repr,
)
def test_an_exception_is_restored_from_its_failure(error):
    backend = celery.Celery("restore", backend="cache+memory://", set_as_current=False).backend

    restored = backend.exception_to_python(payloads.exception_parts(payloads.failure_of(error)))

    assert (type(restored), restored.args) == (type(error), error.args)


def test_the_message_of_a_failure_is_for_people():
    failure = payloads.failure_of(Declined("no funds", 17))

    assert failure.type.endswith(".Declined")
    assert payloads.message_of(failure) == "('no funds', 17)"


def test_a_failure_that_is_too_long_is_cut_and_still_read():
    failure = payloads.failure_of(KeyError("x" * 20_000))

    parts = payloads.exception_parts(failure)

    assert len(failure.message) == payloads.MAX_MESSAGE_CHARACTERS
    assert parts["exc_type"] == "KeyError"


def test_an_exception_whose_text_fails_does_not_hide_itself():
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert payloads.failure_of(Silent(1)).message.startswith("<Silent without a text>")


def test_the_name_of_a_class_within_a_class_is_found():
    assert payloads.exception_parts(Failure(type="json.decoder.JSONDecodeError", message="x"))["exc_module"] == (
        "json.decoder"
    )


@pytest.mark.parametrize(
    "note",
    [Note(), Note(state="PROGRESS", meta={"current": 1}), Note(children=[[["a", None], None]])],
    ids=["nothing", "a state", "children"],
)
def test_a_note_is_read_as_it_was_written(note):
    assert payloads.read_note(payloads.write_note(note)) == note


def test_a_note_that_is_too_long_loses_its_meta_first():
    note = Note(state="PROGRESS", meta="x" * 3_000, children=[[["a", None], None]])

    assert payloads.read_note(payloads.write_note(note)) == Note(state="PROGRESS", children=note.children)


@pytest.mark.parametrize("message", ["drawing breath", "", None, "{half"])
def test_a_message_that_is_no_note_is_an_empty_one(message):
    assert payloads.read_note(message) == Note()


@pytest.mark.parametrize(
    ("meta", "fraction"), [({"current": 1, "total": 4}, 0.25), ({"current": 9, "total": 4}, 1.0), ({}, 0.0), (7, 0.0)]
)
def test_current_of_total_is_a_fraction(meta, fraction):
    assert payloads.fraction_of(meta) == fraction


@pytest.mark.parametrize(
    "task", ["proj.tasks.Add", "__main__.add", "do it", "x" * 80, "proj.tasks.add-v2", "7up.drink", "ä"]
)
def test_any_task_has_the_name_of_a_type(task):
    assert TYPE_NAME.fullmatch(payloads.type_name(task))


def test_names_that_the_ledger_takes_stay_and_others_stay_apart():
    assert payloads.type_name("proj.tasks.add") == "proj.tasks.add"
    assert payloads.type_name("proj.tasks.Add") != payloads.type_name("proj.tasks.aDD")
    assert payloads.type_name("proj.tasks.add", "slow") != payloads.type_name("proj.tasks.add")


def test_the_id_of_a_step_leads_to_its_run():
    run = ids.new_run_id()

    assert ids.step_of(str(ids.step_id(run, 1_000))) == (run, 1_000)
    assert ids.step_of(str(run)) is None


def test_the_id_of_a_task_is_that_of_no_step():
    id_ = ids.new_task_id()

    assert id_.version == 7
    assert ids.step_of(str(id_)) is None
    assert ids.as_chosen(str(id_)) == id_


@pytest.mark.parametrize(
    "text", ["6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "import-7", "018f3c5e-7d2a-7000-8000-0123456789ab"]
)
def test_other_ids_are_none_that_the_ledger_takes(text):
    assert ids.as_chosen(text) is None
