"""How a handler becomes a task type, and what fails at import instead of at the first payload."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk import RetryPolicy, TaskContext, registry, rule, task_type
from taskledger_sdk.errors import BadDeclaration, UnknownTaskType
from taskledger_sdk.registry import get_type, load_types


@pytest.fixture(autouse=True)
def known(_own_types) -> None:
    """A type that there is."""

    @task_type("known_type")
    def known_type(task: TaskContext, payload: str) -> str:
        """Say it back."""
        return payload


def declare(annotation: Any = str, name: str = "shout", **options: Any) -> Any:
    def shout(task: TaskContext, payload: annotation) -> str:
        """Say it
        loudly.

        And then again.
        """
        return payload

    return task_type(name, **options)(shout)


def test_types_are_found_in_the_order_of_their_names():
    declare(name="a_type")

    assert list(load_types()) == sorted(load_types())
    assert {"a_type", "known_type"} <= set(load_types())


def test_the_types_are_looked_for_once():
    assert load_types() is load_types()


def test_the_found_types_cannot_be_changed_by_who_asks_for_them():
    with pytest.raises(TypeError):
        load_types()["mine"] = get_type("known_type")


def test_an_unknown_name_suggests_a_known_one():
    with pytest.raises(UnknownTaskType, match="did you mean 'known_type'"):
        get_type("known_types")


def test_a_declared_handler_stays_a_plain_function():
    assert declare()(None, "hello") == "hello"


def test_a_type_declared_after_the_first_look_is_found():
    load_types()
    declare()

    assert get_type("shout").payload.load("hello") == "hello"


def test_the_docstring_becomes_summary_and_description():
    declare()

    assert (get_type("shout").summary, get_type("shout").description) == ("Say it loudly.", "And then again.")


def test_options_left_out_have_their_defaults():
    declare()
    shout = get_type("shout")

    assert (shout.retry, shout.timeout_seconds, shout.grace_seconds) == (RetryPolicy(), 300, 10)
    assert (shout.queue, shout.chunk, shout.lease_seconds, shout.settings) == ("tasks", 1, None, ())


def test_the_schema_hash_changes_with_the_schema_only():
    declare(Annotated[str, rule(Length(max=3))], name="a1")
    declare(Annotated[str, rule(Length(max=3))], name="a2", queue="other")
    declare(Annotated[str, rule(Length(max=4))], name="a3")
    hashes = [get_type(name).schema_hash for name in ("a1", "a2", "a3")]

    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Shout"}, "a-z"),
        ({"name": "x" * 64}, "up to 63"),
        ({"name": "1st"}, "a letter first"),
        ({"name": "known_type"}, "again in .*rename one"),
        ({"timeout": 5}, "unknown option timeout; did you mean timeout_seconds?"),
        ({"colour": "red"}, "unknown option colour; known: retry, "),
        ({"timeout_seconds": 0}, "at least 1"),
        ({"timeout_seconds": 604_801}, "at most 604800 "),
        ({"grace_seconds": 0}, "at least 1"),
        ({"grace_seconds": 3601}, "at most 3600"),
        ({"lease_seconds": 4}, "at least 5"),
        ({"queue": "Tasks!"}, "queue='Tasks!'"),
        ({"chunk": 10}, "give both"),
        ({"chunk": 0}, "give both"),
        ({"max_seconds_each": 0.1}, "give both"),
        ({"chunk": 10, "max_seconds_each": 2}, "at most 1"),
        ({"settings": "SMTP_URL"}, "give a tuple"),
        ({"examples": "hello"}, "give a tuple"),
        ({"examples": (5,)}, "the example 5 is refused .*must be a string"),
    ],
)
def test_a_wrong_option_fails_at_import_and_says_what_to_do(options, message):
    with pytest.raises(BadDeclaration, match=message):
        declare(**options)


def test_a_failed_declaration_registers_nothing():
    with pytest.raises(BadDeclaration):
        declare(examples=(5,))

    assert "shout" not in load_types()


def no_payload(task: TaskContext) -> None: ...
def bare_payload(task: TaskContext, payload) -> None: ...
def missing_import(task: TaskContext, payload: "Unimported") -> None: ...  # noqa: F821
async def one_by_one(task: TaskContext, payload: str) -> AsyncIterator[str]:
    yield payload


def in_pieces(task: TaskContext, payload: str) -> Iterator[str]:
    yield payload


async def undo_in_pieces(task: TaskContext, payload: str, result: str) -> AsyncIterator[str]:
    yield result


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (no_payload, "takes 1 parameters instead of 2; write def no_payload"),
        (bare_payload, "'payload' has no annotation"),
        (missing_import, "'Unimported' is not defined; import it outside of TYPE_CHECKING"),
        (one_by_one, f"its handler {__name__}.one_by_one has a yield.*; return the result"),
        (in_pieces, f"its handler {__name__}.in_pieces has a yield.*; return the result"),
    ],
)
def test_a_handler_of_another_shape_fails_at_import(handler, message):
    with pytest.raises(BadDeclaration, match=message):
        task_type("shout")(handler)


def test_an_undo_that_yields_fails_at_import():
    with pytest.raises(BadDeclaration, match=f"its undo {__name__}.undo_in_pieces has a yield"):
        declare(undo=undo_in_pieces)


def test_a_coroutine_function_is_a_handler_and_stays_what_it_is():
    async def whisper(task: TaskContext, payload: str) -> str:
        """Say it in lower case."""
        return payload.lower()

    assert task_type("whisper")(whisper) is whisper
    assert (get_type("whisper").handler, get_type("whisper").summary) == (whisper, "Say it in lower case.")


@dataclass
class Thawed:
    name: str


@dataclass(frozen=True, kw_only=True)
class Endless:
    inner: "Endless | None" = None


@dataclass(frozen=True, kw_only=True)
class WrongDefault:
    count: Annotated[int, rule(Range(min=1))] = 0


@dataclass(frozen=True, kw_only=True)
class WrongNull:
    count: int = None


@dataclass(frozen=True, kw_only=True)
class WrongExample:
    count: int = rule(examples=("3",))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (bytes, "payload: <class 'bytes'> is no type of a payload; use str"),
        (list, "is no type of a payload"),
        (dict, "is no type of a payload"),
        (tuple[int, str], "is no type of a payload"),
        (int | str, "cannot be told apart"),
        (Thawed | str, "cannot be told apart"),
        (WrongExample | Endless, "found|the example"),
        (dict[int, str], "keys of a JSON object are strings"),
        (Annotated[str, Length(max=3)], "write rule"),
        (Annotated[int, rule(Length(max=3))], "Length cannot judge Whole; it is for Text and Items and Entries"),
        (Annotated[str, rule(Range(min=3))], "Range cannot judge Text"),
        (Annotated[str, rule(Regexp("a", 2))], "JSON Schema has no flags"),
        (list[set[int]], r"payload\[\]: set\[int\] is no type"),
        (Thawed, r"frozen=True, kw_only=True\) above Thawed"),
        (Endless, "payload.inner: Endless contains itself"),
        (WrongDefault, "payload.count: the default 0 is refused"),
        (WrongNull, "payload.count: the default None is refused"),
        (WrongExample, "payload.count: the example '3' is refused"),
    ],
)
def test_a_payload_that_cannot_be_said_strictly_fails_at_import(annotation, message):
    with pytest.raises(BadDeclaration, match=message):
        declare(annotation)


def test_declaring_a_type_does_not_load_what_describes_it():
    program = (
        "import sys; from taskledger_sdk import TaskContext, task_type\n"
        "def shout(task: TaskContext, payload: str) -> str: ...\n"
        "task_type('shout')(shout)\n"
        "print([name for name in ('apispec', 'httpx2', 'click') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


def test_a_type_that_is_gone_is_found_to_be_so():
    assert registry.find_type("no_such_type") is None
    assert registry.find_type("known_type") is registry.get_type("known_type")
