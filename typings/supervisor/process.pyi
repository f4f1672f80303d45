from supervisor.options import ProcessConfig

class Subprocess:
    config: ProcessConfig
    pid: int
    backoff: int
    exitstatus: int | None
    spawnerr: str | None

    def get_state(self) -> int: ...
    def spawn(self) -> int | None: ...
    def stop(self) -> str | None: ...
    def signal(self, sig: int) -> str | None: ...

class ProcessGroupBase:
    processes: dict[str, Subprocess]

    def stop_all(self) -> None: ...
