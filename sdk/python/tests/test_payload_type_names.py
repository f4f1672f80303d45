"""What classes and fields are called, and that no text of a service is more than a text."""

import ast
import inspect
import json
import re

import pytest
from payload_schemas import TEXT, module_of, objects, task_type

from taskledger_sdk.client.options import as_json
from taskledger_sdk.payload_types import source
from taskledger_sdk.payload_types.names import class_name, field_names

HOSTILE = '"""\nimport os\n*/ \\" \\ ${x} \x00\x1b[2J \u2028 \ud800 </script> \\N{BEL} "'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("count_words", "CountWords"),
        ("acme.count-words", "AcmeCountWords"),
        ("HTTPRequest", "HTTPRequest"),
        ("3d_print", "T3dPrint"),
        ("żółw", "W"),
        ("日本", "Unnamed"),
    ],
)
def test_classes_are_called_in_camel_case(name, expected):
    assert class_name(name) == expected


def test_field_names_are_identifiers_each_once():
    names = [
        "class",
        "class_",
        "X-Rate",
        "X_Rate",
        "1st",
        "",
        "__private",
        "日本",
        "str",
        "TASK_TYPE",
        "ﬁle",
        "file",
        "a b",
    ]

    found = field_names(names)

    assert len(set(found)) == len(names)
    assert dict(zip(names, found, strict=True)) == {
        "class": "class_2",
        "class_": "class_",
        "X-Rate": "X_Rate2",
        "X_Rate": "X_Rate",
        "1st": "field_1st",
        "": "field_",
        "__private": "private",
        "日本": "日本",
        "str": "str_",
        "TASK_TYPE": "TASK_TYPE_",
        "ﬁle": "file2",
        "file": "file",
        "a b": "a_b",
    }


def test_names_that_meet_are_numbered_and_a_type_keeps_its_own():
    nested = objects({"b": objects({"c": TEXT})})
    shown = [
        task_type(nested, "a"),
        task_type(objects({"d": TEXT}), "a.b"),
        task_type(TEXT, "a-b"),
        task_type(TEXT, "any"),
    ]
    made = module_of(*shown)

    assert {name: made[name].TASK_TYPE for name in ("A", "AB", "AB2", "Any2")} == {
        "A": "a",
        "AB": "a-b",
        "AB2": "a.b",
        "Any2": "any",
    }
    assert as_json(made["A"](b=made["AB3"](c="x"))) == b'{"b":{"c":"x"}}'


def test_a_field_that_is_called_as_a_type_hides_none():
    fields = {
        name: {"type": "array", "items": TEXT} for name in ("list", "str", "Any", "field", "dt", "Literal", "self")
    }
    made = module_of(task_type(objects(fields)))

    order = made["AcmeOrder"](list_=["a"], str_=["b"], Any_=["c"], field_=[], dt_=[], Literal_=[], self=["d"])

    assert list(json.loads(as_json(order))) == list(fields)


@pytest.mark.parametrize(
    "text", ['"', '""', '"""', '""""', "\\", '\\"', '\\\\"', 'say "hi"', '"a"\n"b"', "a\\\nb", "a\n\n\nb"]
)
def test_a_docstring_says_what_was_said(text):
    [made] = [each for each in module_of(task_type(TEXT, description=text)).values() if hasattr(each, "TASK_TYPE")]

    assert inspect.getdoc(made) == text


def test_what_a_service_says_ends_no_text_and_runs_nothing():
    payload = objects(
        {HOSTILE: {"enum": [HOSTILE], "description": HOSTILE, "default": HOSTILE}, "b": {"$ref": HOSTILE}}
    )
    shown = task_type(payload, HOSTILE, summary=HOSTILE, description=HOSTILE, schema_hash=HOSTILE)
    python, typescript = source([shown], "python"), source([shown], "typescript")

    tree = ast.parse(python.encode())
    allowed = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.Expr)
    assert all(isinstance(each, allowed) for each in tree.body)
    imported = [each.names[0].name for each in ast.walk(tree) if isinstance(each, ast.Import)]
    assert imported == []
    [made] = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    assert all(isinstance(each, ast.AnnAssign | ast.Expr) for each in made.body)
    assert module_of(shown)[made.name].TASK_TYPE == HOSTILE
    typescript.encode()
    comments = re.sub(r"/\*.*?\*/", "", typescript, flags=re.DOTALL)
    assert "import os" not in re.sub(r'"(\\.|[^"\\])*"', "", comments)
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028\ud800]", python + typescript)
