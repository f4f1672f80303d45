#!/bin/sh
# Replaces the containers of services by new ones of the image and the settings of now, while the service goes on:
#   sh deploy/compose/roll.sh migrate worker dispatcher sinks stream api
# `migrate` is run, and ends well, before anything is replaced. Workers, dispatchers and sinks are replaced one at a time:
# a new one starts and is healthy, an old one finishes what it has begun and goes. Of api and stream all new ones start,
# nginx sends everything to them, and the old ones go. Where a new one does not become healthy the old ones stay.
set -eu
HEALTHY_SECONDS=180

say() { echo "roll: $*"; }

# So many containers of a service; those that are there stay as they are, and so does everything else. Not --no-deps:
# Compose would take what was started so for out of date.
start() { docker compose up --detach --no-build --no-recreate --scale "$1=$2" "$1"; }

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

# Where nginx sends requests: to every container of a service, or while this file is there to those of one generation.
to_generation() { docker compose exec -T nginx touch "/tmp/taskledger/$1-$2"; }
to_all() { docker compose exec -T nginx rm -f "/tmp/taskledger/$1-blue" "/tmp/taskledger/$1-green"; }

# api and stream: as many new ones are started as there are old ones, and have another name in the network. From one
# request to the next nginx sends everything there; no connection of a client is closed for that, as a reload would.
replace_behind_nginx() {
    service=$1
    variable=$(echo "$service" | tr '[:lower:]' '[:upper:]')_GENERATION
    old=$(containers_of "$service")
    generation=green
    ! grep -qs "^$variable=green$" .env || generation=blue
    export "$variable=$generation"
    count=$(echo "$old" | wc -w)
    for number in $(seq "$count"); do # one after the other: what answers meanwhile needs the processors, too
        start "$service" $((count + number))
        new=$(containers_of "$service")
        for container in $old; do new=$(without "$container" $new); done
        for container in $new; do wait_until_healthy "$container" || give_up "$service" $new; done
    done
    [ -n "$new" ] || give_up "$service"
    if [ -n "$(containers_of nginx)" ]; then
        to_generation "$service" "$generation"
        sleep 2 # until what was on its way to the old ones is there
    fi
    docker stop $old >/dev/null # as long as their stop_grace_period
    docker rm $old >/dev/null
    # from now on a plain `docker compose up` makes containers of this generation, and takes these for up to date
    [ ! -e .env ] || sed -i "/^$variable=/d" .env
    echo "$variable=$generation" >>.env
    [ -z "$(containers_of nginx)" ] || { sleep 2 && to_all "$service"; } # until the old ones are in no answer of DNS
}

give_up() {
    say "a new container of $1 is not healthy; the new ones are removed, and the old ones go on. They said:" >&2
    shift
    for container in "$@"; do
        docker logs --tail 20 "$container" >&2
        docker rm --force "$container" >/dev/null
    done
    exit 1
}

without() { # WORD WORDS...: the others
    unwanted=$1
    shift
    for word in "$@"; do [ "$word" = "$unwanted" ] || echo "$word"; done
}

replace_one() {
    service=$1 old=$2
    before=$(containers_of "$service")
    start "$service" $(($(echo "$before" | wc -w) + 1))
    new=$(containers_of "$service")
    for container in $before; do new=$(without "$container" $new); done
    { [ -n "$new" ] && wait_until_healthy "$new"; } || give_up "$service" $new
    docker stop "$old" >/dev/null # as long as its stop_grace_period
    docker rm "$old" >/dev/null
}

# By `up`, not by `run`: Compose would make this container anew later, and with it everything that depends on it.
migrate() {
    docker compose rm --force --stop migrate >/dev/null
    docker compose up --detach --no-build --no-recreate migrate
    container=$(docker compose ps --all --quiet migrate)
    status=$(docker wait "$container")
    docker logs --tail 20 "$container"
    [ "$status" = 0 ] || { say "migrate ended with status $status; nothing was replaced" >&2; exit 1; }
}

[ $# -gt 0 ] || { echo "usage: sh deploy/compose/roll.sh SERVICE..." >&2; exit 2; }
for each in "$@"; do
    [ "$each" != migrate ] || { migrate; continue; }
    all=$(containers_of "$each")
    [ -n "$all" ] || say "$each does not run, so there is nothing to replace"
    case $each in
    api | stream)
        say "$each: all of them"
        [ -z "$all" ] || replace_behind_nginx "$each"
        ;;
    *)
        for container in $all; do
            say "$each: $(docker inspect --format '{{.Name}}' "$container" | cut -c2-)"
            replace_one "$each" "$container"
        done
        ;;
    esac
done
say "done"
