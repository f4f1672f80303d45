"""Celery code as it is, with a ledger under it.

```python
from taskledger_sdk.celery import adopt

adopt(app)
```

Names are loaded when they are first asked for: the worker needs some of them, a producer others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskledger_sdk.lazy_names import lazy_names

if TYPE_CHECKING:
    from taskledger_sdk.celery.adoption import adopt
    from taskledger_sdk.celery.backend import LedgerBackend
    from taskledger_sdk.celery.current import running
    from taskledger_sdk.celery.errors import LedgerAway, NotAdopted, NotDeclared
    from taskledger_sdk.celery.payloads import NotJson
    from taskledger_sdk.celery.transactions import using

_HOMES = {
    "LedgerAway": "errors",
    "LedgerBackend": "backend",
    "NotAdopted": "errors",
    "NotDeclared": "errors",
    "NotJson": "payloads",
    "adopt": "adoption",
    "running": "current",
    "using": "transactions",
}

__all__ = [
    "LedgerAway",
    "LedgerBackend",
    "NotAdopted",
    "NotDeclared",
    "NotJson",
    "adopt",
    "running",
    "using",
]


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
