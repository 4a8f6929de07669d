"""What is reached over the network: Kafka, Redis, ledgers and validators."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from flobc.adapters.grpc import LedgerClient, Patience, is_serving
from flobc.adapters.kafka import check_topic, get_version
from flobc.adapters.redis import RedisClient, check_server, connect
from flobc.composition.doctor.findings import Finding, build_failure
from flobc.composition.services.connections import find_kafka, find_redis, find_tls
from flobc.composition.services.parts import UPDATE_PARTITIONS, get_topic_names
from flobc.composition.services.recording import get_prefix
from flobc.errors import FlobcError, VerificationError
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.params import Genesis, get_chain_id
from flobc.protocol.roles.light_client import LightClient

SKEW_S = 2.0
"""No rule of the protocol reads a clock; logs of two machines and TLS certificates do."""
LAG = 3
"""So many blocks may one ledger be behind another while the chain moves."""
FULL_SHARE = 0.8
_MIB = 1 << 20
_PATIENCE = Patience(call_s=5.0, stream_s=10.0, retry_s=1.0)


def check_kafka(address: str, genesis: Genesis | None) -> Iterator[Finding]:
    """Yield whether Kafka answers, and whether the chain's topics are as they must be."""
    try:
        settings = dataclasses.replace(find_kafka(address, "doctor"), connect_timeout_s=5, request_timeout_s=5)
        yield Finding("ok", "Kafka", f"answers at {address}, version {get_version(settings)} or newer")
    except FlobcError as error:
        yield build_failure("Kafka", error)
        return
    if genesis is None:
        yield Finding("warning", "Kafka's topics", "not looked at: which they are says the genesis; give --genesis.")
        return
    for name, partitions in zip(get_topic_names(genesis), (1, UPDATE_PARTITIONS), strict=True):
        try:
            is_there = check_topic(settings, name, partitions, retention_s=None)
        except FlobcError as error:
            yield build_failure(f"topic {name}", error)
            continue
        if is_there:
            yield Finding("ok", f"topic {name}", "its settings are right")
        else:
            yield Finding("warning", f"topic {name}", "is not there yet; the first validator that starts makes it.")


def check_redis(address: str, genesis: Genesis | None, now_s: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Yield whether Redis answers, keeps what it is given, has room, and agrees on the time."""
    try:
        client = connect(find_redis(address, "flobc" if genesis is None else get_prefix(genesis)))
    except FlobcError as error:
        yield build_failure("Redis", error)
        return
    try:
        info = client.get_info()
        yield Finding("ok", "Redis", f"answers at {client.address}, version {info.get('redis_version')}")
        yield from check_redis_settings(client)
        yield check_memory(int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)))
        seconds, microseconds = client.call("TIME")
        yield check_clock("Redis's clock", int(seconds) + int(microseconds) / 1e6 - now_s())
    except FlobcError as error:
        yield build_failure("Redis", error)
    finally:
        client.close()


def check_redis_settings(client: RedisClient) -> Iterator[Finding]:
    """Yield whether the server's settings lose nothing. **Raises** TransientError."""
    try:
        check_server(client)
    except FlobcError as error:
        yield build_failure("Redis's settings", error)
    else:
        yield Finding("ok", "Redis's settings", "appendonly yes, maxmemory-policy noeviction")


def check_memory(used_bytes: int, most_bytes: int) -> Finding:
    """Return whether the server has room; 0 is no limit but the machine's."""
    used = f"{used_bytes / _MIB:.0f} MiB"
    if most_bytes and used_bytes > FULL_SHARE * most_bytes:
        return Finding(
            "warning",
            "Redis's memory",
            f"{used} of {most_bytes / _MIB:.0f} MiB are used; when it is full no block is recorded any more.",
            f"redis-cli CONFIG SET maxmemory {2 * most_bytes}",
        )
    return Finding("ok", "Redis's memory", f"{used} used")


def check_clock(name: str, ahead_s: float) -> Finding:
    """Return whether another clock goes like ours."""
    if abs(ahead_s) > SKEW_S:
        return Finding(
            "warning",
            name,
            f"is {ahead_s:+.1f} s from this machine's; set both by one time server.",
            "timedatectl set-ntp true",
        )
    return Finding("ok", name, f"{ahead_s:+.1f} s from this machine's")


def check_serving(role: str, addresses: tuple[str, ...]) -> Iterator[Finding]:
    """Yield which services do not serve. **Raises** UsageError when the files of TLS cannot be read."""
    tls = find_tls()
    serving = [address for address in addresses if is_serving(address, tls)]
    for address in addresses:
        if address not in serving:
            yield Finding(
                "problem", f"{role} {address}", "does not serve: it is away or still reads the log; see its own log."
            )
    if serving:
        yield Finding("ok", f"{role}s", f"{len(serving)} of {len(addresses)} serve")


def check_heads(addresses: tuple[str, ...], genesis: Genesis | None) -> Iterator[Finding]:
    """Yield whether all ledgers tell of one chain that its validators certified, and how far. **Raises** UsageError."""
    tls = find_tls()
    clients = {address: LedgerClient((address,), tls, _PATIENCE) for address in addresses}
    try:
        heads: dict[str, Block | None] = {}
        for address, client in clients.items():
            try:
                heads[address] = client.get_head()
                _require_certified(heads[address], genesis)
            except FlobcError as error:
                heads.pop(address, None)
                yield build_failure(f"ledger {address}", error)
        if heads:
            yield from compare_heads(heads, lambda address, height: clients[address].get_block(height))
    finally:
        for client in clients.values():
            client.close()


def compare_heads(heads: dict[str, Block | None], get_block: Callable[[str, int], Block | None]) -> Iterator[Finding]:
    """Yield whether these heads are of one chain: what each has at the height that all have."""
    heights = {address: 0 if block is None else block.height for address, block in heads.items()}
    common, newest = min(heights.values()), max(heights.values())
    found = {}
    for address in heads if common else ():
        try:
            block = get_block(address, common)
        except FlobcError as error:
            yield build_failure(f"ledger {address}", error)
            continue
        found[address] = b"" if block is None else compute_header_digest(block.header)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{address} has {digest.hex()[:12] or 'none'}" for address, digest in found.items())
        yield Finding(
            "problem",
            "heads",
            f"the ledgers disagree on block {common}: {told}; find the wrong store and write it again.",
            "flobc ledger rebuild --help",
        )
        return
    for address, height in heights.items():
        if newest - height > LAG:
            yield Finding("warning", f"ledger {address}", f"is at block {height} while another is at {newest}.")
    if len(found) == len(heads) or not common:
        yield Finding("ok", "heads", f"all ledgers agree on block {common}")


def _require_certified(head: Block | None, genesis: Genesis | None) -> None:
    if head is None or genesis is None:
        return
    if head.header.chain != get_chain_id(genesis):
        raise VerificationError(head.height, "CHAIN-1", "it serves another chain than the genesis begins")
    LightClient(genesis).require_certified(head.header, head.certificate)
