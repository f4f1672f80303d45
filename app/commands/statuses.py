"""The statuses of tasks as commands show them: words and colours without app.models, which loads SQLAlchemy."""

ALL = ("SCHEDULED", "PENDING", "PROCESSING", "RETRYING", "WAITING", "COMPLETED", "FAILED", "CANCELLED")
FINISHED = frozenset(("COMPLETED", "FAILED", "CANCELLED"))
COLOURS = {"COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow", "PROCESSING": "cyan", "RETRYING": "magenta"}
"""Of a terminal; what waits has none."""
