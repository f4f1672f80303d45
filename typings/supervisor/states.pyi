class ProcessStates:
    STOPPED: int
    STARTING: int
    RUNNING: int
    BACKOFF: int
    STOPPING: int
    EXITED: int
    FATAL: int
    UNKNOWN: int

class SupervisorStates:
    FATAL: int
    RUNNING: int
    RESTARTING: int
    SHUTDOWN: int
