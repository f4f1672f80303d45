"""`python -m app.embedded.mail_catcher`: an SMTP server that delivers nothing and keeps each mail as a file."""

import asyncio
import hashlib
import os
import signal
import sys
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

DEFAULT_PORT = 8025
MAX_BYTES = 32 * 1024 * 1024


class Keeper:
    """Writes mails into a directory. A Message-ID that comes again replaces the first: it is the same mail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail before saying that it was."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        name = await asyncio.to_thread(self.keep, content, envelope.mail_from or "", envelope.rcpt_tos)
        print(f"kept {name} for {', '.join(envelope.rcpt_tos)}", flush=True)
        return f"250 OK, kept as {name}"

    def keep(self, content: bytes, sender: str, recipients: list[str]) -> str:
        """Write one mail, its envelope in two headers above it; returns the file's name."""
        mail = message_from_bytes(content, _class=EmailMessage, policy=SMTP_POLICY)
        mark = hashlib.sha256((mail["Message-ID"] or "").strip().encode() or content).hexdigest()[:12]
        before = next(iter(self._folder.glob(f"*-{mark}.eml")), None)
        first = "".join(each if each.isalnum() or each in "@._-" else "_" for each in (recipients or [""])[0])[:80]
        path = before or self._folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{first}-{mark}.eml"
        draft = path.with_suffix(".part")
        envelope = f"X-Envelope-From: {sender}\r\nX-Envelope-To: {', '.join(recipients)}\r\n"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(envelope.encode(errors="replace") + content)
        draft.replace(path)
        return path.name


async def serve(folder: Path, port: int) -> None:
    """Listen on loopback until SIGTERM or Ctrl-C."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = Keeper(folder)
    server = await loop.create_server(
        lambda: SMTP(keeper, hostname="mail-catcher", data_size_limit=MAX_BYTES, loop=loop), "127.0.0.1", port
    )
    async with server:
        print(f"Mails to 127.0.0.1:{port} become files in {folder}", flush=True)
        await stop.wait()


def main() -> int:
    """Read the settings and serve."""
    port = int(os.environ.get("MAIL_CATCHER_PORT") or DEFAULT_PORT)
    asyncio.run(serve(Path(os.environ.get("VAR_DIR") or "var") / "mail", port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
