#!/bin/sh
# Starts nginx in its container: says to which port of the host plain HTTP is sent on.
set -eu
mkdir -p /tmp/taskledger
port=":${HTTPS_PORT:-443}"
[ "$port" != ":443" ] || port=""
echo "map '' \$https_port { default '$port'; }" >/tmp/taskledger/https_port.conf
exec nginx -c /etc/nginx/taskledger/nginx.conf -g "daemon off;"
