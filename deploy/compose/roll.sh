#!/bin/sh
# Replaces the containers of services by new ones of the image and the settings of now, while the service goes on:
#   sh deploy/compose/roll.sh migrate worker dispatcher sinks stream api
# `migrate` is run, and ends well, before anything is replaced. Of the others one container at a time: a new one starts
# and is healthy, nginx sends nothing to the old one any more, the old one finishes what it has begun and goes. Where a
# new one does not become healthy it is removed, and the old ones stay.
set -eu
NGINX_CONF=/etc/nginx/taskledger/nginx.conf
HEALTHY_SECONDS=180

say() { echo "roll: $*"; }

containers_of() { docker compose ps --quiet "$1"; }

# The state of a container: healthy, unhealthy, starting; running where it has no health check; exited.
state_of() {
    docker inspect --format '{{if and .State.Running .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1"
}

wait_until_healthy() {
    for _ in $(seq "$HEALTHY_SECONDS"); do
        case $(state_of "$1") in
        healthy) return 0 ;;
        running) sleep 3; [ "$(state_of "$1")" = running ]; return ;; # it has no health check: it has not ended at least
        exited | dead | unhealthy) return 1 ;;
        esac
        sleep 1
    done
    return 1
}

# nginx sends requests to the names of the services, or during a roll to these containers of one of them.
point_nginx() {
    service=$1
    shift
    [ -n "$(containers_of nginx)" ] || return 0
    {
        for name in api stream; do
            if [ "$name" = "$service" ] && [ $# -gt 0 ]; then
                echo "upstream rolling { $(addresses_of "$@") }"
                echo "map '' \$$name { default rolling; }"
            else
                echo "map '' \$$name { default $name:8000; }"
            fi
        done
    } | docker compose exec -T nginx sh -c "cat >/tmp/taskledger/targets.conf && nginx -s reload -c $NGINX_CONF"
    sleep 1 # until its old processes take no more requests
}

addresses_of() {
    docker inspect --format '{{range .NetworkSettings.Networks}}server {{.IPAddress}}:8000 max_fails=0; {{end}}' "$@" | tr '\n' ' '
}

without() { # WORD WORDS...: the others
    unwanted=$1
    shift
    for word in "$@"; do [ "$word" = "$unwanted" ] || echo "$word"; done
}

replace_one() {
    service=$1 old=$2
    before=$(containers_of "$service")
    docker compose up --detach --no-deps --no-build --no-recreate --scale "$service=$(($(echo "$before" | wc -w) + 1))" "$service"
    new=$(containers_of "$service")
    for container in $before; do new=$(without "$container" $new); done
    if [ -z "$new" ] || ! wait_until_healthy "$new"; then
        say "the new container of $service is not healthy; it is removed, and the old ones go on. It said:" >&2
        [ -z "$new" ] || { docker logs --tail 20 "$new" >&2; docker rm --force "$new" >/dev/null; }
        exit 1
    fi
    case $service in api | stream) point_nginx "$service" "$new" $(without "$old" $before) ;; esac
    docker stop "$old" >/dev/null # as long as its stop_grace_period
    docker rm "$old" >/dev/null
}

# By `up`, not by `run`: Compose would make this container anew later, and with it everything that depends on it.
migrate() {
    docker compose up --detach --no-deps --no-build migrate
    container=$(docker compose ps --all --quiet migrate)
    status=$(docker wait "$container")
    docker logs --tail 20 "$container"
    [ "$status" = 0 ] || { say "migrate ended with status $status; nothing was replaced" >&2; exit 1; }
}

[ $# -gt 0 ] || { echo "usage: sh deploy/compose/roll.sh SERVICE..." >&2; exit 2; }
trap 'point_nginx ""' EXIT # also where something went wrong
for each in "$@"; do
    if [ "$each" = migrate ]; then
        migrate
        continue
    fi
    all=$(containers_of "$each")
    [ -n "$all" ] || say "$each does not run, so there is nothing to replace"
    for container in $all; do
        say "$each: $(docker inspect --format '{{.Name}}' "$container" | cut -c2-)"
        replace_one "$each" "$container"
    done
    case $each in api | stream) point_nginx "" ;; esac
done
say "done"
