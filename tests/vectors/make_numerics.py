"""Write codecs.json and aggregation.json, the language-neutral vectors of spec/AGG.md.

Usage: python tests/vectors/make_numerics.py [--check]
With --check nothing is written; the exit code is 1 when a file differs from what the code gives.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from flobc.errors import PayloadFault  # noqa: E402
from flobc.numerics.codecs import CODEC_NAMES, decode_chunk, encode_update  # noqa: E402
from flobc.numerics.fixed_point import Grid, Segment  # noqa: E402
from flobc.numerics.rules import RuleSpec, apply_rule  # noqa: E402

CODEC_INPUTS = {
    "zeros": [0.0, 0.0, -0.0],
    "small": [3e-6, -3e-6, 6e-8, 2.98e-8, -8.95e-8],
    "ties": [0.00390625 + 2.0**-23, 0.00390625 + 3 * 2.0**-24, -0.01],
    "large": [63.99999, -63.99999, 0.5, -0.001],
    "one outlier": [1e-5] * 70 + [40.0],
    "two blocks": [0.002] * 256 + [1.5, -0.25, 0.0078125],
}
INVALID_CHUNKS = [
    ("int16", 2, "0100020000ff", "a byte too many"),
    ("int16", 2, "0040004010", "exponent 16"),
    ("int16", 2, "0080000000", "mantissa -32768"),
    ("int16", 2, "ff3f000001", "a shorter form exists"),
    ("int8", 2, "640018", "exponent 24"),
    ("int8", 2, "800000", "mantissa -128"),
    ("int8", 2, "3f0001", "a shorter form exists"),
    ("float32", 1, "0000c07f", "NaN"),
    ("float32", 1, "000080ff", "minus infinity"),
    ("float32", 1, "00008042", "64, which is 2^30 grid units"),
]
MODEL = [0, 2**31 - 10, -(2**31) + 10, 4000, -123456]
UPDATES = [
    [100, 50, -50, 2**20, 7],
    [101, 60, -60, -(2**20), -7],
    [99, 70, -70, 12345, 8],
    [2**30 - 1, 1 - 2**30, 2**30 - 1, -5, 123456],
    [100, 55, -55, 2**20, 9],
]
SEGMENTS = [(0, 3, 24, -(2**31), 2**31 - 1), (3, 5, 20, -5000, 5000)]
SETTINGS = {
    "equal weights": ([209715] * 5, [65536] * 5),
    "weights": ([300000, 200000, 100000, 50000, 0], [65536] * 5),
    "discounts": ([200000, 200000, 200000, 200000, 200000], [65536, 65536, 32768, 1, 0]),
}
RULES = [
    {"name": "weighted_mean"},
    {"name": "median"},
    {"name": "trimmed_mean", "trim_ppm": 250_000},
    {"name": "krum", "byzantine": 1},
    {"name": "multi_krum", "byzantine": 0, "selected": 2},
    {"name": "krum", "byzantine": 2},
    {"name": "geometric_median"},
    {"name": "centered_clipping"},
    {"name": "norm_clip"},
    {"name": "coherence_filter"},
]


def build_codecs() -> dict[str, object]:
    """One chunk per input and codec, 24 fraction bits; and chunks that must be refused."""
    valid = []
    for label, values in CODEC_INPUTS.items():
        delta = np.array(values, np.float32)
        for codec in CODEC_NAMES:
            zero = np.zeros(len(delta), np.float32)
            encoded = encode_update(delta, Grid.uniform(len(delta)), codec, len(delta), residual=zero)
            assert encoded.residual is not None
            valid.append(
                {
                    "input": label,
                    "codec": codec,
                    "float32": delta.astype("<f4").tobytes().hex(),
                    "chunk": encoded.chunks[0].hex(),
                    "update": decode_chunk(encoded.chunks[0], 0, len(delta), Grid.uniform(len(delta)), codec).tolist(),
                    "norm": encoded.norm,
                    "residual": encoded.residual.astype("<f4").tobytes().hex(),
                }
            )
    invalid = []
    for codec, count, data, why in INVALID_CHUNKS:
        try:
            decode_chunk(bytes.fromhex(data), 0, count, Grid.uniform(count), codec)
        except PayloadFault as fault:
            invalid.append({"codec": codec, "count": count, "chunk": data, "why": why, "fault": fault.code})
        else:
            raise SystemExit(f"{codec} chunk {data} should be refused ({why}) and was not.")
    return {"spec": "AGG-10 to AGG-15", "fraction_bits": 24, "valid": valid, "invalid": invalid}


def build_aggregation() -> dict[str, object]:
    """Every rule on the same updates under three sets of weights and discounts."""
    grid = Grid(tuple(Segment(*segment) for segment in SEGMENTS))
    updates = np.array(UPDATES, np.int32)
    keys = [bytes([9 - i]) * 32 for i in range(len(UPDATES))]
    cases = []
    for label, (weights, discounts) in SETTINGS.items():
        for parameters in RULES:
            result = apply_rule(
                RuleSpec(**parameters),
                np.array(MODEL, np.int32),
                updates,
                weights=weights,
                discounts=discounts,
                keys=keys,
                grid=grid,
            )
            cases.append(
                {
                    "case": label,
                    "rule": parameters,
                    "weights": weights,
                    "discounts": discounts,
                    "rule_used": result.rule_used,
                    "selected": list(result.selected),
                    "model": result.model.tolist(),
                }
            )
    fields = ("start", "stop", "fraction_bits", "lo", "hi")
    return {
        "spec": "AGG-5 to AGG-30",
        "segments": [dict(zip(fields, segment, strict=True)) for segment in SEGMENTS],
        "model": MODEL,
        "updates": UPDATES,
        "keys": [key.hex() for key in keys],
        "cases": cases,
    }


def render(document: dict[str, object]) -> str:
    """Give JSON with one entry a line, so that a change shows as the lines it changed."""
    lines = []
    for name, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n    ".join(json.dumps(entry) for entry in value)
            lines.append(f'  "{name}": [\n    {entries}\n  ]')
        else:
            lines.append(f'  "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    differing = []
    for name, document in (("codecs.json", build_codecs()), ("aggregation.json", build_aggregation())):
        path, text = HERE / name, render(document)
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(name)
    if differing:
        print(f"{' and '.join(differing)} differ from what the code gives; see whether the change is meant.")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
