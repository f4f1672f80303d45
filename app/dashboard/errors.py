"""Errors as pages: the same statuses and words as the API's problems."""

from typing import Any

from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import HTTPException

from app.dashboard.blueprint import CONTENT_SECURITY_POLICY, blueprint
from app.web.responses import problems

KEPT_HEADERS = ("Retry-After", "Allow")


@blueprint.errorhandler(Exception)
def on_error(error: Exception) -> Response | tuple[str, int, dict[str, str]]:
    """Any error of a page."""
    if isinstance(error, HTTPException) and error.response is not None:
        return error.response  # type: ignore[return-value]  # a redirect to the log-in page
    return _page(error)


def _page(error: Exception) -> tuple[str, int, dict[str, str]]:
    problem = problems.answer_to(error)
    body: dict[str, Any] = problem.get_json()
    headers = {name: problem.headers[name] for name in KEPT_HEADERS if name in problem.headers}
    return render_template("dashboard/error.html", problem=body, is_known="principal" in g), body["status"], headers


def on_unknown_path(error: HTTPException) -> Any:
    """A page that does not exist, for people; programs get the problem."""
    is_for_people = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    if request.path.startswith("/api/") or not is_for_people:
        return problems.on_http_error(error)
    page, status, headers = _page(error)
    return page, status, {**headers, "Content-Security-Policy": CONTENT_SECURITY_POLICY}


def register(app: Flask) -> None:
    """Show people who mistyped an address a page."""
    app.register_error_handler(404, on_unknown_path)
