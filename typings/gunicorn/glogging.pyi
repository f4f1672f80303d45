from logging import Logger as StandardLogger
from typing import Any

class Logger:
    error_log: StandardLogger
    access_log: StandardLogger

    def __init__(self, cfg: Any) -> None: ...
    def setup(self, cfg: Any) -> None: ...
