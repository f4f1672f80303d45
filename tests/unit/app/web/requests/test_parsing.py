"""What a refusal says of fields that are marshmallow's own, and of fields that are not known."""

import marshmallow as ma
import pytest

from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema


class Body(StrictSchema):
    """Fields of marshmallow's own."""

    name = ma.fields.Raw(required=True)
    items = ma.fields.List(ma.fields.Integer())
    words = ma.fields.Dict()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"name": ["is missing"]}),
        ({"name": None}, {"name": ["must not be null"]}),
        ({"name": 1, "items": 5}, {"items": ["must be a list"]}),
        ({"name": 1, "words": []}, {"words": ["must be an object"]}),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_service(body, errors):
    with pytest.raises(ma.ValidationError) as refused:
        Body().load(body)

    assert refused.value.messages == errors


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("limmit", "is not a known field; did you mean limit?"),
        ("sort", "is not a known field; known: limit, cursor"),
    ],
)
def test_only_a_name_that_is_alike_is_suggested(name, said):
    with pytest.raises(ma.ValidationError) as refused:
        PageQuery().load({name: "1"})

    assert refused.value.messages == {name: [said]}
