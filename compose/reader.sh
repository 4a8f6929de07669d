# Starts a service that reads the chain when there is one: sh reader.sh ROLE
set -eu
until [ -e /chain/sealed ]; do sleep 0.2; done
exec python -m "services.$1.main"
