# Usage: enrol.sh ROLE. Puts on a node's volume what its service needs: mounted ConfigMaps and Secrets are links, and a
# store takes no link for a file. A trainer whose key nobody stored makes its own, here, and joins by the invitation.
set -eu
role=$1
data=${DATA:-/data} chain=${CHAIN:-/chain} keys=${KEYS:-/keys} invitation=${INVITATION:-/invitation}

is_successor() { # of the chain that the volume was of: that one is among its ancestors, and its own seals stay
    cmp -s "$chain/parent" "$data/genesis" && return
    [ -e "$chain/ancestors" ] && grep -qx "$(sha256sum <"$data/genesis" | cut -c1-64)" "$chain/ancestors"
}

if [ -e "$data/genesis" ] && ! cmp -s "$chain/genesis" "$data/genesis" && ! is_successor; then
    echo "The volume of $role-$FLOBC_INDEX belongs to another chain; delete its claim, or restore that chain's genesis." >&2
    exit 1
fi
if [ "$role" = validator ] && [ ! -e "$keys/validator-$FLOBC_INDEX" ]; then
    echo "This chain's genesis enrols no validator-$FLOBC_INDEX, so it waits idle; set validators.replicas for a successor." >&2
    exec sleep "${IDLE_S:-infinity}"
fi

umask 077
place() { # FROM TO: whole or not at all
    cp "$1" "$2.new"
    mv "$2.new" "$2"
}

mkdir -p "$data/keys"
index=$((FLOBC_INDEX * PER_POD))
last=$((index + PER_POD - 1))
while [ "$index" -le "$last" ]; do
    own="$data/keys/$role-$index"
    if [ -e "$keys/$role-$index" ]; then
        place "$keys/$role-$index" "$own"
    elif [ ! -e "$own" ]; then
        rm -f "$own.new"
        python -m flobc.cli.main keys new --quiet "$own.new" >/dev/null
        mv "$own.new" "$own"
    fi
    index=$((index + 1))
done
if [ -e "$invitation/invitation" ]; then
    place "$invitation/invitation" "$data/invitation"
fi
if [ "$role" = validator ]; then
    mkdir -p "$data/initial"
    cp "$chain"/*.model "$data/initial/"
fi
place "$chain/genesis" "$data/genesis"
