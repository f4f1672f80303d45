"""Whose task types run here: those of the service, and those of packages."""

import re
from dataclasses import dataclass

from marshmallow import ValidationError

from app.config.setting import setting, words

IMPORT_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
ALL = "*"


def check_import_names(text: str) -> None:
    """Raises ValidationError for what is no comma-separated list of import names."""
    for word in words(text):
        if not IMPORT_NAME.fullmatch(word):
            raise ValidationError(f"{word!r} is no import name: give what stands after `import`, parted by commas.")


@dataclass(frozen=True, kw_only=True)
class TaskPackages:
    """Whose task types run here: those of the service, and those of packages."""

    task_packages: str = setting(
        "str",
        "Packages with task types and workflows of yours, by their import names, parted by commas. Every module of "
        "them is imported; so are installed packages that the entry point group `taskledger.tasks` names",
        example="acme_jobs",
        default="",
        check=check_import_names,
    )
    builtin_task_types: str = setting(
        "str",
        "Which of the service's own task types accounts may use, parted by commas; `*`: all, blank: none",
        example="http_request,send_email",
        default=ALL,
    )
