"""What leaves a run: chains and models that a stranger can check, byte by byte the same each time."""

import json
import math
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_sign_open
from safetensors.numpy import load_file

from flobc.composition.archive import ChainArchive, export_chain, export_model, open_archive
from flobc.composition.reports import RoundReport, SilentObserver
from flobc.composition.runner import run
from flobc.composition.verification import build_update_proof, verify_chain
from flobc.errors import DataError, FlobcError, UsageError, VerificationError
from flobc.protocol.merkle import merkle_root
from tests.support import small_chain as chain


@pytest.fixture(scope="module")
def exported(small_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "chain.zip"
    export_chain(open_archive(small_chain), out)
    return out


def read_all(archive: ChainArchive) -> tuple[object, ...]:
    updates = [item.update for height in (1, 2, 3) for item in chain_block(archive, height)]
    return (
        archive.genesis,
        archive.height,
        list(archive.records()),
        [archive.block(height) for height in range(5)],
        [archive.payload(update) for update in updates],
        archive.tests(),
    )


def chain_block(archive: ChainArchive, height: int) -> tuple[object, ...]:
    block = archive.block(height)
    assert block is not None
    return block.body.decisions


def test_export_holds_the_same_chain(small_chain: Path, exported: Path) -> None:
    assert read_all(open_archive(exported)) == read_all(open_archive(small_chain))


def test_export_replays_to_the_same_digests(small_chain: Path, exported: Path) -> None:
    here, there = (verify_chain(open_archive(path), full=True) for path in (small_chain, exported))
    assert here == there
    assert there.complete


def test_same_seed_exports_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = chain.build_chain(tmp_path / "run")
    export_chain(open_archive(again), tmp_path / "again.zip")
    export_chain(open_archive(exported), tmp_path / "copy.zip")
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes() == (tmp_path / "copy.zip").read_bytes()


def test_export_without_payloads_is_checked_by_certificate(small_chain: Path, tmp_path: Path) -> None:
    out = tmp_path / "light.zip"
    export_chain(open_archive(small_chain), out, payloads=False)
    archive = open_archive(out)
    report = verify_chain(archive, full=True)
    assert (report.recomputed, report.certificate_only, report.complete) == ((), (1, 2, 3), False)
    assert verify_chain(archive, full=False).complete


def test_export_knows_the_tests(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    lines = [json.dumps({"height": height, "loss": 1.0, "accuracy": height / 4}) for height in range(4)]
    (root / "rounds.jsonl").write_text("\n".join([*lines, '{"height": 4, "accu']))
    export_chain(open_archive(root), tmp_path / "out.zip")
    assert open_archive(tmp_path / "out.zip").tests() == {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75}


def test_export_never_overwrites_by_accident(small_chain: Path, exported: Path, tmp_path: Path) -> None:
    archive, out = open_archive(small_chain), tmp_path / "chain.zip"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        export_chain(archive, out)
    assert out.read_text() == "precious"
    export_chain(archive, out, force=True)
    assert out.read_bytes() == exported.read_bytes()
    with pytest.raises(UsageError, match="is a directory"):
        export_chain(archive, tmp_path, force=True)


def test_failed_export_leaves_nothing(small_chain: Path, tmp_path: Path) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    path = chain.get_payload_path(root, 2)
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="ends in the middle of a chunk"):
        export_chain(open_archive(root), tmp_path / "out" / "chain.zip")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        export_chain(open_archive(small_chain), tmp_path / "file" / "chain.zip")


def test_progress_of_an_export_ends_at_all(small_chain: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_chain(
        open_archive(small_chain), tmp_path / "out.zip", progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]


@settings(max_examples=150)
@given(data=st.data())
def test_any_flipped_byte_is_found_or_means_nothing(
    exported: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A zip has bytes that say nothing (times, attributes); every other one must be missed by nobody."""
    content = bytearray(exported.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flip") / "chain.zip"
    path.write_bytes(content)
    expected = read_all(open_archive(exported))
    try:
        archive = open_archive(path)
        report = verify_chain(archive, full=True)
        found = read_all(archive)
    except FlobcError:
        return
    assert found == expected or not report.complete


def repack(source: Path, target: Path, *, drop: str = "", compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            if name != drop:
                new.writestr(name, old.read(name))


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("manifest.json", "no export"),
        ("genesis", "genesis in .* is damaged"),
        ("blocks/00000003.block", "should hold blocks up to height 3, but its newest is 2"),
    ],
)
def test_invalid_export_without_an_entry(exported: Path, tmp_path: Path, drop: str, message: str) -> None:
    repack(exported, tmp_path / "out.zip", drop=drop)
    with pytest.raises(DataError, match=message):
        open_archive(tmp_path / "out.zip")


def test_invalid_export_without_log_or_block_is_named(exported: Path, tmp_path: Path) -> None:
    repack(exported, tmp_path / "log.zip", drop="log")
    assert verify_chain(open_archive(tmp_path / "log.zip"), full=True).unlogged == (1, 2, 3)
    repack(exported, tmp_path / "block.zip", drop="blocks/00000002.block")
    with pytest.raises(VerificationError, match="height 2 breaks CHAIN-8"):
        verify_chain(open_archive(tmp_path / "block.zip"), full=True)


def test_invalid_export_packed_anew(exported: Path, tmp_path: Path) -> None:
    repack(exported, tmp_path / "out.zip", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="packed anew with compression"):
        open_archive(tmp_path / "out.zip")


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("tests.json", b'{"1": NaN}', "expected an object of finite numbers"),
        ("tests.json", b'{"1": 1e999}', "expected an object of finite numbers"),
        ("tests.json", b"[" * 100_000, "is damaged"),
        ("manifest.json", b"[" * 100_000, "is damaged"),
    ],
    ids=["nan", "infinite", "nested tests", "nested manifest"],
)
def test_invalid_json_in_an_export(exported: Path, tmp_path: Path, entry: str, content: bytes, message: str) -> None:
    target = tmp_path / "out.zip"
    repack(exported, target, drop=entry)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(entry, content)
    with pytest.raises(DataError, match=message):
        open_archive(target).tests()


@pytest.mark.parametrize("height", ["9" * 5000, "9" * 21, "\u0663", "4", "+4"])
def test_entries_that_no_export_has_are_no_blocks(exported: Path, tmp_path: Path, height: str) -> None:
    """A height too long for an integer, in other digits, or not in eight."""
    target = tmp_path / "out.zip"
    repack(exported, target)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(f"blocks/{height}.block", b"")
    assert open_archive(target).height == 3


def test_invalid_places_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no chain")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("text", "is no chain's export"),
        ("nothing", "There is no"),
        ("empty", "There is no run in"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            open_archive(tmp_path / name)
        assert "\n" not in str(caught.value)


class Reader(SilentObserver):
    """Verifies and exports the run from outside while it goes on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heights: list[int] = []

    def on_round(self, report: RoundReport) -> None:
        archive = open_archive(self.root)
        found = verify_chain(archive, full=True)
        assert found.complete
        assert not found.warnings
        export_chain(archive, self.root.parent / f"{report.height}.zip")
        self.heights.append(found.height)


def test_live_run_may_be_read(tmp_path: Path) -> None:
    observer = Reader(tmp_path / "run")
    run(task=chain.build_task(), directory=observer.root, rounds=3, trainers=3, chunk_size=300, observer=observer)
    assert observer.heights == [1, 2, 3]
    assert [open_archive(tmp_path / f"{height}.zip").height for height in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("height", [None, 0, 1, 2, 3])
def test_model_export_is_the_certified_model(
    small_chain: Path, exported: Path, tmp_path: Path, height: int | None
) -> None:
    """The export file lacks the models between, so they are recomputed; both ways lead to the same bytes."""
    for source, name in ((small_chain, "run"), (exported, "export")):
        manifest = export_model(open_archive(source), tmp_path / f"{name}.safetensors", height)
    assert manifest["height"] == (3 if height is None else height)
    for suffix in ("safetensors", "grid"):
        assert (tmp_path / f"run.{suffix}").read_bytes() == (tmp_path / f"export.{suffix}").read_bytes()
    tensors = load_file(tmp_path / "run.safetensors")
    assert {name: (value.shape, value.dtype) for name, value in tensors.items()} == {"weights": ((700,), np.float32)}


def test_model_can_be_checked_by_hand(small_chain: Path, tmp_path: Path) -> None:
    """Follows the manifest's own words, with nothing of FLoBC but the Merkle tree."""
    export_model(open_archive(small_chain), tmp_path / "model.safetensors")
    manifest = json.loads((tmp_path / "model.json").read_text())
    for name, digest in manifest["files"].items():
        assert sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    grid = (tmp_path / "model.grid").read_bytes()
    width = 4 * manifest["chunk_size"]
    assert merkle_root([grid[i : i + width] for i in range(0, len(grid), width)]).hex() == manifest["model_digest"]
    header = bytes.fromhex(manifest["header"])
    assert bytes.fromhex(manifest["model_digest"]) in header
    digest = sha256(bytes([14]) + b"flobc/1/Header" + header).digest()
    assert digest.hex() == manifest["header_digest"]
    signers = set()
    for seal in manifest["certificate"]:
        key = bytes.fromhex(seal["validator"])
        message = bytes.fromhex(manifest["chain"]) + key + manifest["height"].to_bytes(8, "big") + digest
        crypto_sign_open(bytes.fromhex(seal["signature"]) + bytes([12]) + b"flobc/1/Seal" + message, key)
        signers.add(seal["validator"])
    assert len(signers & set(manifest["validators"])) >= manifest["quorum"]
    (tensor,) = manifest["tensors"]
    part = np.frombuffer(grid, "<i4")[slice(*tensor["coordinates"])]
    view = (np.clip(part, tensor["lo"], tensor["hi"]) * 2.0 ** -tensor["fraction_bits"]).astype(np.float32)
    exported = load_file(tmp_path / "model.safetensors")[tensor["name"]]
    assert math.prod(tensor["shape"]) == len(part)
    assert np.array_equal(exported, view.reshape(tensor["shape"]))


def test_invalid_model_exports(small_chain: Path, tmp_path: Path) -> None:
    archive = open_archive(small_chain)
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        export_model(archive, tmp_path / "model.bin")
    with pytest.raises(UsageError, match="blocks up to height 3, not 4"):
        export_model(archive, tmp_path / "model.safetensors", 4)
    (tmp_path / "model.json").write_text("precious")
    with pytest.raises(UsageError, match=r"model\.json exists already"):
        export_model(archive, tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_invalid_model_is_not_exported(small_chain: Path, tmp_path: Path) -> None:
    """A model leaves only with a quorum's word for it, recomputed or stored."""
    root, out = chain.copy_chain(small_chain, tmp_path / "run"), tmp_path / "model.safetensors"
    chain.flip_byte(chain.get_model_path(root, 2), 5)
    with pytest.raises(VerificationError, match="height 2 breaks AGG"):
        export_model(open_archive(root), out, 2)
    chain.get_model_path(root, 2).unlink()
    chain.get_payload_path(root, 2).unlink()
    with pytest.raises(DataError, match=r"model of height 2 is not held .* and cannot be recomputed"):
        export_model(open_archive(root), out, 2)
    chain.change_block(root, 3, chain.change_score)
    with pytest.raises(VerificationError, match="height 3 breaks CHAIN-7"):
        export_model(open_archive(root), out, 3)
    assert not out.exists()


def test_proof_from_an_export_holds(exported: Path) -> None:
    archive = open_archive(exported)
    (decision, *_) = chain_block(archive, 2)
    assert build_update_proof(archive, decision.update).decision == decision  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="decides update"):
        build_update_proof(archive, bytes(32))


def test_verifying_needs_no_torch(exported: Path) -> None:
    """The ledger's image carries no torch."""
    program = (
        "import sys; from pathlib import Path; from flobc.composition.archive import open_archive; "
        "from flobc.composition.verification import verify_chain; "
        f"print(verify_chain(open_archive(Path({str(exported)!r})), full=True).complete, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]


def test_what_passes_for_a_model_is_not_exported(small_chain: Path, tmp_path: Path) -> None:
    """An export carries what the chain names, not what somebody laid under that name."""
    root = Path(shutil.copytree(small_chain, tmp_path / "run"))
    for path in (root / "models").glob("*.model"):
        path.write_bytes(bytes(84))
    with pytest.raises(DataError, match="damaged"):
        export_chain(open_archive(root), tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
