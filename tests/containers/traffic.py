"""Requests at a steady rate, whatever becomes of them: how long each took, and which were refused."""

import threading
import time
from types import TracebackType
from typing import Any, Self

import requests

TASK = {"type": "reverse_string", "payload": "hello"}
THREADS = 24  # so many requests may be on their way while one of them takes long


class Traffic:
    """Submissions, so many a second, none of which is repeated."""

    def __init__(self, url: str, *, per_second: float, headers: dict[str, str], verify: str) -> None:
        self._url, self._headers, self._verify = f"{url}/api/v1/tasks", headers, verify
        self._interval = 1 / per_second
        self._ticks, self._lock, self._ending = 0, threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.seconds: list[tuple[float, float]] = []  # when it began, and how long it took

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self) -> None:
        with requests.Session() as http:
            http.headers.update(self._headers)
            http.verify, http.trust_env = self._verify, False
            while not self._ending.is_set():
                with self._lock:
                    tick, self._ticks = self._ticks, self._ticks + 1
                if self._ending.wait(max(self._began + tick * self._interval - time.monotonic(), 0)):
                    return
                self._send(http)

    def _send(self, http: requests.Session) -> None:
        began = time.monotonic()
        try:
            answer: Any = http.post(self._url, json=TASK, timeout=30)
            failed = "" if answer.status_code == 201 else f"{answer.status_code} {answer.text[:200]}"
        except requests.RequestException as error:
            failed = repr(error)
        took = time.monotonic() - began
        with self._lock:
            self.seconds.append((began, took))
            if failed:
                self.refused.append(f"after {began - self._began:.1f} s, in {took:.2f} s: {failed}")
            else:
                self.accepted.append(answer.json()["id"])

    @property
    def longest(self) -> float:
        """Seconds of the slowest request."""
        return max(took for _, took in self.seconds)

    @property
    def longest_after(self) -> float:
        """Seconds from the beginning until that one was sent."""
        return max(self.seconds, key=lambda each: each[1])[0] - self._began

    @property
    def rate(self) -> float:
        """Requests a second, as they were sent."""
        began = [at for at, _ in self.seconds]
        return len(began) / (max(began) - min(began))
