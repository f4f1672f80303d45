"""The picture of a workflow: steps in layers, nothing on top of each other, text that is only text."""

from xml.etree import ElementTree

from app.services.workflows import picture
from taskledger_sdk.workflows import parse

A = {"type": "reverse_string", "payload": "abc"}
SVG = "{http://www.w3.org/2000/svg}"


def drawn(steps, **options):
    return picture.draw(parse({"steps": steps}), title=options.pop("title", "T"), **options)


def test_each_step_stands_right_of_those_it_waits_for():
    found = drawn({"a": A, "b": {**A, "after": ["a"]}, "c": {**A, "after": ["a", "b"]}})

    x = {node.key: node.x for node in found.nodes}
    assert x["a"] < x["b"] < x["c"]
    assert set(found.edges) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_no_two_of_a_thousand_steps_overlap_and_all_are_inside():
    steps = {f"s{number}": A for number in range(500)}
    steps |= {f"t{number}": {**A, "after": [f"s{number}"]} for number in range(499)}
    steps["end"] = {**A, "after": [f"t{number}" for number in range(499)]}

    found = drawn(steps)

    assert len({(node.x, node.y) for node in found.nodes}) == 1000
    assert all(
        0 < node.x <= found.width - picture.WIDTH and 0 < node.y <= found.height - picture.HEIGHT
        for node in found.nodes
    )


def test_two_chains_side_by_side_do_not_cross():
    found = drawn({"a": A, "b": A, "y": {**A, "after": ["b"]}, "x": {**A, "after": ["a"]}})

    y = {node.key: node.y for node in found.nodes}
    assert (y["a"] < y["b"]) == (y["x"] < y["y"])


def test_the_svg_is_well_formed_says_states_and_takes_text_for_text():
    found = drawn({"a": A}, title='<script>"&', states={"a": ("COMPLETED", "DONE")})

    root = ElementTree.fromstring(picture.svg(found))

    assert root.find(f"{SVG}title").text == '<script>"&'
    assert root.find(f"{SVG}g/{SVG}title").text == "a: reverse_string · UNDONE"
    assert not root.findall(f".//{SVG}script")
