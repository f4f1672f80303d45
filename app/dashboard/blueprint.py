"""The blueprint that every page adds its routes to, and what each of its answers carries."""

from flask import Blueprint, Response, request

blueprint = Blueprint(
    "dashboard", __name__, template_folder="templates", static_folder="static", static_url_path="/assets"
)

# Scripts, styles and everything else come from files of ours; nothing inline, no other host.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ASSET_SECONDS = 3600


@blueprint.after_request
def protect(response: Response) -> Response:
    """Say what a page may load, and that nobody keeps it."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    # Unlike no-referrer, this lets browsers send Origin with forms, which is checked.
    response.headers["Referrer-Policy"] = "same-origin"
    if request.endpoint == f"{blueprint.name}.static":
        response.headers["Cache-Control"] = f"public, max-age={ASSET_SECONDS}"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response
