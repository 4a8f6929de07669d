"""Every kind of damage or forgery is named with the first height it touches and the rule it breaks."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flobc.adapters.filesystem.stores import get_block_path
from flobc.composition.archive import open_archive
from flobc.composition.verification import VerifyReport, verify_chain
from flobc.errors import DataError, FlobcError, VerificationError
from flobc.protocol.chain.block import Block
from flobc.protocol.identity import Identity
from tests.support import small_chain as chain


def verify(root: Path, *, full: bool = True) -> VerifyReport:
    return verify_chain(open_archive(root), full=full)


def swap_blocks(root: Path) -> None:
    one, two = chain.load_block(root, 1), chain.load_block(root, 2)
    chain.store_block(root, 1, two)
    chain.store_block(root, 2, one)


def drop_block(root: Path) -> None:
    get_block_path(root / "blocks", 2).unlink()


def flip_block_tail(root: Path) -> None:
    path = get_block_path(root / "blocks", 2)
    chain.flip_byte(path, path.stat().st_size - 1)


def truncate_block(root: Path) -> None:
    path = get_block_path(root / "blocks", 2)
    path.write_bytes(path.read_bytes()[:-1])


def on_block(height: int, change: Callable[[Block], Block]) -> Callable[[Path], None]:
    return lambda root: chain.change_block(root, height, change)


def drop_seal(block: Block) -> Block:
    return dataclasses.replace(block, certificate=block.certificate[1:])


def duplicate_seal(block: Block) -> Block:
    first, *others = block.certificate
    return dataclasses.replace(block, certificate=(first, first, *others))


def replace_seal_by_duplicate(block: Block) -> Block:
    first, _, third = block.certificate
    return dataclasses.replace(block, certificate=(first, first, third))


def forge_certificate(block: Block) -> Block:
    strangers = [Identity.from_seed(bytes([index]) * 32) for index in range(chain.QUORUM)]
    return chain.reseal(block, block.header, sorted(strangers, key=lambda key: key.public_key))


def other_signers(block: Block) -> Block:
    """Another good quorum than the one in the log."""
    return chain.reseal(block, block.header, chain.get_validators()[1:])


def change_header(**changes: object) -> Callable[[Block], Block]:
    def change(block: Block) -> Block:
        header = dataclasses.replace(block.header, **changes)  # type: ignore[arg-type]
        return chain.reseal(block, header, chain.get_validators()[: chain.QUORUM])

    return change


def change_signature(block: Block) -> Block:
    first, *others = block.body.headers
    headers = (dataclasses.replace(first, signature=bytes(64)), *others)
    return dataclasses.replace(block, body=dataclasses.replace(block.body, headers=headers))


def rewrite_score(block: Block) -> Block:
    return chain.rewrite_decision_with_all_keys(block, score=block.body.decisions[0].score + 1000)


def exchange_trainer(block: Block) -> Block:
    return chain.rewrite_decision_with_all_keys(block, trainer=bytes(32))


def change_examples(block: Block) -> Block:
    first, *others = block.body.headers
    headers = (dataclasses.replace(first, num_examples=first.num_examples + 1), *others)
    return dataclasses.replace(block, body=dataclasses.replace(block.body, headers=headers))


def drop_record(root: Path, index: int) -> None:
    records = chain.read_records(root)
    chain.write_records(root, records[:index] + records[index + 1 :])


def drop_closing_record(root: Path) -> None:
    drop_record(root, chain.find_close(root, 2))


def drop_ready(root: Path) -> None:
    """The quorum of readys is gone, so the seals that follow seal nothing."""
    drop_record(root, chain.find_close(root, 2) + 1)


def drop_first_vote(root: Path) -> None:
    drop_record(root, chain.find_commit(root, 2) + 1)


def exchange_votes(root: Path) -> None:
    records = chain.read_records(root)
    records[0], records[1] = records[1], records[0]
    chain.write_records(root, records)


def flip_log_payload(root: Path) -> None:
    chain.flip_byte(root / "log", 40)


def flip_log_length(root: Path) -> None:
    chain.flip_byte(root / "log", 0, bit=6)


def flip_late_log(root: Path) -> None:
    records = chain.read_records(root)
    before = sum(8 + len(record) for record in records[: chain.find_commit(root, 2) + 1])
    chain.flip_byte(root / "log", before + 20)


def flip_payload_chunk(root: Path) -> None:
    path = chain.get_payload_path(root, 2)
    chain.flip_byte(path, path.stat().st_size - 3)


def flip_payload_header(root: Path) -> None:
    chain.flip_byte(chain.get_payload_path(root, 2), 50)


def change_payload_signature(root: Path) -> None:
    payloads, _ = chain.get_stores(root)
    update = bytes.fromhex(chain.get_payload_path(root, 2).stem)
    payload = payloads.get(update)
    assert payload is not None
    payloads.put(update, dataclasses.replace(payload, header=dataclasses.replace(payload.header, signature=bytes(64))))


def truncate_payload(root: Path) -> None:
    path = chain.get_payload_path(root, 2)
    path.write_bytes(path.read_bytes()[:-1])


def drop_payload_chunk(root: Path) -> None:
    payloads, _ = chain.get_stores(root)
    update = bytes.fromhex(chain.get_payload_path(root, 2).stem)
    payload = payloads.get(update)
    assert payload is not None
    payloads.put(update, dataclasses.replace(payload, chunks=payload.chunks[:-1]))


def exchange_payload(root: Path) -> None:
    shutil.copy(chain.get_payload_path(root, 3), chain.get_payload_path(root, 2))


def exchange_chunks(root: Path) -> None:
    """Another trainer's valid chunks under this trainer's header."""
    payloads, _ = chain.get_stores(root)
    first, second = (bytes.fromhex(chain.get_payload_path(root, 2, index).stem) for index in (0, 1))
    mine, other = payloads.get(first), payloads.get(second)
    assert mine is not None
    assert other is not None
    payloads.put(first, dataclasses.replace(mine, chunks=other.chunks))


def flip_model(height: int) -> Callable[[Path], None]:
    return lambda root: chain.flip_byte(chain.get_model_path(root, height), 17)


def truncate_model(root: Path) -> None:
    path = chain.get_model_path(root, 2)
    path.write_bytes(path.read_bytes()[:-4])


def flip_genesis(root: Path) -> None:
    """The salt: still a good genesis, but another chain's."""
    data = (root / "genesis").read_bytes()
    salt = open_archive(root).genesis.salt
    chain.flip_byte(root / "genesis", data.index(salt))


