"""What only stores on a shared server can meet: other writers, crashed writers and damaged keys."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from flobc.adapters.redis import RedisBlocks, RedisClient, RedisModels, RedisSettings, RedisStates, connect
from flobc.errors import DataError
from flobc.protocol.chain.block import EMPTY_BODY, Block, Body, Decision, Reason
from flobc.protocol.consensus.state import compute_state_digest
from flobc.protocol.messages import Fault
from tests.contract.conftest import CHUNK_SIZE, GENESIS_HEAD, name_model
from tests.contract.test_block_store import build_chain
from tests.contract.test_model_store import build_model
from tests.support.dialogue import digest
from tests.support.redis_server import list_keys

pytestmark = pytest.mark.integration

PAGES = 3
DECISIONS = 10_000
"""As many as make a body of three pages."""


def build_body(label: str, count: int) -> Body:
    decision = Decision(
        update=digest(label),
        trainer=bytes(32),
        base_height=0,
        k=0,
        reason=Reason.ACCEPTED,
        fault=Fault.NONE,
        score=0,
        staleness=0,
        discount=65_536,
        weight=1,
        votes=bytes(32),
    )
    return dataclasses.replace(EMPTY_BODY, decisions=(decision,) * count)


def build_block(label: str, count: int = DECISIONS) -> Block:
    return dataclasses.replace(build_chain(1, label)[0], body=build_body(label, count))


@pytest.fixture
def open_client(redis_address: str, redis_client: RedisClient) -> Callable[[], RedisClient]:
    """Another replica's client of the same chain."""
    return lambda: connect(RedisSettings.from_url(redis_address, redis_client.prefix))


def list_kinds(client: RedisClient, kind: str) -> list[str]:
    return [key for key in list_keys(client) if key.startswith(client.key(kind))]


def test_a_large_body_lies_in_pages(redis_client: RedisClient) -> None:
    block, store = build_block("large"), RedisBlocks(redis_client, GENESIS_HEAD)
    assert store.append(block)
    assert len(list_kinds(redis_client, "body:piece")) == PAGES
    assert store.get(1) == block


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_writers_at_one_height_one_wins(
    redis_client: RedisClient, open_client: Callable[[], RedisClient], attempt: int
) -> None:
    """The loser changes nothing, and what it wrote before it lost is gone."""
    replicas = [RedisBlocks(open_client(), GENESIS_HEAD) for _ in range(4)]
    blocks = [build_block(f"replica {index}") for index in range(4)]
    barrier = Barrier(4)

    def append(index: int) -> bool:
        barrier.wait(10)
        return replicas[index].append(blocks[index])

    with ThreadPoolExecutor(4) as executor:
        won = list(executor.map(append, range(4)))
    assert sorted(won) == [False, False, False, True]
    for replica in replicas:
        assert replica.height == 1
        assert replica.get(1) == blocks[won.index(True)]
    assert len(list_kinds(redis_client, "body:piece")) == PAGES
    assert list_kinds(redis_client, "body:begun") == []


def test_replicas_that_race_with_equal_blocks_keep_the_body(
    redis_client: RedisClient, open_client: Callable[[], RedisClient]
) -> None:
    """Honest replicas write the same bytes: whoever loses must not take the winner's pages away."""
    blocks = build_chain(20)
    barrier = Barrier(2)

    def follow(replica: RedisBlocks) -> int:
        barrier.wait(10)
        return sum(replica.append(block) for block in blocks)

    replicas = [RedisBlocks(open_client(), GENESIS_HEAD) for _ in range(2)]
    with ThreadPoolExecutor(2) as executor:
        won = list(executor.map(follow, replicas))
    assert sum(won) == len(blocks)
    assert [replicas[0].get(block.height) for block in blocks] == blocks


def test_two_replicas_put_and_forget_at_once(redis_client: RedisClient, open_client: Callable[[], RedisClient]) -> None:
    """Whatever comes first, a model is whole or not there, and no chunk is left without a model."""
    model = build_model(1, 100 * CHUNK_SIZE)
    name = name_model(model)
    writer, sweeper = (RedisModels(open_client(), CHUNK_SIZE) for _ in range(2))
    with ThreadPoolExecutor(1) as executor:
        for _ in range(20):
            putting = executor.submit(writer.put, name, model)
            while not putting.done():
                sweeper.keep_only(frozenset())
                found = sweeper.get(name)
                assert found is None or np.array_equal(found, model)
                time.sleep(0.02)  # longer than a put takes, which may be undone only so often
            putting.result()
    sweeper.keep_only(frozenset())
    assert list_keys(redis_client) == []


CRASHING_WRITER = """
import sys
import numpy as np
from flobc.adapters.redis import RedisModels, RedisSettings, connect
model = np.zeros(int(sys.argv[4]), np.int32)
store = RedisModels(connect(RedisSettings.from_url(sys.argv[1], sys.argv[2])), 131_072)
print("ready", flush=True)
sys.stdin.readline()
store.put(bytes.fromhex(sys.argv[3]), model)
"""


