from collections.abc import Callable
from typing import Any

from supervisor.process import Subprocess

class Event: ...

class ProcessLogEvent(Event):
    process: Subprocess
    data: bytes

class SupervisorStoppingEvent(Event): ...

class ProcessStateEvent(Event):
    process: Subprocess

class ProcessStateBackoffEvent(ProcessStateEvent): ...
class ProcessStateExitedEvent(ProcessStateEvent): ...
class ProcessStateFatalEvent(ProcessStateEvent): ...
class ProcessStateStoppedEvent(ProcessStateEvent): ...

def subscribe(type: type[Event], callback: Callable[[Any], None]) -> None: ...  # noqa: A002 (its name there)
