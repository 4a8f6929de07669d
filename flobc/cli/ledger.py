"""``flobc ledger rebuild``: a ledger's store, written again from whatever still holds the chain."""

from __future__ import annotations

import re
from argparse import Namespace

from flobc.adapters.grpc import BlobClient, LedgerClient
from flobc.adapters.redis import check_server, connect
from flobc.cli.joining import read_genesis
from flobc.cli.output import Talk, print_fields, print_json
from flobc.cli.places import expand_path
from flobc.cli.steps import show_steps
from flobc.composition.rebuild import PeerSource, Source, open_archive_source, open_kafka_source, rebuild
from flobc.composition.services.connections import find_kafka, find_redis, find_tls
from flobc.composition.services.recording import build_stores, get_prefix
from flobc.composition.services.settings import split_addresses
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.protocol.params import get_chain_id

_ADDRESSES = re.compile(r"[^\s/]+:\d+(,[^\s/]+:\d+)*")


def execute_rebuild(arguments: Namespace) -> int:
    """Write the store and print its head, which is the source's."""
    talk = Talk(arguments.quiet)
    source = open_source(arguments)
    try:
        client = connect(find_redis(arguments.redis, get_prefix(source.genesis)))
        check_server(client)
        if arguments.wipe:
            talk.say(f"Forgot {show_count(client.forget_all(), 'key')} of this chain in Redis at {client.address}.")
        stores = build_stores(client, source.genesis)
        with show_steps("rebuilding", talk) as progress:
            report = rebuild(source, stores, progress)
        beyond = stores.blocks.height - report.height
        if beyond > 0:
            talk.warn(
                f"the store goes on for {show_count(beyond, 'block')} that the source did not have; "
                "what is there was left as it is"
            )
        client.close()
    finally:
        source.close()
    fields = {
        "chain": report.chain.hex(),
        "height": report.height,
        "head": report.head.hex(),
        "written": report.written,
        "found": report.found,
        "models": report.models,
    }
    if arguments.json:
        print_json(dict(fields))
    else:
        print_fields(fields.items())
    return 0


def open_source(arguments: Namespace) -> Source:
    """Return where the chain is read from. **Raises** UsageError, DataError, TransientError."""
    given, kafka, genesis_given = arguments.from_given, arguments.kafka_given, arguments.genesis_given
    if (given is None) == (kafka is None):
        raise UsageError("flobc ledger rebuild needs one source: --from PATH, --from ADDRESS, or --kafka ADDRESS.")
    if given is not None and (expand_path(given).exists() or not _ADDRESSES.fullmatch(given)):
        source = open_archive_source(expand_path(given))
        if genesis_given is not None and get_chain_id(read_genesis(genesis_given)) != get_chain_id(source.genesis):
            source.close()
            raise UsageError(f"{given} holds chain {get_chain_id(source.genesis).hex()[:12]}, not that of --genesis.")
        return source
    if genesis_given is None:
        raise UsageError("Nobody who serves a chain is believed, so its genesis is needed: give --genesis PATH.")
    genesis = read_genesis(genesis_given)
    if given is not None:
        return PeerSource(genesis, LedgerClient(split_addresses(given), find_tls()))
    if arguments.validators_given is None:
        raise UsageError(
            "Kafka holds no models; name validators that serve them with --validators HOST:PORT,HOST:PORT."
        )
    peers = BlobClient(split_addresses(arguments.validators_given), find_tls())
    return open_kafka_source(find_kafka(kafka, "rebuild"), genesis, peers.get_model)
