# Usage: node.sh validator NUMBER | node.sh trainer. Starts a node with a key of its own, made on its own volume.
set -eu
role=$1
if [ "$role" = validator ]; then
    number=$2
    data=/data
else
    # Trainers are told nothing but how many they are: each takes the first place that no running one holds, and with
    # it the key and the data of whoever had it before. The lock goes on in the service, and ends with it.
    number=0
    while true; do
        data=/data/$number
        mkdir -p "$data"
        exec 9>"$data/place"
        if flock --nonblock 9; then break; fi
        number=$((number + 1))
    done
fi
name=$role-$number
if [ ! -e "$data/key" ]; then
    rm -f "$data/key.new"
    python -m flobc.cli.main keys new --quiet "$data/key.new" >"$data/public"
    mv "$data/key.new" "$data/key"
fi
mkdir -p /chain/public
cp "$data/public" "/chain/public/.$name"
mv "/chain/public/.$name" "/chain/public/$name"
until [ -e /chain/sealed ]; do sleep 0.2; done
echo "$name starts" >&2
export FLOBC_DATA="$data" FLOBC_KEY="$data/key" FLOBC_INDEX=$((number % FLOBC_SHARDS))
exec python -m "services.$role.main"
