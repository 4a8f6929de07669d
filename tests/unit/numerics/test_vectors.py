"""The published vectors, read as somebody else's implementation would read them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flobc.errors import PayloadFault
from flobc.numerics.codecs import decode_chunk, encode_update
from flobc.numerics.fixed_point import Grid, Segment
from flobc.numerics.rules import RuleSpec, apply_rule
from tests.support import aggregation_reference as reference

FOLDER = Path(__file__).parents[2] / "vectors"
CODECS = json.loads((FOLDER / "codecs.json").read_text(encoding="utf-8"))
AGGREGATION = json.loads((FOLDER / "aggregation.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CODECS["valid"], ids=lambda case: f"{case['codec']}-{case['input']}")
def test_codecs(case):
    """AGG-10 to AGG-15."""
    delta = np.frombuffer(bytes.fromhex(case["float32"]), "<f4")
    grid, zero = Grid.uniform(len(delta), CODECS["fraction_bits"]), np.zeros(len(delta), np.float32)
    encoded = encode_update(delta, grid, case["codec"], len(delta), residual=zero)
    assert encoded.chunks[0].hex() == case["chunk"]
    assert encoded.residual.astype("<f4").tobytes().hex() == case["residual"]
    decoded = decode_chunk(bytes.fromhex(case["chunk"]), 0, len(delta), grid, case["codec"])
    assert decoded.tolist() == case["update"]
    assert reference.norm(case["update"]) == case["norm"]


@pytest.mark.parametrize("case", CODECS["invalid"], ids=lambda case: f"{case['codec']}-{case['why']}")
def test_invalid_chunks(case):
    """AGG-3, AGG-10, AGG-13."""
    with pytest.raises(PayloadFault) as fault:
        decode_chunk(bytes.fromhex(case["chunk"]), 0, case["count"], Grid.uniform(case["count"]), case["codec"])
    assert fault.value.code == case["fault"]


@pytest.mark.parametrize("case", AGGREGATION["cases"], ids=lambda case: f"{case['rule']['name']}-{case['case']}")
def test_aggregation(case):
    """AGG-5 to AGG-29."""
    result = apply_rule(
        RuleSpec(**case["rule"]),
        np.array(AGGREGATION["model"], np.int32),
        np.array(AGGREGATION["updates"], np.int32),
        weights=case["weights"],
        discounts=case["discounts"],
        keys=[bytes.fromhex(key) for key in AGGREGATION["keys"]],
        grid=Grid(tuple(Segment(**segment) for segment in AGGREGATION["segments"])),
    )
    assert result.model.tolist() == case["model"]
    assert (result.rule_used, list(result.selected)) == (case["rule_used"], case["selected"])


def test_files_are_what_the_script_gives():
    command = [sys.executable, str(FOLDER / "make_numerics.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0