def wrong_model_by_all(root: Path) -> None:
    chain.commit_wrong_model(root, 3, bytes(32))


def change_body(block: Block, **changes: object) -> Block:
    return dataclasses.replace(block, body=dataclasses.replace(block.body, **changes))  # type: ignore[arg-type]


def reverse_headers(block: Block) -> Block:
    return change_body(block, headers=block.body.headers[::-1])


def change_step(block: Block) -> Block:
    return dataclasses.replace(block, header=dataclasses.replace(block.header, step=block.header.step + 1))


BROKEN: list[tuple[str, Callable[[Path], None], int, str]] = [
    ("genesis flipped", flip_genesis, 0, "CHAIN-1"),
    ("blocks swapped", swap_blocks, 1, "CHAIN-8"),
    ("block dropped", drop_block, 2, "CHAIN-8"),
    ("block flipped", flip_block_tail, 2, "CHAIN-8"),
    ("block truncated", truncate_block, 2, "CHAIN-8"),
    ("block of another version", on_block(2, lambda block: dataclasses.replace(block, version=2)), 2, "CHAIN-8"),
    ("block of another chain", on_block(2, change_header(chain=bytes(32))), 2, "CHAIN-1"),
    ("another parent", on_block(2, change_header(parent=bytes(32))), 2, "CHAIN-8"),
    ("another height", on_block(2, change_header(height=7)), 2, "CHAIN-8"),
    ("seal dropped", on_block(2, drop_seal), 2, "CHAIN-6"),
    ("seal repeated", on_block(2, duplicate_seal), 2, "CHAIN-6"),
    ("seal replaced by another's", on_block(2, replace_seal_by_duplicate), 2, "CHAIN-6"),
    ("strangers' seals", on_block(2, forge_certificate), 2, "CHAIN-6"),
    ("header changed under its seals", on_block(2, change_step), 2, "CHAIN-6"),
    ("score changed in the body", on_block(2, chain.change_score), 2, "CHAIN-7"),
    ("votes dropped from the body", on_block(2, lambda block: change_body(block, votes=())), 2, "CHAIN-7"),
    (
        "votes exchanged in the body",
        on_block(2, lambda block: change_body(block, votes=block.body.votes[::-1])),
        2,
        "CHAIN-7",
    ),
    ("headers exchanged in the body", on_block(2, reverse_headers), 2, "CHAIN-7"),
    ("examples changed in a header", on_block(2, change_examples), 2, "CHAIN-7"),
    ("trainer's signature removed", on_block(2, change_signature), 2, "CHAIN-7"),
    ("trainer exchanged by a quorum", on_block(2, exchange_trainer), 2, "CHAIN-7"),
    ("scores rewritten by a quorum", on_block(2, rewrite_score), 2, "CHAIN-10"),
    ("state rewritten by a quorum", on_block(3, change_header(state=bytes(32))), 3, "CHAIN-10"),
    ("model rewritten by a quorum", on_block(3, change_header(model=bytes(32))), 3, "CHAIN-10"),
    ("loss rewritten by a quorum", on_block(3, change_header(loss=None)), 3, "CHAIN-10"),
    ("another quorum's seals", on_block(3, other_signers), 3, "CHAIN-10"),
    ("first record flipped", flip_log_payload, 1, "CHAIN-11"),
    ("first record's length flipped", flip_log_length, 1, "CHAIN-11"),
    ("record flipped after a commit", flip_late_log, 3, "CHAIN-11"),
    ("closing record dropped", drop_closing_record, 2, "CHAIN-10"),
    ("first vote of a round dropped", drop_first_vote, 3, "CHAIN-10"),
    ("ready dropped", drop_ready, 2, "CHAIN-10"),
    ("votes exchanged in the log", exchange_votes, 1, "CHAIN-10"),
    ("chunk flipped", flip_payload_chunk, 2, "ROUND-4"),
    ("payload's header flipped", flip_payload_header, 2, "ROUND-4"),
    ("payload's signature removed", change_payload_signature, 2, "WIRE-9"),
    ("payload truncated", truncate_payload, 2, "ROUND-4"),
    ("chunk dropped", drop_payload_chunk, 2, "ROUND-4"),
    ("payload of another update", exchange_payload, 2, "ROUND-4"),
    ("chunks of another update", exchange_chunks, 2, "ROUND-4"),
    ("initial model flipped", flip_model(0), 0, "AGG"),
    ("model flipped", flip_model(2), 2, "AGG"),
    ("model truncated", truncate_model, 2, "AGG"),
    ("wrong model sealed by all", wrong_model_by_all, 3, "AGG"),
]


