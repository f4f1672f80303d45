"""Lists of the API on the command line: a page, as many as are wanted, or all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskledger_sdk.cli.failures import Failed
from taskledger_sdk.cli.session import Session
from taskledger_sdk.cli.tables import Column
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import RequestFailed
from taskledger_sdk.http.transport import LARGEST_PAGE, NOTHING, Transport


def show(
    session: Session,
    path: str,
    columns: Sequence[Column],
    query: Mapping[str, Any] = NOTHING,
    *,
    limit: int,
    every: bool,
    cursor: str | None,
    empty: str,
) -> None:
    """Print items of a list, newest first: `limit` of them, or all; with --json one document, or one a line."""
    if every and session.out.as_json:
        for page in session.api.pages(path, {**query, "limit": LARGEST_PAGE}, cursor=cursor):
            for item in page["items"]:
                session.out.line(item)
        return
    found = read(session.api, path, query, most=None if every else limit, cursor=cursor)
    session.out.page(columns, found, empty=empty)


def read(
    api: Transport,
    path: str,
    query: Mapping[str, Any] = NOTHING,
    *,
    most: int | None = None,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Up to `most` items of a list, or all, as one page: `next` goes on after the last of them."""
    items: list[dict[str, Any]] = []
    while True:
        size = LARGEST_PAGE if most is None else min(LARGEST_PAGE, most - len(items))
        page = api.get(path, {**query, "cursor": cursor, "limit": size})
        items += page["items"]
        cursor = page.get("next")
        if cursor is None or (most is not None and len(items) >= most):
            return {"items": items, "next": cursor}


def each(
    session: Session, ids: Sequence[str], act: Callable[[str], dict[str, Any]], say: Callable[[dict[str, Any]], str]
) -> None:
    """Do something to each, whatever becomes of the others; a failure is told, and the last one exits.

    With --json: the API's answer, or where there are several ids one answer a line.
    """
    failed: RequestFailed | None = None
    for id_ in ids:
        try:
            answer = act(id_)
        except RequestFailed as error:
            if len(ids) == 1:
                raise
            failed = error
            session.out.note(f"{id_}: {error}")
            continue
        if not session.out.as_json:
            session.out.text(say(answer))
        elif len(ids) == 1:
            session.out.document(answer)
        else:
            session.out.line(answer)
    if failed is not None:
        raise SystemExit(Failed(failed).exit_code)


def delete(session: Session, collection: str, ids: Sequence[str], *, called: str) -> None:
    """Delete things of a collection; `called` is the name of their ids in what --json prints."""

    def delete_one(id_: str) -> dict[str, Any]:
        session.api.delete(path_of(collection, id_))
        return {called: id_, "deleted": True}

    each(session, ids, delete_one, lambda done: f"{done[called]} deleted")
