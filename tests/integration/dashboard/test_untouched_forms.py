"""A form changes what somebody touched, and nothing else: open it, send it as a browser would, compare the rows."""

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, render_template_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from app.dashboard import schema_form, schema_reading, untouched
from app.dashboard.blueprint import blueprint
from app.dashboard.untouched import MISSING
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import get_type, load_types
from tests.support.a_browser import form_with, forms
from tests.support.factories import create_schedule, make_task
from tests.support.people import make_person

MANY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TYPES = [name for name, kind in load_types().items() if kind.examples and not kind.internal]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ENDS = st.sampled_from(["", " ", "\n", "\r\n", "\r", "\t", "\n\r\n", "  ", "\u00a0", "\u2028", "\ufeff"])
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=20),
    st.builds(lambda *parts: "".join(parts), ENDS, st.text(CHARACTERS, max_size=8), ENDS, st.text(max_size=0), ENDS),
    st.sampled_from(
        ["0", "null", "true", '"quoted"', "1.0", "{", "[redacted]", "</textarea>", "&#13;&amp;", "e\u0301"]
    ),
)
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 1.0, 1e300, 1e-7, 10**25, "", False]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4), max_leaves=12
)
MOMENTS = st.datetimes(datetime(2031, 1, 1), datetime(2090, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a value, itself included."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield from leaves(below, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another one at a path."""
    if not path:
        return new
    copy = deepcopy(value)
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return copy


@st.composite
def payloads(draw, name: str) -> Any:
    """A payload that a type accepts: one of its examples, made odd where the type allows it."""
    kind = load_types()[name]
    payload = draw(st.sampled_from(kind.examples))
    schema = kind.payload.json_schema()
    for key in schema.get("properties", {}):
        if isinstance(payload, dict) and key not in payload and draw(st.booleans()):
            payload = accepted(kind, payload, {**payload, key: draw(SCALARS | st.just([]) | st.just({}))})
    for path in list(leaves(payload)):
        for odd in (draw(SCALARS), draw(VALUES)):
            payload = accepted(kind, payload, put(payload, path, odd)) if reaches(payload, path) else payload
    return payload


def reaches(value: Any, path: tuple[Any, ...]) -> bool:
    return path in set(leaves(value))


def accepted(kind: Any, payload: Any, odd: Any) -> Any:
    """The odd one if the type takes it and its API would store it."""
    try:
        kind.payload.load(odd)
    except (PayloadRefused, ValueError):
        return payload
    return odd


def rows(session: Any, table: str, id_: Any) -> dict[str, Any]:
    """A row as it is now, and how its numbers are written."""
    session.commit()
    found = session.execute(sa.text(f"SELECT * FROM {table} WHERE id = :id"), {"id": id_}).mappings().one()
    return {**found, "written": repr(sorted(found.items(), key=str))}


def differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The columns that are not what they were; a moment of change and how it is written aside."""
    return {name for name in before if before[name] != after[name]} - {"written", "updated_at"}


def sent_untouched(page: Any, path: str, field: str, /, **changed: str) -> Any:
    """Open a page, and send the form in it that has this field, as a browser does."""
    form = form_with(page.get(path).text, field)
    assert not set(changed) - {each for each, _ in form.entries}, "the form has no such field"
    return page.post(form.action or path, data=form.sent(**changed))


LABELS = st.dictionaries(st.from_regex(r"[A-Za-z0-9][a-z./_-]{0,8}", fullmatch=True), TEXTS, max_size=3)
NAMES = st.none() | TEXTS.filter(bool)


@MANY
@given(data=st.data())
def test_a_task_that_is_edited_without_a_touch_is_as_it_was(page, somebody, session, data):
    name = data.draw(st.sampled_from(TYPES))
    task = make_task(
        session, type=name, owner_id=somebody.id, payload=data.draw(payloads(name)), name=data.draw(NAMES),
        priority=data.draw(st.sampled_from(["high", "normal", "low"])), max_retries=data.draw(st.integers(0, 100)),
        timeout_seconds=data.draw(st.none() | st.integers(1, 1200)), labels=data.draw(LABELS),
        expires_at=data.draw(st.none() | MOMENTS), callback_url=data.draw(st.none() | st.just("https://a.example/?k=1")),
        dispatched_at=None, due_at=(due := data.draw(MOMENTS)), scheduled_at=due, status="SCHEDULED",
    )  # fmt: skip
    before = rows(session, "tasks", task.id)

    answer = sent_untouched(page, f"/tasks/{task.id}/edit", "state")

    assert answer.status_code == 302, answer.text
    assert rows(session, "tasks", task.id) == before


@MANY
@given(data=st.data())
def test_a_schedule_that_is_edited_without_a_touch_is_as_it_was(page, somebody, session, data):
    name = data.draw(st.sampled_from(TYPES))
    optional = {
        "name": NAMES.filter(bool), "priority": st.sampled_from(["high", "normal", "low"]),
        "max_retries": st.integers(0, 100), "timeout": st.integers(1, 1200), "labels": LABELS,
        "ordering_key": TEXTS.filter(bool), "callback_url": st.just("https://a.example/?token=hidden"),
    }  # fmt: skip
    task = {
        "type": name,
        "payload": data.draw(payloads(name)),
        **data.draw(st.fixed_dictionaries({}, optional=optional)),
    }
    rule = data.draw(
        st.fixed_dictionaries({"run_at": MOMENTS})
        | st.fixed_dictionaries({"starts_at": st.none() | MOMENTS, "cron": st.sampled_from(["0 7 * * *", " @daily"])})
    )
    schedule = create_schedule(
        session, owner_id=somebody.id, target={"task": task}, name=data.draw(NAMES), **rule,
        misfire=data.draw(st.sampled_from(["run_once", "run_all", "skip"])), misfire_cap=data.draw(st.integers(1, 100)),
        overlap=data.draw(st.sampled_from(["allow", "skip"])), jitter_seconds=data.draw(st.integers(0, 86_400)),
        time_zone=data.draw(st.sampled_from(["UTC", "Europe/Berlin"])), enabled=data.draw(st.booleans()),
    )  # fmt: skip
    before = rows(session, "schedules", schedule.id)

    answer = sent_untouched(page, f"/schedules/{schedule.id}/edit", "schedule_name")

    assert answer.status_code == 302, answer.text
    assert rows(session, "schedules", schedule.id) == before


@MANY
@given(data=st.data())
def test_a_copy_that_is_submitted_without_a_touch_says_the_same(page, somebody, session, data):
    name = data.draw(st.sampled_from(TYPES))
    task = make_task(
        session, type=name, owner_id=somebody.id, payload=data.draw(payloads(name)), name=data.draw(NAMES),
        priority=data.draw(st.sampled_from(["high", "normal", "low"])), max_retries=data.draw(st.integers(0, 100)),
        timeout_seconds=data.draw(st.none() | st.integers(1, 1200)), labels=data.draw(LABELS),
    )  # fmt: skip
    session.commit()

    answer = sent_untouched(page, f"/submit/{name}?copy_of={task.id}", "copy_of")

    assert answer.status_code == 302, answer.text
    columns = "type, name, payload, payload::text AS written, priority, max_retries, timeout_seconds, labels"
    query = sa.text(f"SELECT {columns} FROM tasks WHERE id = :id")
    first, copy = (
        session.execute(query, {"id": id_}).mappings().one() for id_ in (task.id, answer.location.split("/")[-1])
    )
    assert dict(copy) == dict(first)


@MANY
@given(name=TEXTS.filter(bool), role=st.sampled_from(["user", "admin"]), quota=st.none() | st.integers(0, 10**9),
       closed=st.none() | MOMENTS)  # fmt: skip
def test_an_account_that_is_edited_without_a_touch_is_as_it_was(boss, database_url, session, name, role, quota, closed):
    person = make_person(database_url, role=role)
    values = {"name": name, "max_waiting_tasks": quota, "disabled_at": closed, "id": person.id}
    session.execute(
        sa.text("UPDATE users SET name = :name, max_waiting_tasks = :max_waiting_tasks, disabled_at = :disabled_at "
                "WHERE id = :id"), values)  # fmt: skip
    before = rows(session, "users", person.id)

    answer = sent_untouched(boss, f"/accounts/{person.id}", "max_waiting_tasks")

    assert answer.status_code == 302, answer.text
    assert rows(session, "users", person.id) == before


TASK_FIELDS = {
    "name": ("other", {"name": "other"}),
    "priority": ("low", {"priority": "low"}),
    "max_retries": ("7", {"max_retries": 7}),
    "timeout": ("", {"timeout_seconds": None}),
    "expires_at": ("2050-01-01T00:00:07", {"expires_at": datetime(2050, 1, 1, 0, 0, 7, tzinfo=UTC)}),
    "labels.0.value": ("new", {"labels": {"a": "new", "bb": " kept\r"}}),
    "payload": ("three\r\nlines\r\nnow", {"payload": "three\nlines\nnow"}),
}


@pytest.mark.parametrize("field", TASK_FIELDS)
def test_one_touched_field_of_a_task_is_all_that_changes(page, somebody, session, field):
    moment = datetime(2040, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
    task = make_task(
        session, owner_id=somebody.id, payload=" two\r\nlines ", name=" n\n", max_retries=0, timeout_seconds=5,
        labels={"a": "old", "bb": " kept\r"}, expires_at=moment + timedelta(days=1), scheduled_at=moment, due_at=moment,
        dispatched_at=None, status="SCHEDULED",
    )  # fmt: skip
    typed, expected = TASK_FIELDS[field]
    if "payload" in expected:  # whoever takes a new payload says by which schema
        expected = {**expected, "schema_hash": get_type(task.type).schema_hash}
    before = rows(session, "tasks", task.id)

    answer = sent_untouched(page, f"/tasks/{task.id}/edit", "state", **{field: typed})

    after = rows(session, "tasks", task.id)
    assert answer.status_code == 302, answer.text
    assert {name: after[name] for name in differing(before, after)} == expected


SCHEDULE_FIELDS = {
    "schedule_name": ("other", {"name": "other"}),
    "misfire_cap": ("9", {"misfire_cap": 9}),
    "max_retries": ("3", {"task": {"max_retries": 3}}),
    "name": ("", {"task": {"name": None}}),
    "payload.url": ("https://b.example/", {"task": {"payload": {"url": "https://b.example/"}}}),
}


@pytest.mark.parametrize("field", SCHEDULE_FIELDS)
def test_one_touched_field_of_a_schedule_is_all_that_changes(page, somebody, session, field):
    payload = {"url": "https://a.example/", "headers": {"Authorization": "Bearer hush", "X": "y"}, "body": "a\r\nb"}
    task = {"type": "http_request", "payload": payload, "max_retries": 0, "name": " n ", "ordering_key": "o"}
    schedule = create_schedule(
        session, owner_id=somebody.id, target={"task": task}, jitter_seconds=0,
        starts_at=datetime(2040, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC),
    )  # fmt: skip
    typed, expected = SCHEDULE_FIELDS[field]
    before = rows(session, "schedules", schedule.id)

    answer = sent_untouched(page, f"/schedules/{schedule.id}/edit", "schedule_name", **{field: typed})

    after = rows(session, "schedules", schedule.id)
    assert answer.status_code == 302, answer.text
    if "task" in expected:
        changed = {**task, **expected["task"], "payload": {**payload, **expected["task"].get("payload", {})}}
        taken = {"schema_hash": get_type("http_request").schema_hash} if "payload" in expected["task"] else {}
        expected = {"target": {"task": {name: value for name, value in changed.items() if value is not None}}, **taken}
    assert {
        name: after[name] for name in differing(before, after) - {"accounted_until", "next_at", "version"}
    } == expected


def test_one_touched_field_of_an_account_is_all_that_changes(boss, database_url, session):
    person = make_person(database_url)
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 0, name = ' a ' WHERE id = :id"), {"id": person.id})
    before = rows(session, "users", person.id)

    assert sent_untouched(boss, f"/accounts/{person.id}", "max_waiting_tasks", name="Eve").status_code == 302

    after = rows(session, "users", person.id)
    assert {name: after[name] for name in differing(before, after)} == {"name": "Eve"}


def test_what_somebody_else_changed_meanwhile_stays_where_the_form_was_not_touched(page, somebody, session):
    schedule = create_schedule(session, owner_id=somebody.id, name="old")
    session.commit()
    form = form_with(page.get(f"/schedules/{schedule.id}/edit").text, "schedule_name")
    session.execute(sa.text("UPDATE schedules SET name = 'theirs', jitter_seconds = 5"))
    session.commit()

    page.post(f"/schedules/{schedule.id}/edit", data=form.sent(time_zone="Europe/Berlin"))

    assert session.execute(sa.text("SELECT name, jitter_seconds, time_zone FROM schedules")).one() == (
        "theirs", 5, "Europe/Berlin",
    )  # fmt: skip


def test_a_hidden_value_moves_with_its_item_when_another_one_is_removed(page, somebody, session):
    headers = {"Authorization": "Bearer hush", "Cookie": "crumbs"}
    payload = {"url": "https://a.example/", "headers": headers, "expected_status": [200, 201]}
    task = make_task(session, type="http_request", owner_id=somebody.id, payload=payload)
    session.commit()
    path = f"/tasks/{task.id}/edit"
    form = form_with(page.get(path).text, "state")
    first = next(value for name, value in form.entries if name == "payload.headers.0.key")

    redrawn = page.post(path, data={**form.sent(), "_remove": "payload.headers.0"}).text
    as_json = page.post(path, data={**form_with(redrawn, "state").sent(), "_mode": "json"}).text
    answer = page.post(path, data=form_with(as_json, "state").sent())

    assert answer.status_code == 302, answer.text
    kept = {name: value for name, value in headers.items() if name != first}
    assert rows(session, "tasks", task.id)["payload"] == {**payload, "headers": kept}


def test_a_mask_that_stands_for_nothing_any_more_is_refused(page, somebody, session):
    payload = {"url": "https://a.example/", "headers": {"Authorization": "Bearer hush"}}
    task = make_task(session, type="http_request", owner_id=somebody.id, payload=payload)
    session.commit()

    answer = sent_untouched(page, f"/tasks/{task.id}/edit", "state", **{"payload.headers.0.key": "X-Auth-Token"})

    assert answer.status_code == 302, answer.text  # the pair was renamed: its value is the one that was there
    form = {"mode": "json", "payload_json": '{"url": "https://a.example/", "headers": {"Cookie": "[redacted]"}}'}
    state = re.search(r'name="state" value="([^"]+)"', page.get(f"/tasks/{task.id}/edit").text).group(1)
    refused = page.post(f"/tasks/{task.id}/edit", data={"csrf": "the token", "state": state, **form})
    assert refused.status_code == 422
    assert "stands for a value that is not shown" in refused.text
    assert rows(session, "tasks", task.id)["payload"]["headers"] == {"X-Auth-Token": "Bearer hush"}


SCHEMAS = st.deferred(
    lambda: st.one_of(
        st.sampled_from([
            {"type": "string"}, {"type": ["string", "null"]}, {"type": "string", "pattern": "^[^\\u0000]*$"},
            {"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, {"type": "integer"},
            {"type": ["number", "null"], "default": 3}, {"type": "boolean", "default": True}, {"type": "boolean"},
            {"enum": ["a", "b\nc", " d "]}, {"enum": ["a", None], "default": "a"}, {}, {"type": ["string", "number"]},
            {"type": "object", "additionalProperties": {"type": "string"}}, {"type": "object"},
        ]),
        st.builds(lambda items: {"type": ["array", "string"], "items": items, "minItems": 1}, SCHEMAS),
        st.builds(
            lambda types, properties, required: {"type": types, "properties": properties,
                                                 "required": [each for each in required if each in properties]},
            st.sampled_from(["object", ["object", "null"]]),
            st.dictionaries(st.sampled_from("abcd"), SCHEMAS, max_size=3),
            st.lists(st.sampled_from("abcd"), max_size=3)),
        st.builds(
            lambda one, two: {"oneOf": [
                {"type": "object", "properties": {"kind": {"enum": ["one"], "type": "string"}, "x": one}},
                {"type": "object", "properties": {"kind": {"enum": ["two"], "type": "string"}, "y": two}}]},
            SCHEMAS, SCHEMAS),
    )
)  # fmt: skip


@st.composite
def fitting(draw, schema: dict[str, Any], times: tuple[int, ...] = (1, 1, 1, 90)) -> Any:
    """A value of a schema, nearly: with members missing, unknown ones added, and others of another kind.

    One list on the way to a member is repeated, at most: three of them would be a form of 650 MB.
    """
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    if "oneOf" in schema:
        member = draw(st.sampled_from(schema["oneOf"]))
        found = draw(fitting(member, times))
        return {**(found if isinstance(found, dict) else {}), "kind": member["properties"]["kind"]["enum"][0]}
    if "properties" in schema:
        names = draw(st.lists(st.sampled_from(sorted(schema["properties"]) or [""]), unique=True))
        found = {name: draw(fitting(schema["properties"][name], times)) for name in names if name}
        return found | draw(st.dictionaries(st.sampled_from(["z", "a\nb"]), VALUES, max_size=1))
    if "items" in schema:
        repeated = draw(st.sampled_from(times))
        return draw(st.lists(fitting(schema["items"], times if repeated == 1 else (1,)), max_size=3)) * repeated
    if "additionalProperties" in schema:
        return draw(st.dictionaries(TEXTS, TEXTS, max_size=4))
    return draw(st.sampled_from(schema["enum"])) if "enum" in schema else draw(SCALARS)


def entries_of(application: Flask, schema: Any, value: Any) -> list[tuple[str, str]]:
    node = schema_form.build(schema, value, name="payload", label="Payload", errors={})
    with application.test_request_context():
        html = render_template_string(
            '{% import "dashboard/_field.html" as f %}<form>{{ f.draw(node) }}</form>', node=node
        )
    return [(name, value) for form in forms(html) for name, values in form.sent().items() for value in values]


@settings(MANY, max_examples=50)
@given(data=st.data())
def test_any_value_of_any_schema_survives_its_form(application, data):
    schema = data.draw(SCHEMAS)
    value = data.draw(fitting(schema))

    read, is_touched = schema_reading.read(schema, MultiDict(entries_of(application, schema, value)), "payload", value)

    assert (repr(read), is_touched) == (repr(value), False)
    assert repr(untouched.unpack(untouched.pack(value))) == repr(value)


@settings(MANY, max_examples=50)
@given(data=st.data())
def test_one_touched_input_changes_the_value_at_its_place_only(application, data):
    schema = data.draw(SCHEMAS)
    value = data.draw(fitting(schema))
    entries = entries_of(application, schema, value)
    texts = [name for name, _ in entries if "@" not in name and not name.endswith(".key")]
    if not texts:
        return
    touched = data.draw(st.sampled_from(texts))
    sent = MultiDict([(name, "touched" if name == touched else text) for name, text in entries])

    read, _ = schema_reading.read(schema, sent, "payload", value)

    assert others_equal(read, value, touched.split(".")[1:])


def others_equal(read: Any, value: Any, path: list[str]) -> bool:
    """Whether two values are alike but for what stands at the path of an input, or had no value there to keep."""
    if repr(read) == repr(value) or not path:
        return True
    if isinstance(read, list) and isinstance(value, list):
        pairs = dict(enumerate(read)), dict(enumerate(value))
        return all(others_equal(pairs[0].get(key), below, path[1:]) if str(key) == path[0] else
                   repr(pairs[0].get(key)) == repr(below) for key, below in pairs[1].items())  # fmt: skip
    if isinstance(read, dict) and isinstance(value, dict):
        if path[-1] == "value" and path[0].isdigit():  # of a map: the pair's key says where it is
            return sum(repr(read.get(key, MISSING)) != repr(below) for key, below in value.items()) <= 1
        return all(others_equal(read.get(key), below, path[1:]) if key == path[0] else
                   repr(read.get(key, MISSING)) == repr(below) for key, below in value.items())  # fmt: skip
    return not isinstance(value, dict | list) or type(read) is not type(value)  # nothing of the form's kind was there


def test_every_form_that_edits_something_stored_is_in_this_file(application):
    """Pages with an `edit`, a form of an account, or a copy; a new one needs its property here."""
    rules = {rule.rule for rule in application.url_map.iter_rules() if rule.endpoint.startswith(blueprint.name)}
    posted = {
        rule.rule
        for rule in application.url_map.iter_rules()
        if rule.endpoint.startswith(f"{blueprint.name}.") and "POST" in (rule.methods or ())
    }
    buttons = {"/accounts/<uuid:user_id>/log-out"}  # it edits nothing that is shown
    assert {rule for rule in rules & posted if re.search(r"/edit$|/accounts/<", rule)} - buttons == {
        "/tasks/<task_id>/edit", "/schedules/<uuid:schedule_id>/edit", "/accounts/<uuid:user_id>",
    }  # fmt: skip
