from supervisor.options import ProcessConfig

class Subprocess:
    config: ProcessConfig
    pid: int
    backoff: int
    exitstatus: int | None
    spawnerr: str | None

    def get_state(self) -> int: ...
    def spawn(self) -> int | None: ...

class ProcessGroupBase:
    processes: dict[str, Subprocess]

    def stop_all(self) -> None: ...
