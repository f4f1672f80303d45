"""`flask --app app tasks …`: submit, follow and steer tasks over HTTP, from a terminal or a script.

`python -m app.commands.tasks …` is the same where only the address of a service is known.
"""

from app.commands.tasks.group import tasks

__all__ = ["tasks"]
