"""A party's own data: ``.npz`` and ``.csv`` files, and dividing a set into one file per party."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import DataError, UsageError
from flobc.learning.shards import ShardScheme, split_examples
from flobc.learning.suggest import suggest
from flobc.learning.task import Examples

MANIFEST_NAME = "manifest.json"
_FORMAT = "flobc-shards-1"

# what numpy and zipfile raise where the bytes of an archive do not fit together
_NPZ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class PartyFile:
    """One party's file in a manifest: name, number of examples, and :meth:`Examples.digest`."""

    file: str
    examples: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What :func:`split_to_directory` wrote: enough to check the files and to make them again."""

    scheme: str
    seed: int
    source_digest: str
    parties: tuple[PartyFile, ...]


def read_examples(path: Path, label: str = "label") -> Examples:
    """Read a ``.npz`` with the arrays ``features`` and ``labels``, or a ``.csv`` with a column ``label``.

    **Raises**: :class:`DataError` when missing, unreadable, empty, ragged or not of finite numbers.
    """
    if path.suffix not in (".npz", ".csv"):
        raise DataError(f"Cannot read {path}: expected a .npz or .csv file, found the ending {path.suffix!r}.")
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    examples = read_npz(path) if path.suffix == ".npz" else read_csv(path, label)
    if len(examples) == 0:
        raise DataError(f"{path} holds no examples; give at least one.")
    if not (np.isfinite(examples.features).all() and np.isfinite(examples.labels).all()):
        raise DataError(f"{path} holds values that are not finite numbers; remove or replace them.")
    return examples


def read_npz(path: Path) -> Examples:
    """Read the arrays ``features`` (N, ...) and ``labels`` (N,) of a numpy archive, never pickled objects."""
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("it is one array, not an archive of several")
        with found as archive:
            names = archive.files
            arrays = {name: archive[name] for name in ("features", "labels") if name in names}
    except (*_NPZ_ERRORS, MemoryError) as error:
        raise DataError(f"Cannot read {path} as a numpy archive of plain numbers: {error}.") from error
    missing = [name for name in ("features", "labels") if name not in arrays]
    if missing:
        raise DataError(
            f"{path} should hold the arrays features and labels, but holds {', '.join(sorted(names)) or 'nothing'}."
        )
    features, labels = arrays["features"], arrays["labels"]
    for name, array in (("features", features), ("labels", labels)):
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise DataError(f"The array {name} of {path} should hold numbers, one row per example, not {array.dtype}.")
    return Examples(features.astype(np.float32, copy=False), _normalise_labels(labels))


def read_csv(path: Path, label: str = "label") -> Examples:
    """Read a table of numbers whose first line names the columns; ``label`` is the column to predict."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header = [name.strip() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read {path} as a table: {error}.") from error
    if label not in header:
        raise DataError(
            f"{path} has no column {label!r}{suggest(label, header)} Its first line should name the columns, "
            f"but is {', '.join(header[:4])!r}."
        )
    table = _read_table(path, header)
    place = header.index(label)
    return Examples(
        np.delete(table, place, axis=1).astype(np.float32),
        _normalise_labels(np.ascontiguousarray(table[:, place])),
    )


def _read_table(path: Path, header: list[str]) -> npt.NDArray[np.float64]:
    """Read the numbers below the header, quickly, or slowly to say what is wrong with them."""
    try:
        with warnings.catch_warnings(category=UserWarning, action="ignore"):  # a table of no rows
            table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, comments=None, quotechar='"')
        if table.size == 0 or table.shape[1] == len(header):
            return table.reshape(-1, len(header))
    except ValueError:
        pass  # the reader below names the line and the column
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            rows = [_parse_row(path, reader.line_num, row, header) for row in reader if row and reader.line_num > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read {path} as a table: {error}.") from error
    return np.array(rows, dtype=np.float64).reshape(-1, len(header))


def _parse_row(path: Path, line: int, row: list[str], header: list[str]) -> list[float]:
    if len(row) != len(header):
        raise DataError(f"Line {line} of {path} has {len(row)} values, but there are {len(header)} columns.")
    values = []
    for name, text in zip(header, row, strict=True):
        try:
            values.append(float(text))
        except ValueError:
            raise DataError(f"Line {line} of {path} has {text!r} in column {name!r}, not a number.") from None
    return values


def _normalise_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return whole numbers as int64, the classes, and others as float32, the targets of a regression."""
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        whole = labels.astype(np.int64)
        return whole if np.array_equal(whole, labels) else labels.astype(np.float32)


def split_to_directory(source: Examples | Path, out: Path, parties: int, scheme: ShardScheme, seed: int) -> Manifest:
    """Write ``party-1.npz`` and so on, with a manifest, into the new directory ``out``: all of it or nothing.

    **Raises**: :class:`UsageError` when ``out`` exists and is not empty, or the division is impossible.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already; choose a new directory or remove it first.")
    examples = source if isinstance(source, Examples) else read_examples(source)
    shards = split_examples(examples, parties, scheme, seed)
    names = [f"party-{number}.npz" for number in range(1, parties + 1)]
    files = tuple(PartyFile(name, len(shard), shard.digest()) for name, shard in zip(names, shards, strict=True))
    manifest = Manifest(str(scheme), seed, examples.digest(), files)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise DataError(f"Cannot write to {out.parent}: {error.strerror}; choose another directory.") from error
    try:
        for name, shard in zip(names, shards, strict=True):
            np.savez_compressed(partial / name, features=shard.features, labels=shard.labels)
        text = json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=2)
        (partial / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
        partial.chmod(0o755)
        os.replace(partial, out)
    except OSError as error:
        raise DataError(f"Cannot write {out}: {error.strerror}; choose another directory.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest
