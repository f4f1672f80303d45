"""What a person sees in the terminal: progress, the places to look at, and what goes wrong later."""

import re
import time
from collections import defaultdict, deque

from supervisor import events

from app.config import database_address
from app.embedded.credentials import ADMIN_EMAIL, FILE_NAME, USER, Credentials
from app.embedded.settings import EmbeddedSettings, readable

IMPORTANT = re.compile(
    r'\[(error|critical) *\]|"level": *"(error|critical)"'  # structlog, for people and as JSON
    r"|\[(ERROR|CRITICAL)\]|^\[E "  # gunicorn, Flower
    # PostgreSQL; an ERROR there is a statement's, and its program says so. Whoever asks too early is told so.
    r"|\b(FATAL|PANIC): (?! *the database system is starting up)"
)
MAX_LINE = 240
LINES_A_MINUTE = 10
BANNER = """
Taskledger is ready ({seconds:.1f} s)
  Dashboard  {api}/  (log in as the admin below)
  API        {api}/api/v1
  API docs   {api}/docs
  Admin      {admin}, password and API key: {secrets}{new_key}
  Flower     http://127.0.0.1:{flower_port}  (user {user}, password {flower_password})
  Database   psql "{database_url}"
  Mails      {mails}/*.eml
  Logs       {logs}/*.log; secrets: {secrets}

Try it:
  KEY={key}
  curl -s -H "Authorization: Bearer $KEY" "{api}/api/v1/tasks/$(curl -s {api}/api/v1/tasks \\
    -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
    -d '{{"type": "reverse_string", "payload": "hello world"}}' \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')?wait=10"

{more}

Ctrl-C stops everything.
"""
IN_A_CHECKOUT = "Or one task of every type: make demo"
INSTALLED = """From another terminal:
  export TASKLEDGER_URL={api} TASKLEDGER_API_KEY={key}
  tledger tasks submit reverse_string hello --wait"""


class Console:
    """Prints; a terminal that is gone is no reason to fail."""

    def __init__(self, settings: EmbeddedSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._began = time.monotonic()
        self._unfinished: dict[str, str] = defaultdict(str)
        self._shown: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LINES_A_MINUTE))
        self._stopping = False

    def say(self, text: str) -> None:
        """Print a line at once."""
        say(text)

    def ready(self) -> None:
        """Print where everything is, and a request to paste."""
        more = INSTALLED if self._settings.is_installed else IN_A_CHECKOUT
        say(
            BANNER.format(
                more=more.format(api=self._settings.api_url, key=self._key()),
                seconds=time.monotonic() - self._began,
                api=self._settings.api_url,
                flower_port=self._settings.flower_port,
                user=USER,
                admin=ADMIN_EMAIL,
                key=self._key(),
                new_key=f"\n  API key    {self._credentials.admin_api_key}  (shown this once)"
                if self._is_key_new
                else "",
                flower_password=self._credentials.flower_password,
                database_url=database_address.read(self._credentials.database_url(self._settings)).uri(password=True),
                mails=readable(self._settings.var_dir / "mail"),
                logs=readable(self._settings.log_dir),
                secrets=readable(self._settings.var_dir / FILE_NAME),
            )
        )

    @property
    def _is_key_new(self) -> bool:
        return "ADMIN_API_KEY" in self._credentials.new

    def _key(self) -> str:
        """The key itself when it is new; later the terminal's history should not fill with it."""
        if self._is_key_new:
            return self._credentials.admin_api_key
        return f"$(sed -n 's/^ADMIN_API_KEY=//p' '{self._settings.var_dir / FILE_NAME}')"

    def on_event(self, event: events.Event) -> None:
        """Tell of a program that ended by itself, and pass on its important lines until the stop begins."""
        if isinstance(event, events.SupervisorStoppingEvent):
            self._stopping = True
        elif isinstance(event, events.ProcessLogEvent) and event.process.config.autorestart:
            self._pass_on(event.process.config.name, event.data.decode(errors="replace"))
        elif isinstance(event, events.ProcessStateEvent):
            self._tell(event)

    def _tell(self, event: events.ProcessStateEvent) -> None:
        process = event.process
        name = process.config.name
        log = readable(self._settings.log_dir / f"{name}.log")
        if isinstance(event, events.ProcessStateStoppedEvent):
            say(f"{name} has stopped")
        elif self._stopping or not process.config.autorestart:
            return
        elif isinstance(event, events.ProcessStateBackoffEvent):
            say(f"{name} ended at once; trying again in {process.backoff} s (see {log})")
        elif isinstance(event, events.ProcessStateFatalEvent):
            say(f"{name} is given up after {process.config.startretries} failed starts: see {log}, then start again")
        elif isinstance(event, events.ProcessStateExitedEvent):
            say(f"{name} ended by itself; starting it again (see {log})")

    def _pass_on(self, name: str, data: str) -> None:
        *lines, self._unfinished[name] = (self._unfinished[name] + data).split("\n")
        for line in lines:
            if IMPORTANT.search(line) and not self._stopping and not self._too_many(name):
                say(f"{name}: {line.strip()[:MAX_LINE]}")

    def _too_many(self, name: str) -> bool:
        """Whether this program said LINES_A_MINUTE already; its log has the rest."""
        shown, now = self._shown[name], time.monotonic()
        if len(shown) == LINES_A_MINUTE and now - shown[0] < 60:
            return True
        shown.append(now)
        return False


def say(text: str) -> None:
    """Print a line at once."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):  # the terminal was closed, or the pipe's reader ended
        return
