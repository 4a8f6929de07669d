"""Reads the MNIST family of image sets: IDX files, packed or not, and per-digit JSON files."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import DataError
from flobc.learning.task import Examples

Bytes = npt.NDArray[np.uint8]

_PIXELS = 28 * 28
_CLASSES = 10
_IDX_UINT8 = 0x08
_MAX_RANK = 8


def read_idx(path: Path) -> Bytes:
    """Read an IDX file of unsigned bytes, gzip-packed if its name ends in ``.gz``.

    **Raises**: :class:`DataError` when unreadable, truncated or of another form.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"Cannot read {path}: {error}; fetch the data set again.") from error
    if len(raw) < 4 or raw[0] != 0 or raw[1] != 0 or raw[2] != _IDX_UINT8:
        raise DataError(f"{path} is not an IDX file of bytes: it starts with {raw[:4].hex() or 'nothing'}.")
    rank = raw[3]
    header = 4 + 4 * rank
    if len(raw) < header:
        raise DataError(f"{path} ends inside its header: expected {header} bytes, found {len(raw)}.")
    shape = tuple(int(size) for size in np.frombuffer(raw, dtype=">u4", count=rank, offset=4))
    expected = math.prod(shape)
    if rank > _MAX_RANK:
        raise DataError(f"{path} declares {rank} dimensions, but data sets have at most {_MAX_RANK}.")
    if len(raw) - header != expected:
        raise DataError(f"{path} declares the shape {shape}, {expected} bytes, but holds {len(raw) - header}.")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def read_idx_pair(directory: Path, prefix: str) -> Examples:
    """Read ``PREFIX-images-idx3-ubyte`` and ``PREFIX-labels-idx1-ubyte``, with or without ``.gz``."""
    images_path = find_idx(directory, f"{prefix}-images-idx3-ubyte")
    labels_path = find_idx(directory, f"{prefix}-labels-idx1-ubyte")
    if images_path is None or labels_path is None:
        missing = "images" if images_path is None else "labels"
        raise DataError(f"{directory} has no {prefix}-{missing} IDX file; fetch the data set again.")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{images_path} should hold images of 28x28 pixels, but has the shape {images.shape}.")
    if labels.ndim != 1 or (labels.size and int(labels.max()) >= _CLASSES):
        raise DataError(f"{labels_path} should be a list of labels 0 to 9, but has other values or shape.")
    if len(images) != len(labels):
        raise DataError(f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels.")
    return build_image_examples(images, labels)


def find_idx(directory: Path, name: str) -> Path | None:
    """Return the file ``name`` or ``name.gz`` of ``directory``, if there is one."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def read_digit_json(directory: Path) -> Examples:
    """Read ``0.json`` to ``9.json``, each ``{"data": [...]}`` with 784 values 0..1 per image of that digit.

    The values are bytes divided by 255 and rounded to three decimals; the bytes are restored, so the
    pixels equal those of the IDX files.
    """
    images = [_read_one_digit(directory / f"{digit}.json") for digit in range(_CLASSES)]
    labels = np.repeat(np.arange(_CLASSES, dtype=np.uint8), [len(digit) for digit in images])
    return build_image_examples(np.concatenate(images), labels)


def _read_one_digit(path: Path) -> Bytes:
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"Cannot read {path}: {error}; fetch the data set again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise DataError(f'{path} should hold {{"data": [...]}}, but has no such list; fetch the data set again.')
    try:
        values = np.asarray(content["data"], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} holds something that is not a number ({error}); fetch the data set again.") from error
    if values.ndim != 1 or values.size == 0 or values.size % _PIXELS:
        raise DataError(f"{path} should hold whole images of {_PIXELS} values, but has {values.size} values.")
    if not (values.min() >= 0.0 and values.max() <= 1.0):
        raise DataError(f"{path} should hold values from 0 to 1, but has others; fetch the data set again.")
    return np.rint(values * 255.0).astype(np.uint8).reshape(-1, 28, 28)


def build_image_examples(images: Bytes, labels: Bytes) -> Examples:
    """Scale bytes to 0..1. **Shapes**: (N, 28, 28) and (N,) to (N, 1, 28, 28) and (N,)."""
    features = images.astype(np.float32)[:, None, :, :]
    features /= np.float32(255.0)
    return Examples(features, labels.astype(np.int64))
