#!/bin/sh
# Makes the virtual environment of an image: deploy/build_venv.sh FOLDER REQUIREMENTS api|worker SDK
# The Dockerfiles run it, and so does `make images`, which measures what it made on any machine.
set -eu
folder=$1 requirements=$2 image=$3 sdk=$4

# What only handlers, the dispatcher's image and Flower load; tests/deploy/test_images.py holds the API to that.
worker_only="duckdb fpdf2 fonttools pillow flower tornado humanize"

python3 -m venv "$folder"
"$folder/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --quiet --require-hashes -r "$requirements"
# The requirements hold what it needs and what builds it.
"$folder/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --quiet --no-deps --no-build-isolation "$sdk"
"$folder/bin/python" -m pip uninstall --yes --quiet flit_core
if [ "$image" = api ]; then
    # shellcheck disable=SC2086 # a list of words
    "$folder/bin/python" -m pip uninstall --yes --quiet $worker_only
fi
"$folder/bin/python" -m pip uninstall --yes --quiet setuptools 2>/dev/null || true
"$folder/bin/python" -m pip uninstall --yes --quiet pip

# Tests of other people and what helps to write them, sources in C, stubs of types, and symbols that only a debugger
# reads. Bundled libraries (*.libs) are left alone: their headers were rewritten when the wheel was made, and strip may
# break them.
find "$folder" -type d \( -name tests -o -name test \) -path '*/site-packages/*' -prune -exec rm -rf {} +
find "$folder" -type d \( -path '*/sqlalchemy/testing' -o -path '*/alembic/testing' -o -path '*/mako/testing' \) \
    -prune -exec rm -rf {} +
find "$folder" -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete
if command -v strip >/dev/null; then
    find "$folder" -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +
fi
