"""Headers that protect every answer, whoever gives it."""

# JSON is never a document that runs anything; pages (Swagger UI, the dashboard) bring a policy of their own.
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ("Content-Security-Policy", NOTHING),
)
# Answers belong to one caller: no cache on the way keeps them; a client may, and asks with If-None-Match.
API = (("Cache-Control", "private, no-cache"),)
HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")


def protected(headers: list[tuple[str, str]], *, is_api: bool, is_secure: bool) -> list[tuple[str, str]]:
    """The headers of an answer, and what they leave out. Pure."""
    said = {name.lower() for name, _ in headers}
    wanted = [*ALWAYS, *API] if is_api else [*ALWAYS]
    if is_secure:
        wanted.append(HSTS)
    told = headers + [each for each in wanted if each[0].lower() not in said]
    return _varying(told, "Authorization") if is_api else told


def _varying(headers: list[tuple[str, str]], on: str) -> list[tuple[str, str]]:
    """With the name of a request's header among those that the answer depends on."""
    said = [value for name, value in headers if name.lower() == "vary"]
    if not said:
        return [*headers, ("Vary", on)]
    if any(on.lower() == each.strip().lower() for value in said for each in value.split(",")):
        return headers
    return [(name, f"{value}, {on}" if name.lower() == "vary" else value) for name, value in headers]
