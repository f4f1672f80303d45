#!/bin/sh
# PostgreSQL's image runs this once, in a new volume, as its superuser. The service gets a role and a database of its own.
# CREATEROLE is for `flask --app app sql-roles`: since PostgreSQL 16 it is about roles that this one has made.
# Nobody logs in as the superuser over the network any more; docker compose exec postgres psql -U postgres needs no password.
set -eu
export POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}"
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\getenv password POSTGRES_PASSWORD
\getenv superuser POSTGRES_USER
CREATE ROLE taskledger LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE taskledger OWNER taskledger;
ALTER ROLE :"superuser" PASSWORD NULL;
SQL
