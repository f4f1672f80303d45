"""What a browser is told when somebody logs out."""

from flask import Response, after_this_request


def have_browser_forget() -> None:
    """Have it drop what it has kept of this service (browsers listen over TLS only); cookies are ended one by one."""

    @after_this_request
    def tell(response: Response) -> Response:
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response
