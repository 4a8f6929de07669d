# Makes the chain once: waits for the public keys of four validators and the first trainer, seals a genesis with them,
# and signs an invitation for everybody who comes later. No secret key but the operator's is ever here.
set -eu
if [ -e /chain/sealed ]; then
    echo "the chain is there already"
    exit 0
fi
flobc() { python -m flobc.cli.main "$@"; }
rm -rf /chain/making /data/draft # what an interrupted attempt left
flobc genesis new --quiet --draft /data/draft --task "$TASK" --admission invite
[ -e /data/operator ] || flobc keys new --quiet /data/operator >/data/operator.pub
set -- --operator /data/operator.pub
for node in validator-0 validator-1 validator-2 validator-3 trainer-0; do
    until [ -e "/chain/public/$node" ]; do sleep 0.2; done
    set -- "$@" "--${node%-*}" "/chain/public/$node"
done
flobc genesis add --quiet /data/draft "$@"
flobc genesis seal --quiet /data/draft --dir /chain/making
flobc invite --quiet --genesis /chain/making --key /data/operator --max-joins 1000 --until-height 1000000000 \
    --out /chain/making/invitation
mv /chain/making /chain/sealed # at once: nobody sees half of it
