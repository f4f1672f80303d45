"""The service as a package: where its code is, and in which environment a program of it runs."""

import os
from collections.abc import Mapping
from pathlib import Path

INSTALLED = Path(__file__).parent / "root"
ROOT = INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[3]
"""The folder that holds `app`, `tasks` and `celeryconfig.py`; of an installation from a checkout, the checkout."""


def environment(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The variables with which a program finds our modules first, and those of `home`, its folder, last.

    Python and Celery both put the current folder first where they do not find it in the path already; somebody's
    own `app`, `tasks` or `celeryconfig` there would then be taken for ours.
    """
    path = [str(ROOT), *filter(None, given.get("PYTHONPATH", "").split(os.pathsep)), str(home)]
    return {
        **given,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONSAFEPATH": "1",
        "PWD": str(home),
        "EMBEDDED_HOME": str(home),
        "VAR_DIR": given.get("VAR_DIR") or str(home / ".taskledger"),
    }
