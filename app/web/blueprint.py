"""The blueprint that every resource uses: strict arguments, documented problems, lists in pages, creation once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, TypeVar
from uuid import UUID

import flask_smorest
import marshmallow as ma
from flask import request

from app.models.page import Page
from app.web.requests import pagination
from app.web.requests.idempotency import REPLAYED, IdempotencyHeader
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictParser
from app.web.responses.problems import MEDIA_TYPE, Problem

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
LOCATION = {"Location": {"description": "Path of what was made", "schema": {"type": "string"}}}
"""For the description of a route that answers 201."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Created(Generic[T]):
    """What a creating route returns: the record, where it is, and whether this request made it."""

    record: T
    path: str | None
    is_new: bool
    headers: Mapping[str, str] = field(default_factory=dict)


class Blueprint(flask_smorest.Blueprint):
    """A resource's routes."""

    ARGUMENTS_PARSER = StrictParser()

    def problem(self, status: int, description: str) -> Callable[[F], F]:
        """Document an error answer of a route, beside those that every route has."""
        documented: Callable[[F], F] = self.alt_response(
            status, schema=Problem(), content_type=MEDIA_TYPE, description=description
        )
        return documented

    def pages(
        self, view: ma.Schema, kind: str, *, query: ma.Schema | None = None, key: Callable[[Any], Any] = UUID
    ) -> Callable[[Callable[..., Page[Any]]], Callable[..., Any]]:
        """Make a list of a function that returns a page.

        The function gets the query as a dict, with `before` (the key to continue from, None at first; `key` reads it
        from a cursor) and `limit`. A cursor of one `kind` of list is refused by the others.
        """

        def decorate(function: Callable[..., Page[Any]]) -> Callable[..., Any]:
            @wraps(function)
            def answer(wanted: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
                wanted["before"] = pagination.decode(wanted.pop("cursor"), kind, key)
                page = function(wanted, *args, **kwargs)
                return {"items": page.items, "next": pagination.encode(page.next, kind)}

            documented = self.response(200, view)(answer)
            decorated: Callable[..., Any] = self.arguments(query or PageQuery(), location="query")(documented)
            return decorated

        return decorate

    def creates(
        self,
        view: ma.Schema,
        what: str,
        *,
        description: str | None = None,
        repeated: str | None = None,
        headers: Mapping[str, Any] | None = LOCATION,
    ) -> Callable[[Callable[..., Created[Any]]], Callable[..., Any]]:
        """Make a creating route of a function that returns `Created`: 201 for something new, 200 for what was there.

        The function gets the headers, with `key`, after the body. `what` names the thing in the documentation.
        """

        def decorate(function: Callable[..., Created[Any]]) -> Callable[..., Any]:
            @wraps(function)
            def answer(*args: Any, **kwargs: Any) -> tuple[Any, int, dict[str, str]]:
                created = function(*args, **kwargs)
                location = {} if created.path is None else {"Location": created.path}
                if created.is_new:
                    return created.record, 201, {**location, **created.headers}
                replayed = REPLAYED if "Idempotency-Key" in request.headers else {}
                return created.record, 200, {**location, **replayed, **created.headers}

            gone = self.problem(410, f"The Idempotency-Key was used before, its {what} is deleted")(answer)
            known = self.alt_response(
                200, schema=view, description=repeated or f"The Idempotency-Key was used before: its {what}"
            )(gone)
            documented = self.response(201, view, description=description, headers=headers)(known)
            decorated: Callable[..., Any] = self.arguments(IdempotencyHeader(), location="headers")(documented)
            return decorated

        return decorate
