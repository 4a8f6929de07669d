"""``flobc invite`` and ``flobc join``: how a trainer that is not in the genesis comes into a chain."""

from __future__ import annotations

from argparse import Namespace

from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import LedgerClient
from flobc.adapters.kafka import KafkaTopic
from flobc.cli import kinds
from flobc.cli.output import Talk, print_json
from flobc.cli.places import expand_path
from flobc.composition.organisations.invitations import create_invitation, find_join
from flobc.composition.organisations.joining import send_join, wait_for_admission
from flobc.composition.services.connections import find_kafka, find_tls
from flobc.composition.services.parts import get_topic_names, load_genesis_file
from flobc.composition.services.settings import split_addresses
from flobc.errors import UsageError
from flobc.protocol.identity import short_id
from flobc.protocol.messages import Join
from flobc.protocol.params import Genesis

CLOSE_S = 5.0


def read_genesis(given: str) -> Genesis:
    """Return the genesis in a file or a chain's directory. **Raises** DataError."""
    path = expand_path(given)
    return load_genesis_file(path / "genesis" if path.is_dir() else path)


def execute_invite(arguments: Namespace) -> int:
    """Write an invitation that a number of trainers may join by."""
    path = expand_path(arguments.out)
    joins = kinds.whole(1, 2**32 - 1).read("--max-joins", arguments.max_joins)
    until = kinds.whole(1, 2**63 - 1).read("--until-height", arguments.until_height)
    operator = load_key_file(expand_path(arguments.key))
    invitation = create_invitation(path, read_genesis(arguments.genesis), operator, joins, until)
    if arguments.json:
        print_json(
            {
                "invitation": str(path),
                "chain": invitation.chain.hex(),
                "invite_key": invitation.invite_key.hex(),
                "max_joins": joins,
                "until_height": until,
            }
        )
    else:
        print(path)
    Talk(arguments.quiet).say(
        f"Whoever has {path} may join, {joins} in all, below height {until}; hand it over on a private way."
    )
    return 0


def execute_join(arguments: Namespace) -> int:
    """Publish a trainer's request to join, and wait until it is in if asked to."""
    genesis, talk = read_genesis(arguments.genesis), Talk(arguments.quiet)
    timeout_s = kinds.number(zero=False).read("--timeout", arguments.timeout)
    if arguments.wait != (arguments.ledger is not None):
        raise UsageError("--wait and --ledger go together: what a ledger serves tells whether the trainer is in.")
    trainer = load_key_file(expand_path(arguments.key))
    invitation = None if arguments.invitation is None else expand_path(arguments.invitation)
    join = find_join(genesis, trainer, invitation)
    if join is None:
        raise UsageError(f"The key {short_id(trainer.public_key)} is a trainer of the genesis; it is in already.")
    height = _publish(genesis, join, arguments, timeout_s, talk)
    if arguments.json:
        print_json({"trainer": trainer.public_key.hex(), "joined": height is not None, "height": height})
    elif height is None:
        print(f"{short_id(trainer.public_key)} asked to join; it is in when a block says so: --wait waits for that.")
    else:
        print(f"{short_id(trainer.public_key)} is in: block {height} has it.")
    return 0


def _publish(genesis: Genesis, join: Join, arguments: Namespace, timeout_s: float, talk: Talk) -> int | None:
    """Return the height of the state that has the trainer, None when nobody waits for it."""
    topic = KafkaTopic(find_kafka(arguments.kafka, "join"), get_topic_names(genesis)[1])
    try:
        if not arguments.wait:
            send_join(topic, join)
            return None
        ledger = LedgerClient(split_addresses(arguments.ledger), find_tls())
        try:
            talk.say("Waiting for a block that has the trainer ...")
            return wait_for_admission(genesis, ledger, join, lambda: send_join(topic, join), timeout_s)
        finally:
            ledger.close()
    finally:
        topic.close(CLOSE_S)
