"""An SMTP server for tests, which keeps what it is given, or refuses or drops as told."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class MailServer:
    """Aiosmtpd on a free port, without SMTPUTF8 unless told.

    `refuse` maps a recipient, "FROM" or "DATA" to the reply it gets.
    """

    def __init__(
        self,
        *,
        refuse: dict[str, str] | None = None,
        drop_at: str = "",
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        tls_from_start: bool = False,
        smtputf8: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.refuse = refuse or {}
        self.drop_at = drop_at
        self._host = host
        self.received: list[tuple[list[str], bytes]] = []
        self.logged_in: list[bool] = []
        self._ssl = tls if tls_from_start else None
        self._options: dict[str, Any] = {"tls_context": tls, "require_starttls": True} if tls and not self._ssl else {}
        self._options["enable_SMTPUTF8"] = smtputf8
        if login:
            self._options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        self._login = login
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(self._loop.create_server(self._session, self._host, 0, ssl=self._ssl))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _session(self) -> SMTP:
        return SMTP(self, hostname="mail.test", loop=self._loop, **self._options)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _stop(self) -> None:
        self._server.close()
        sessions = asyncio.all_tasks() - {asyncio.current_task()}
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    @property
    def url(self) -> str:
        user = ":".join(self._login) + "@" if self._login else ""
        return f"{'smtps' if self._ssl else 'smtp'}://{user}127.0.0.1:{self.port}"

    async def handle_MAIL(self, server, session, envelope, address, options) -> str:  # noqa: N802
        if "FROM" in self.refuse:
            return self.refuse["FROM"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802
        if self.drop_at == "RCPT":
            server.transport.abort()
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        self.received.append((list(envelope.rcpt_tos), envelope.content))
        if self.drop_at == "DATA":
            server.transport.abort()
        return "250 OK, queued as 7"

    def _authenticate(self, server, session, envelope, mechanism, given) -> AuthResult:
        expected = LoginPassword(*(part.encode() for part in self._login))
        self.logged_in.append(given == expected)
        return AuthResult(success=given == expected, handled=False)
