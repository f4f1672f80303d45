"""A client that repeats what failed, under the same key, until it is told what became of it."""

import threading
import time
from typing import Any
from uuid import uuid4

import requests

from tests.chaos.soak.accounts import Accounts

PAUSE_SECONDS = 0.3
REQUEST_SECONDS = 15
MEANT = frozenset({404, 409, 410, 422})
"""Answers that say no; all others say: not now."""


class Client:
    """For use by several threads."""

    def __init__(self, url: str, headers: dict[str, str], accounts: Accounts, ending: threading.Event) -> None:
        """`ending`: set when nobody waits for answers any more."""
        self._url, self._headers = url, headers
        self._accounts, self._ending = accounts, ending

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """The answer that counts: a success, or a refusal that a repetition would not change."""
        return self._until_answered("POST", path, json=body, key=uuid4().hex, **options)

    def get(self, path: str) -> requests.Response:
        """The same for reading."""
        return self._until_answered("GET", path, key=None)

    def _until_answered(self, method: str, path: str, *, key: str | None, **options: Any) -> requests.Response:
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        while not self._ending.is_set():
            try:
                answer = requests.request(
                    method, f"{self._url}/api/v1{path}", headers=headers, timeout=REQUEST_SECONDS, **options
                )
                if answer.ok or answer.status_code in MEANT:
                    return answer
                self._accounts.refused(str(answer.status_code))
            except requests.RequestException as error:
                self._accounts.refused(type(error).__name__)
            time.sleep(PAUSE_SECONDS)
        raise Ended


class Ended(Exception):
    """Nobody waits for the answer any more."""
