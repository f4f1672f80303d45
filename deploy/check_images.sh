#!/bin/sh
# Builds the virtual environment of each image as its Dockerfile does, without Docker: that it installs with every hash,
# that what is left still works, and that it stays within its budget. deploy/check_images.sh [MEGABYTES]
set -eu
cd "$(dirname "$0")/.."
budget=${1:-275}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export DATABASE_URL=postgresql://nobody@127.0.0.1:1/none BROKER_URL=amqp://guest:guest@127.0.0.1:1//

for image in api worker; do
    sh deploy/build_venv.sh "$place/$image" requirements.txt "$image" sdk/python >"$place/log" 2>&1 || { tail -20 "$place/log"; exit 1; }
    size=$(du -smc "$place/$image" app tasks celeryconfig.py | tail -1 | cut -f 1)
    echo "$image: $size MB of $budget"
    [ "$size" -le "$budget" ]
done
"$place/api/bin/tledger" --version >/dev/null
"$place/api/bin/flask" --app app tasks --help >/dev/null
"$place/api/bin/gunicorn" --worker-class app.server.Threads --check-config 'app.factory:create_app()'
"$place/worker/bin/python" -c 'import tasks.celery; tasks.celery.app.loader.import_default_modules(); import duckdb, PIL.Image, fpdf'
"$place/worker/bin/python" -m tasks worker --help >/dev/null
"$place/worker/bin/celery" -A tasks report >/dev/null
"$place/worker/bin/celery" -A tasks flower --help >/dev/null
echo "Both environments install and start."
