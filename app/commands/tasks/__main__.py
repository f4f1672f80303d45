"""`python -m app.commands.tasks`: the commands without an installation's settings; a URL and a key are enough."""

from app.commands.tasks.group import tasks

tasks(prog_name="python -m app.commands.tasks")
