#!/bin/bash
# As the official image as far as this project uses it: sets up on the unix socket only, then becomes the server as postgres.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"; chmod 700 "$PGDATA"; chown -R postgres "$PGDATA" /run/postgresql
    exec gosu postgres "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=${POSTGRES_PASSWORD:-}; [ -n "$password" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$password")
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "${@:2}" -c listen_addresses=)" -w start
    export POSTGRES_PASSWORD=$password
    if [ "${POSTGRES_DB:-postgres}" != postgres ]; then
        psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
    fi
    for script in /docker-entrypoint-initdb.d/*.sh; do
        # shellcheck source=/dev/null # the official image sources what is not executable
        if [ -x "$script" ]; then "$script"; elif [ -e "$script" ]; then . "$script"; fi
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
