#!/bin/sh
# Starts nginx in its container: says where the others are, and to which port of the host plain HTTP is sent on.
# deploy/compose/roll.sh writes targets.conf anew while it replaces containers.
set -eu
mkdir -p /tmp/taskledger
port=":${HTTPS_PORT:-443}"
[ "$port" != ":443" ] || port=""
cat >/tmp/taskledger/targets.conf <<'END'
map "" $api { default api:8000; }
map "" $stream { default stream:8000; }
END
echo "map '' \$https_port { default '$port'; }" >/tmp/taskledger/https_port.conf
exec nginx -c /etc/nginx/taskledger/nginx.conf -g "daemon off;"
