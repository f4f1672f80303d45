"""/openapi.json and /docs: the contract, and Swagger UI over it, served from here without any other host."""

import json
from threading import Lock
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from app.web import operation_ids
from app.web.access import Access, access, describe_access
from app.web.responses.problems import ProblemApi

blueprint = Blueprint(
    "docs", __name__, static_folder="static/swagger-ui", static_url_path="/docs/assets", url_prefix=None
)

# Swagger UI sets style attributes while it renders; scripts come from files only.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAX_LISTED = 100  # words that the document names for one value
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Taskledger API</title>
  <link rel="stylesheet" href="/docs/assets/swagger-ui.css">
  <link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/docs/assets/swagger-ui-bundle.js"></script>
  <script src="/docs/assets/start.js"></script>
</body>
</html>
"""


@blueprint.get("/openapi.json")
@access(Access.OPEN)
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    document: Document = current_app.extensions["taskledger.openapi"]
    return Response(document.text(), mimetype="application/json")


@blueprint.get("/docs")
@access(Access.OPEN)
def swagger_ui() -> Response:
    """Swagger UI."""
    return Response(PAGE, mimetype="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


class Document:
    """The OpenAPI document of an application. Made when somebody first asks: few do, and starts would wait."""

    def __init__(self, app: Flask, api: ProblemApi) -> None:
        self._app, self._api = app, api
        self._making = Lock()
        self._text = b""

    def text(self) -> bytes:
        """The document as JSON."""
        with self._making:
            self._text = self._text or self._made()
        return self._text

    def _made(self) -> bytes:
        document = self._api.document()
        describe_access(self._app, document)
        operation_ids.describe(self._app, document)
        drop_impossible_defaults(document)
        drop_long_lists(document)
        return json.dumps(document, ensure_ascii=False).encode()


def register(app: Flask, api: ProblemApi) -> None:
    """Serve the document of an API whose resources are all registered."""
    app.extensions["taskledger.openapi"] = Document(app, api)
    app.register_blueprint(blueprint)


def drop_impossible_defaults(part: Any) -> None:
    """Take away what is only our own word for "left out": null or an empty text where nobody may send that."""
    if isinstance(part, list):
        for each in part:
            drop_impossible_defaults(each)
    if not isinstance(part, dict):
        return
    if "default" in part and _is_impossible(part):
        del part["default"]
    for each in part.values():
        drop_impossible_defaults(each)


def drop_long_lists(part: Any) -> None:
    """Take away lists of hundreds of words: generators make a type of each, and some fail on GMT0, GMT+0 and GMT-0.

    They are no less checked; the schema of a task type at /task-types has them.
    """
    if isinstance(part, list):
        for each in part:
            drop_long_lists(each)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("enum"), list) and len(part["enum"]) > MAX_LISTED:
        del part["enum"]
    for each in part.values():
        drop_long_lists(each)


def _is_impossible(schema: dict[str, Any]) -> bool:
    default, choices = schema["default"], schema.get("enum")
    if default is None:
        return "null" not in schema.get("type", ["null"]) or (choices is not None and None not in choices)
    return bool(default == "" and schema.get("minLength", 0) > 0)
