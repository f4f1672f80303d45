#!/bin/sh
# Writes the types of what the service says and takes, from its OpenAPI document: generate.sh [OUTPUT]
# PYTHON names the interpreter that has the service's packages, CHECKOUT where its code is; unless given, those here.
set -eu
cd "$(dirname "$0")/.."
checkout=${CHECKOUT:-../..}
python=${PYTHON:-$checkout/.venv/bin/python}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
PYTHONPATH=$checkout:$checkout/sdk/python "$python" "$checkout/docs/openapi/document.py" >"$made/whole.json"
"$python" tools/kept_schemas.py <"$made/whole.json" >"$made/kept.json"
node_modules/.bin/openapi-typescript "$made/kept.json" --default-non-nullable false --output "${1:-src/openapi.ts}" >/dev/null
