"""The part of flask-smorest that the service uses. The library has no types, and nobody publishes stubs for it.

Without them every decorated route is untyped, and so is everything that reads what a route returns.
"""

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import flask
import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

_Parameters = ParamSpec("_Parameters")
_View = TypeVar("_View", bound=Callable[..., Any])
_Schema = ma.Schema | type[ma.Schema]

class Blueprint(flask.Blueprint):
    ARGUMENTS_PARSER: FlaskParser
    description: str

    def __init__(
        self, name: str, import_name: str, *, description: str = ..., url_prefix: str | None = ...
    ) -> None: ...
    def register_views_in_doc(
        self, api: Api, app: flask.Flask, spec: APISpec, *, name: str, parameters: list[Any] | None
    ) -> None: ...
    def arguments(
        self,
        schema: _Schema | Mapping[str, ma.fields.Field[Any]],
        *,
        location: str = ...,
        content_type: str | None = ...,
        required: bool = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def response(
        self,
        status_code: int | str,
        schema: _Schema | Mapping[str, Any] | None = ...,
        *,
        content_type: str | None = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        headers: Mapping[str, Any] | None = ...,
    ) -> Callable[[Callable[_Parameters, Any]], Callable[_Parameters, flask.Response]]: ...
    def alt_response(
        self,
        status_code: int | str,
        response: str | None = ...,
        *,
        schema: _Schema | Mapping[str, Any] | None = ...,
        content_type: str | None = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        headers: Mapping[str, Any] | None = ...,
        success: bool = ...,
    ) -> Callable[[_View], _View]: ...
    @staticmethod
    def doc(**documentation: Any) -> Callable[[_View], _View]: ...

class _Plugin(MarshmallowPlugin):
    converter: OpenAPIConverter  # there once the Api has an application

class Api:
    _app: flask.Flask
    DEFAULT_RESPONSE_CONTENT_TYPE: str
    ERROR_SCHEMA: type[ma.Schema]
    ma_plugin: _Plugin
    spec: APISpec

    def __init__(
        self, app: flask.Flask | None = ..., *, spec_kwargs: Mapping[str, Any] | None = ..., config_prefix: str = ...
    ) -> None: ...
    def register_blueprint(self, blp: Blueprint, *, parameters: list[Any] | None = ..., **options: Any) -> None: ...
    def handle_http_exception(self, error: HTTPException) -> flask.Response: ...
    def _register_responses(self) -> None: ...
    def _register_pagination_header(self) -> None: ...
