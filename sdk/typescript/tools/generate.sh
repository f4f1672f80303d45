#!/bin/sh
# Writes the types of what the service says and takes, from its OpenAPI document: generate.sh [OUTPUT]
# PYTHON names the interpreter that has the service's packages, CHECKOUT where its code is; unless given, those here.
set -eu
cd "$(dirname "$0")/.."
checkout=${CHECKOUT:-../..}
document=$(mktemp -d)/openapi.json
trap 'rm -rf "$(dirname "$document")"' EXIT
PYTHONPATH=$checkout:$checkout/sdk/python "${PYTHON:-$checkout/.venv/bin/python}" tools/document.py "$document"
node_modules/.bin/openapi-typescript "$document" --default-non-nullable false --output "${1:-src/openapi.ts}" >/dev/null
