"""The coroutine of a handler, run to its end for the thread that holds its task."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from app.worker.event_loop import LOOP
from app.worker.in_progress import Running

EXIT_SECONDS = 5.0  # for a coroutine to clean up when a signal ends its process


def run_to_end(coroutine: Coroutine[Any, Any, Any], running: Running) -> Any:
    """What the coroutine returns; raises what it raises.

    An attempt that is asked to stop has its coroutine cancelled. If it ends by that, the reason is raised, as it would
    be in a plain handler; what else it returns or raises counts.
    """
    run = LOOP.run_of(coroutine, name=f"{running.claim.type} {running.claim.id}")
    running.cancel = run.cancel
    try:
        if running.stop_error is not None:  # asked for before there was anything to cancel
            coroutine.close()
            raise running.stop_error
        run.start()
        try:
            run.wait()
        except BaseException:  # a signal ends this process
            run.cancel()
            run.wait(EXIT_SECONDS)
            raise
        return run.result()
    except asyncio.CancelledError as error:
        if running.stop_error is not None:
            raise running.stop_error from error
        raise RuntimeError(
            "the handler's coroutine ended with asyncio.CancelledError, and nobody had asked it to stop: it cancelled "
            "itself, or awaited something that was cancelled; catch CancelledError around that, and raise what it means"
        ) from error
    finally:
        running.cancel = None
