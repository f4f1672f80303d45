#!/bin/sh
# Runs tests on the Python of the images, in a container: tests/in_container.sh [options of pytest]
# It needs Docker. What pip installs stays in a volume, one for each image and list of packages.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/opt/docker/bin
image=${IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' Dockerfile.api | head -n 1)}
volume=taskledger-tests-$( (echo "$image"; cat requirements-dev.txt) | cksum | cut -d ' ' -f 1)
# The checkout is read-only there: what the tests of another user leave behind nobody here could delete.
exec docker run --rm --network host --shm-size 256m --volume "$PWD:/srv/taskledger:ro" --volume "$volume:/venv" \
    --workdir /srv/taskledger --env PYTHONDONTWRITEBYTECODE=1 --env HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis \
    "$image" sh -euc '
        python -VV
        if [ ! -e /venv/complete ]; then
            python -m venv --clear /venv
            /venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
            touch /venv/complete
        fi
        # the SDK as it stands in the checkout, for every program of this environment
        echo /srv/taskledger/sdk/python >"$(/venv/bin/python -c "import sysconfig; print(sysconfig.get_path(\"purelib\"))")/sdk.pth"
        exec /venv/bin/python -m pytest -p no:cacheprovider "$@"' sh "$@"
