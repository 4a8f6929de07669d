# Starts a ledger when there is a chain to serve.
set -eu
until [ -e /chain/sealed ]; do sleep 0.2; done
exec python -m services.ledger.main
