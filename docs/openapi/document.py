"""Writes the OpenAPI document, as the service answers with it, to standard output; no server is needed.

`docs/openapi/lint.sh` and `sdk/typescript/tools/generate.sh` read it. The checkout has to be on Python's path.
"""

import os
import sys

from app.factory import create_app

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": "amqp://127.0.0.1:1//"}

if __name__ == "__main__":
    os.environ.update(NOWHERE)
    sys.stdout.write(create_app().test_client().get("/openapi.json").get_data(as_text=True))
