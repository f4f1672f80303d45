"""Workflows that a package declares: what they say, and what is wrong with them."""

import pytest

from taskledger_sdk import TaskContext, ref, step, task_type, text, workflow
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.workflows import declaring, load_workflows


@pytest.fixture(autouse=True)
def shout(monkeypatch) -> None:
    """No workflows but those of the test, and a type for their steps."""
    monkeypatch.setattr(declaring, "_workflows", {})

    @task_type("acme.shout")
    def shout(task: TaskContext, payload: str) -> str:
        return payload.upper()


def declared(name: str = "greeting", *, payload: object = "hello", type_name: str = "acme.shout"):
    return workflow(
        name,
        description="Shout twice",
        inputs={"name": {"type": "string"}},
        steps={
            "one": step(type_name, payload),
            "two": step("acme.shout", text(ref("input.name"), ref("steps.one.result")), after=["one"]),
        },
    )


def test_a_declared_workflow_is_found_with_its_steps():
    made = declared()

    assert load_workflows() == {"greeting": made}
    assert list(made.definition.steps) == ["one", "two"]
    assert made.module == __name__


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"type_name": "acme.whisper"}, "acme.whisper"),
        ({"payload": 5}, "must be a string"),
        ({"payload": ref("input.nam")}, "input.nam"),
    ],
)
def test_what_is_wrong_with_one_is_said_when_it_is_looked_at(said, wrong):
    made = declared(**said)

    with pytest.raises(BadDeclaration, match=f"workflow greeting: .*{wrong}"):
        _ = made.definition


def test_a_name_is_taken_by_the_first():
    declared()
    declared()

    with pytest.raises(BadDeclaration, match="declared in test_workflows and again in test_workflows; rename one"):
        declared(payload="bye")


def test_what_is_no_name_is_refused():
    with pytest.raises(BadDeclaration, match="'a/b' is no name of a workflow"):
        declared("a/b")