def test_a_writer_killed_in_the_middle_leaves_nothing_that_counts(
    redis_address: str, redis_client: RedisClient
) -> None:
    name, size = digest("half"), 30_000_000
    command = [sys.executable, "-c", CRASHING_WRITER, redis_address, redis_client.prefix, name.hex(), str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        writer.stdin.write("\n")
        writer.stdin.flush()
        until_s = time.monotonic() + 30
        while not list_kinds(redis_client, "model:piece"):
            assert time.monotonic() < until_s
        writer.send_signal(signal.SIGKILL)
    store = RedisModels(redis_client, 131_072)
    assert list_kinds(redis_client, "model:begun") != []
    assert 0 < len(list_kinds(redis_client, "model:piece")) < size // 131_072
    assert store.get(name) is None
    assert store.read_chunk(name, 0) is None
    store.keep_only(frozenset())
    assert list_keys(redis_client) == []


def test_chunks_are_read_one_by_one(redis_client: RedisClient) -> None:
    model, store = build_model(1, 2 * CHUNK_SIZE + 1), RedisModels(redis_client, CHUNK_SIZE)
    name = name_model(model)
    store.put(name, model)
    chunks = [store.read_chunk(name, index) for index in range(-1, 4)]
    assert chunks[0] is chunks[4] is None
    assert b"".join(chunk for chunk in chunks if chunk) == model.tobytes()
    assert store.read_chunk(digest("another"), 0) is None


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (("SETRANGE", "model:piece:{}:1", "5", "xxx"), "another Merkle root"),
        (("SET", "model:piece:{}:1", "short"), "found 5 bytes"),
        (("DEL", "model:piece:{}:1"), "found nothing"),
        (("HSET", "model:held", "{}", "11"), "Piece 0"),
        (("HSET", "model:held", "{}", "-1"), "size"),
    ],
)
def test_a_damaged_model_is_found_out_and_mended(
    redis_client: RedisClient, damage: tuple[str, ...], found: str
) -> None:
    model, store = build_model(1, 3 * CHUNK_SIZE), RedisModels(redis_client, CHUNK_SIZE)
    name = name_model(model)
    store.put(name, model)
    verb, key, *rest = (part.format(name.hex()) for part in damage)
    redis_client.call(verb, redis_client.key(key), *rest)
    with pytest.raises(DataError, match=found):
        store.get(name)
    store.put(name, model)
    np.testing.assert_array_equal(store.get(name), model)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["block:1", "body:piece"])
@pytest.mark.parametrize("verb", ["DEL", "SETRANGE"])
def test_a_damaged_block_is_found_out(redis_client: RedisClient, kind: str, verb: str) -> None:
    """Also where the changed bytes still make a block, only another one."""
    store = RedisBlocks(redis_client, GENESIS_HEAD)
    store.append(build_block("damaged", 1))
    key = next(key for key in list_keys(redis_client) if key.startswith(redis_client.key(kind)))
    redis_client.call(verb, key, *(["40", "xxx"] if verb == "SETRANGE" else []))
    with pytest.raises(DataError, match="damaged"):
        store.get(1)


def test_a_damaged_head_is_found_out(redis_client: RedisClient) -> None:
    store = RedisBlocks(redis_client, GENESIS_HEAD)
    redis_client.call("SET", redis_client.key("head"), "nonsense")
    with pytest.raises(DataError, match="head"):
        _ = store.height
    assert not store.append(build_chain(1)[0])


def test_a_damaged_state_is_found_out(redis_client: RedisClient) -> None:
    store, name = RedisStates(redis_client), compute_state_digest(b"state")
    store.put(name, b"state")
    redis_client.call("APPEND", redis_client.key("state", name.hex()), "x")
    with pytest.raises(DataError, match=name.hex()):
        store.get(name)


def test_chains_share_a_server(redis_address: str, redis_client: RedisClient) -> None:
    """Each sees its own keys alone, also when it forgets."""
    other = connect(RedisSettings.from_url(redis_address, f"{redis_client.prefix}-other"))
    model = build_model(1)
    RedisModels(redis_client, CHUNK_SIZE).put(name_model(model), model)
    RedisBlocks(redis_client, GENESIS_HEAD).append(build_chain(1)[0])
    RedisModels(other, CHUNK_SIZE).keep_only(frozenset())
    assert RedisBlocks(other, GENESIS_HEAD).height == 0
    assert RedisModels(redis_client, CHUNK_SIZE).get(name_model(model)) is not None


def test_forgetting_all_of_a_chain_leaves_the_others(redis_client: RedisClient, redis_address: str) -> None:
    other = connect(RedisSettings.from_url(redis_address, f"{redis_client.prefix}-other"))
    count = 2_500
    for client in (redis_client, other):
        client.write_together([("SET", client.key("state", number), b"x") for number in range(count)])
    assert redis_client.forget_all() == count
    assert list_keys(redis_client) == []
    assert len(list_keys(other)) == count
    assert redis_client.forget_all() == 0
    assert other.forget_all() == count
    other.close()
