#!/bin/sh
# Looks at the OpenAPI document with Redocly and Spectral: docs/openapi/lint.sh PYTHON (needs npx)
set -eu
cd "$(dirname "$0")/../.."
document=$(mktemp --suffix .json)
trap 'rm -f "$document"' EXIT
PYTHONPATH=. "$1" docs/openapi/document.py >"$document"
npx --yes @redocly/cli@2.77.0 lint --config docs/openapi/redocly.yaml "$document"
npx --yes @stoplight/spectral-cli@6.16.3 lint --quiet --fail-severity warn --ruleset docs/openapi/spectral.yaml "$document"
