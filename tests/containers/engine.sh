#!/bin/bash
# Docker Engine, Compose and stand-ins for the images that this project stands on, where there is no Docker: on Debian, as
# root, from Debian's packages alone. What was fetched stays in $PLACE, and the engine keeps running.
#   bash tests/containers/engine.sh            afterwards PATH=/opt/docker/bin:$PATH has `docker`
# Where a Docker Engine runs already it is used, and so is every image that was pulled; only what is missing is made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
place=${PLACE:-/var/tmp/containers}
root=$place/trixie
export DEBIAN_FRONTEND=noninteractive PATH=/opt/docker/bin:$PATH
mkdir -p "$place"

say() { echo "== $* ($(date +%T))"; }

fetch_root() {
    say "A root file system of Debian 13"
    apt-get update -qq
    # the mirror that this machine's apt uses, whatever it is
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | grep -m1 debian)
    apt-get install -y -qq --no-install-recommends debootstrap runc iptables iproute2 >/dev/null
    [ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase trixie "$root" "$mirror" >"$place/debootstrap.log"
    printf 'deb %s trixie main\ndeb %s trixie-updates main\ndeb %s-security trixie-security main\n' \
        "$mirror" "$mirror" "${mirror%/}" >"$root/etc/apt/sources.list"
    chroot "$root" sh -c 'apt-get update -qq && apt-get -y -qq upgrade &&
        apt-get -y -qq install --no-install-recommends ca-certificates' >/dev/null
    # whom this machine trusts, and how its pip works: builds reach the same places in the same way
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ntimeout = 180\n' >"$root/etc/pip.conf"
}

# Debian 13 has Engine 26.1 and Compose 2.26; their binaries run with the C library of Debian 12, runc alone does not.
fetch_engine() {
    say "Docker Engine and Compose"
    mkdir -p "$place/debs" /opt/docker/bin /usr/local/lib/docker/cli-plugins
    chroot "$root" sh -c 'cd /tmp && apt-get download -qq docker.io docker-cli docker-compose docker-buildx containerd'
    mv "$root"/tmp/*.deb "$place/debs/"
    local deb x=$place/x
    for deb in "$place"/debs/*.deb; do dpkg -x "$deb" "$x"; done
    install -m755 "$x"/usr/sbin/{dockerd,docker-proxy} "$x"/usr/bin/{containerd,containerd-shim-runc-v2,docker,ctr} /opt/docker/bin/
    install -m755 "$x"/usr/libexec/docker/cli-plugins/* /usr/local/lib/docker/cli-plugins/
}

start_engine() {
    say "dockerd"
    cat >"$place/daemon.json" <<END
{ "data-root": "$place/data", "exec-root": "$place/exec", "pidfile": "$place/docker.pid",
  "hosts": ["unix:///var/run/docker.sock"], "default-address-pools": [{"base": "172.16.0.0/12", "size": 24}] }
END
    # cgroups of the first kind: by default all containers together weigh as much as one process of the host
    if [ -d /sys/fs/cgroup/cpu ]; then
        mkdir -p /sys/fs/cgroup/cpu/docker && echo 10240 >/sys/fs/cgroup/cpu/docker/cpu.shares || true
    fi
    setsid nohup dockerd --config-file "$place/daemon.json" >"$place/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 60); do docker version >/dev/null 2>&1 && break; sleep 1; done
    docker version >/dev/null || { tail -20 "$place/dockerd.log" >&2; exit 1; }
}

import_root() {
    say "The base image"
    tar -C "$root" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./var/lib/apt/lists/*' \
        --exclude='./var/cache/apt/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' -c . |
        docker import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            - debian:trixie-slim >/dev/null
}

# An image under the name that a Dockerfile or compose file asks for, unless the real one was pulled.
stand_in() {
    local name=$1 folder=$here/standins/$2
    if [ -n "$(docker image inspect --format '{{join .RepoDigests " "}}' "$name" 2>/dev/null)" ]; then
        return
    fi
    say "A stand-in for $name"
    docker build --quiet --tag "$name" "$folder" >/dev/null
}

if ! docker version >/dev/null 2>&1; then
    [ -x /opt/docker/bin/dockerd ] || { fetch_root; fetch_engine; }
    start_engine
fi
if ! docker image inspect debian:trixie-slim >/dev/null 2>&1; then
    [ -e "$root/etc/pip.conf" ] || fetch_root
    import_root
fi
stand_in python:3.13.16-slim-trixie python
stand_in postgres:17 postgres
stand_in rabbitmq:4-management rabbitmq
stand_in nginx:1.28-alpine nginx
stand_in prom/prometheus:v3.5.0 prometheus
say "Ready: $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
