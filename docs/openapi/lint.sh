#!/bin/sh
# Looks at the OpenAPI document with Redocly and Spectral: docs/openapi/lint.sh PYTHON (needs npx)
set -eu
cd "$(dirname "$0")/../.."
document=$(mktemp --suffix .json)
trap 'rm -f "$document"' EXIT
DATABASE_URL=postgresql://nobody@127.0.0.1:1/none BROKER_URL=amqp://127.0.0.1:1// "$1" - >"$document" <<'END'
import sys

from app.factory import create_app

sys.stdout.write(create_app().test_client().get("/openapi.json").get_data(as_text=True))
END
npx --yes @redocly/cli@2.77.0 lint --config docs/openapi/redocly.yaml "$document"
npx --yes @stoplight/spectral-cli@6.16.3 lint --quiet --fail-severity warn --ruleset docs/openapi/spectral.yaml "$document"