@pytest.mark.parametrize(("damage", "height", "rule"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_invalid_chain_is_named(
    small_chain: Path, tmp_path: Path, damage: Callable[[Path], None], height: int, rule: str
) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    damage(root)
    with pytest.raises(VerificationError) as caught:
        verify(root)
    assert (caught.value.height, caught.value.rule) == (height, rule)


def test_untouched_chain_is_complete(small_chain: Path) -> None:
    report = verify(small_chain)
    assert (report.height, report.blocks_checked, report.recomputed) == (3, 3, (1, 2, 3))
    assert (report.certificate_only, report.unlogged, report.warnings, report.complete) == ((), (), (), True)


def test_without_full_the_models_are_taken_from_their_certificates(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    wrong_model_by_all(root)
    report = verify(root, full=False)
    assert (report.height, report.recomputed, report.certificate_only, report.complete) == (3, (), (), True)


def test_log_that_ends_at_a_record_leaves_the_rest_to_certificates(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    chain.write_records(root, chain.read_records(root)[: chain.find_commit(root, 1) + 1])
    report = verify(root)
    assert (report.height, report.unlogged, report.recomputed, report.complete) == (3, (2, 3), (1, 2, 3), False)
    assert "ends before blocks 2 to 3, checked by certificate only" in report.warnings[0]
    assert report.head == verify(small_chain).head


def test_every_prefix_of_the_log_is_an_incomplete_but_honest_chain(small_chain: Path, tmp_path: Path) -> None:
    """CHAIN-11: wherever a crash cuts the log, nothing is called forged and nothing complete."""
    root = chain.copy_chain(small_chain, tmp_path / "run")
    records = chain.read_records(root)
    last = chain.find_commit(root, 3)
    for length in range(last + 1):
        chain.write_records(root, records[:length])
        report = verify(root, full=False)
        assert report.height == 3
        assert not report.complete


def test_unlogged_blocks_are_checked_all_the_same(small_chain: Path, tmp_path: Path) -> None:
    """CHAIN-6, AGG: certificates and payloads still speak where the log does not."""
    root = chain.copy_chain(small_chain, tmp_path / "run")
    chain.write_records(root, [])
    flip_payload_chunk(root)
    with pytest.raises(VerificationError) as caught:
        verify(root)
    assert (caught.value.height, caught.value.rule) == (2, "ROUND-4")
    chain.change_block(root, 1, drop_seal)
    with pytest.raises(VerificationError) as caught:
        verify(root)
    assert (caught.value.height, caught.value.rule) == (1, "CHAIN-6")


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_torn_log_tail_is_a_warning(small_chain: Path, tmp_path: Path, cut: int) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    chain.write_records(root, chain.read_records(root)[: chain.find_commit(root, 3) + 1])
    log = root / "log"
    log.write_bytes(log.read_bytes()[:-cut])
    report = verify(root)
    assert (report.unlogged, report.complete) == ((3,), False)
    assert any("bytes of the log make no whole record" in warning for warning in report.warnings)


def test_zeros_after_the_log_are_a_torn_tail(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    with (root / "log").open("ab") as file:
        file.write(bytes(4096))
    report = verify(root)
    assert report.complete
    assert "The last 4096 bytes of the log" in report.warnings[0]


def test_block_store_behind_the_log_is_a_warning(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    get_block_path(root / "blocks", 3).unlink()
    report = verify(root)
    assert (report.height, report.blocks_checked, report.complete) == (3, 2, True)
    assert "The log leads to block 3, not stored" in report.warnings[0]


def test_missing_payload_leaves_its_height_to_the_certificate(small_chain: Path, tmp_path: Path) -> None:
    """Height 3 goes on from the stored model of height 2."""
    root = chain.copy_chain(small_chain, tmp_path / "run")
    chain.get_payload_path(root, 2).unlink()
    report = verify(root)
    assert (report.recomputed, report.certificate_only, report.complete) == ((1, 3), (2,), False)
    assert (
        "by certificate only: 1 of 3 models, the first at height 2 because the payload of update" in report.warnings[0]
    )


def test_missing_models_and_payloads_leave_all_to_certificates(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    shutil.rmtree(root / "models")
    report = verify(root)
    assert (report.recomputed, report.certificate_only) == ((), (1, 2, 3))
    assert verify(root, full=False).complete


def test_foreign_records_are_counted_and_change_nothing(small_chain: Path, tmp_path: Path) -> None:
    """CHAIN-11: garbage in the log is rejected alone."""
    root = chain.copy_chain(small_chain, tmp_path / "run")
    records = chain.read_records(root)
    before = verify(root)
    chain.write_records(root, [b"\xff", *records[:5], b"garbage", records[0], *records[5:]])
    after = verify(root)
    assert (after.head, after.rejected_records) == (before.head, before.rejected_records + 3)


def test_genesis_that_is_none_is_a_data_error(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    data = (root / "genesis").read_bytes()
    for broken in (data[:-1], b"", data[:1] + b"\x07" + data[2:]):
        (root / "genesis").write_bytes(broken)
        with pytest.raises(DataError, match="damaged"):
            open_archive(root)


def test_progress_counts_heights(small_chain: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify_chain(open_archive(small_chain), full=False, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_chain_without_a_block_holds(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    shutil.rmtree(root / "blocks")
    (root / "log").unlink()
    report = verify(root)
    assert (report.height, report.blocks_checked, report.complete) == (0, 0, True)


def list_vouched_files(root: Path) -> list[Path]:
    """Every file that the chain vouches for; settings, seals and payloads of unused updates are the run's own."""
    used = [
        item.update.hex() for height in (1, 2, 3) for item in chain.load_block(root, height).accepted if item.weight
    ]
    payloads = [root / "payloads" / f"{update}.payload" for update in used]
    return [root / "genesis", root / "log", *sorted(root.glob("blocks/*")), *sorted(root.glob("models/*")), *payloads]


@settings(max_examples=100)
@given(data=st.data())
def test_any_flipped_byte_of_a_run_is_noticed(shaken_chain: Path, data: st.DataObject) -> None:
    """Unlike an export's, these files have no checksum but the chain's own digests."""
    path = data.draw(st.sampled_from(list_vouched_files(shaken_chain)))
    content = path.read_bytes()
    offset, flip = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(content[:offset] + bytes([content[offset] ^ flip]) + content[offset + 1 :])
    try:
        report = verify(shaken_chain)
    except FlobcError:
        return
    finally:
        path.write_bytes(content)
    assert report.warnings


@pytest.fixture(scope="module")
def shaken_chain(small_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain.copy_chain(small_chain, tmp_path_factory.mktemp("shaken") / "run")
