# Usage: enrol.sh ROLE. Copies what a node needs to its volume: mounted ConfigMaps and Secrets are links, and a store
# takes no link for a file.
set -eu
role=$1
data=${DATA:-/data} chain=${CHAIN:-/chain} keys=${KEYS:-/keys}

if [ -e "$data/genesis" ] && ! cmp -s "$chain/genesis" "$data/genesis"; then
    echo "The volume of $role-$FLOBC_INDEX belongs to another chain; delete its claim, or restore that chain's genesis." >&2
    exit 1
fi
if [ ! -e "$keys/$role-$FLOBC_INDEX" ]; then
    echo "This chain's genesis enrols no $role-$FLOBC_INDEX; set replicas back to what the first install had." >&2
    exit 1
fi
umask 077
cp "$keys/$role-$FLOBC_INDEX" "$data/key.new"
mv "$data/key.new" "$data/key"
if [ "$role" = validator ]; then
    mkdir -p "$data/initial"
    cp "$chain"/*.model "$data/initial/"
fi
cp "$chain/genesis" "$data/genesis.new"
mv "$data/genesis.new" "$data/genesis"
