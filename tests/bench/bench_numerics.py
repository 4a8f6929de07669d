"""Time the numerics on 64 updates of 1.2 M parameters, numpy's own passes beside them.

Ours and numpy's take turns on the same numbers. Keys are seconds (``..._s``, the median, with
``..._s_min`` beside it), GB/s of float32 input (``..._gb_s``) and ratios. Without ``--json`` a table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.numerics.codecs import decode_update, encode_update
from flobc.numerics.fixed_point import Grid, norm
from flobc.numerics.rules import RuleSpec, apply_rule
from tests.bench import arrays
from tests.bench.machine import format_machine, get_machine

CHUNK_SIZE = 1 << 17
TRIM_PPM = int(arrays.TRIM_SHARE * 1_000_000)
# ours, numpy's, what the pair is called in the table
PAIRS = (
    ("weighted_mean_s", "numpy_wX_s", "weighted mean / float32 w @ X"),
    ("krum_small_s", "numpy_gram_s", "krum, |q| < 2^26 / float64 A @ A.T"),
    ("krum_large_s", "numpy_gram_s", "krum, |q| < 2^30 / float64 A @ A.T"),
    ("median_s", "numpy_median_s", "weighted median / np.median"),
    ("median_equal_s", "numpy_median_s", "median, equal weights / np.median"),
    ("trimmed_mean_s", "numpy_trimmed_mean_s", "weighted trimmed mean / np.partition"),
    ("trimmed_mean_equal_s", "numpy_trimmed_mean_s", "trimmed mean, equal weights / np.partition"),
    ("candidate_s", "numpy_add_s", "candidate / float32 add"),
    ("int16_decode_s", "numpy_add_s", "int16 decode / float32 add"),
    ("norm_s", "numpy_add_s", "norm / float32 add"),
)
COLD_PROGRAM = """
import time
start = time.perf_counter()
import numpy as np
from flobc.numerics.codecs import decode_update, encode_update
from flobc.numerics.fixed_point import Grid
from flobc.numerics.rules import RULE_NAMES, RuleSpec, apply_rule
grid = Grid.uniform(1000)
delta = np.full(1000, 0.1, np.float32)
encoded = encode_update(delta, grid, "int16", 500)
update = decode_update(encoded.chunks, grid, "int16", 500).update
def apply(name, weights):
    apply_rule(RuleSpec(name, byzantine=0), update, [update] * 10, weights=weights, discounts=[65536] * 10, grid=grid)
apply("weighted_mean", [1] * 10)
grid.candidate(update, update)
print(time.perf_counter() - start)
for name in RULE_NAMES:
    apply(name, [1] * 10)
    apply(name, [1] * 9 + [2])
print(time.perf_counter() - start)
"""

Calls = dict[str, Callable[[], object]]
Report = dict[str, float]


def time_in_turns(calls: Calls, repeats: int) -> Report:
    """Call all once to warm up, then all in turn ``repeats`` times."""
    times_s: dict[str, list[float]] = {key: [] for key in calls}
    for turn in range(repeats + 1):
        for key, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times_s[key].append(time.perf_counter() - start)
    report: Report = {}
    for key, values in times_s.items():
        report[key] = statistics.median(values)
        report[f"{key}_min"] = min(values)
    return report


class Workload:
    """The updates as both sides see them, and our rules on them."""

    def __init__(self) -> None:
        self.floats = arrays.build_updates()
        self.grid = Grid.uniform(arrays.PARAMETERS)
        self.model = self.grid.quantise_model(arrays.build_weights())
        self.updates = [self.grid.quantise_update(update) for update in self.floats]
        examples = arrays.build_num_examples()
        self.weights = [2**20 * count // sum(examples) for count in examples]
        self.equal = [2**20 // arrays.CLIENTS] * arrays.CLIENTS

    def rule(self, name: str, weights: list[int]) -> Callable[[], object]:
        spec = RuleSpec(name, trim_ppm=TRIM_PPM, byzantine=arrays.BYZANTINE)
        discounts = [65536] * arrays.CLIENTS
        return lambda: apply_rule(spec, self.model, self.updates, weights=weights, discounts=discounts, grid=self.grid)

    def coordinate_wise(self) -> Calls:
        mean = np.array(self.weights, np.float32) / np.float32(2**20)
        cut = int(arrays.TRIM_SHARE * arrays.CLIENTS)
        kept = slice(cut, arrays.CLIENTS - cut)
        return {
            # Each finds the other's arrays in the cache: numpy's last turn ends with its own.
            "weighted_mean_s": self.rule("weighted_mean", self.weights),
            "numpy_wX_s": lambda: mean @ self.floats,
            "median_s": self.rule("median", self.weights),
            "median_equal_s": self.rule("median", self.equal),
            "trimmed_mean_s": self.rule("trimmed_mean", self.weights),
            "trimmed_mean_equal_s": self.rule("trimmed_mean", self.equal),
            "numpy_median_s": lambda: np.median(self.floats, axis=0),
            "numpy_trimmed_mean_s": lambda: np.partition(self.floats, (kept.start, kept.stop - 1), axis=0)[kept].mean(
                axis=0
            ),
        }

    def vectors(self) -> Calls:
        delta, update, grid = self.floats[0], self.updates[0], self.grid
        encoded = encode_update(delta, grid, "int16", CHUNK_SIZE)
        out = np.empty_like(delta)
        return {
            "numpy_add_s": lambda: np.add(delta, delta, out=out),
            "candidate_s": lambda: grid.candidate(self.model, update, out),
            "norm_s": lambda: norm(update),
            "int16_decode_s": lambda: decode_update(encoded.chunks, grid, "int16", CHUNK_SIZE),
            "int16_encode_s": lambda: encode_update(delta, grid, "int16", CHUNK_SIZE),
            "int16_encode_hash_s": lambda: encode_update(delta, grid, "int16", CHUNK_SIZE, digest=sha256),
            "int8_encode_hash_s": lambda: encode_update(delta, grid, "int8", CHUNK_SIZE, digest=sha256),
        }

    def krum(self, key: str) -> Calls:
        products: NDArray[np.float64] = np.stack(self.updates).astype(np.float64)
        return {"numpy_gram_s": lambda: products @ products.T, key: self.rule("krum", self.weights)}

    def enlarge(self) -> None:
        """Shift the updates so that every block holds coordinates of 2^26 and more."""
        for update in self.updates:
            np.left_shift(update, 12, out=update)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def measure_extra_memory(workload: Workload) -> Report:
    """Peak resident memory above what was there before, per byte of input; Linux only.

    The result (1.6 % of the input) is counted, because it may lie in memory that was freed before.
    """
    report: Report = {}
    size = sum(update.nbytes for update in workload.updates)
    for name in ("weighted_mean", "median", "trimmed_mean", "krum"):
        compile_rule(name, workload.weights)
        call = workload.rule(name, workload.weights)
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before = read_status("VmRSS")
        except OSError:
            return {}
        call()
        extra = read_status("VmHWM") - before
        report[f"{name}_extra_memory_ratio"] = extra / size
    report["extra_memory_ratio"] = max(report.values())
    return report


def compile_rule(name: str, weights: list[int]) -> None:
    """A first call on little data, so that the compiler's own memory is not taken for the rule's."""
    spec, update = RuleSpec(name, byzantine=arrays.BYZANTINE), np.zeros(10, np.int32)
    count = len(weights)
    grid = Grid.uniform(10)
    apply_rule(spec, update, [update] * count, weights=weights, discounts=[65536] * count, grid=grid)


def read_status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"there is no {name} in /proc/self/status")


def measure_cold_start() -> Report:
    """Import and first calls with an empty cache of compiled code, then again with a full one."""
    report: Report = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for state in ("cold", "warm"):
            printed = subprocess.run(
                [sys.executable, "-c", COLD_PROGRAM], env=environment, check=True, capture_output=True, text=True
            ).stdout.split()
            report[f"{state}_mean_and_codec_s"], report[f"{state}_all_rules_s"] = map(float, printed)
    return report


def measure(repeats: int) -> Report:
    workload = Workload()
    report = measure_extra_memory(workload)
    report |= time_in_turns(workload.coordinate_wise(), repeats)
    vectors = workload.vectors()
    report |= time_in_turns(vectors, 10 * repeats)
    for codec in ("int16", "int8"):
        report[f"{codec}_encode_hash_gb_s"] = workload.floats[0].nbytes / report[f"{codec}_encode_hash_s"] / 1e9
    workload.floats = workload.floats[:1]
    report |= time_in_turns(workload.krum("krum_small_s"), repeats)
    workload.enlarge()
    large = time_in_turns(workload.krum("krum_large_s"), repeats)
    report |= {key: value for key, value in large.items() if key.startswith("krum")}
    return report | measure_cold_start()


def print_table(report: Report) -> None:
    """Medians of ours and numpy's, their ratio, and the ratio of the fastest repeats."""
    print(f"{'':44}{'ours':>10}{'numpy':>10}{'ratio':>8}{'fastest':>9}")
    for ours, theirs, name in PAIRS:
        print(
            f"{name:44}{report[ours] * 1e3:7.1f} ms{report[theirs] * 1e3:7.1f} ms"
            f"{report[ours] / report[theirs]:8.2f}{report[f'{ours}_min'] / report[f'{theirs}_min']:9.2f}"
        )
    for codec in ("int16", "int8"):
        print(f"{codec + ' encode and hash':44}{report[f'{codec}_encode_hash_gb_s']:5.2f} GB/s")
    for name in ("mean_and_codec", "all_rules"):
        cold, warm = report[f"cold_{name}_s"], report[f"warm_{name}_s"]
        print(f"{'first calls, ' + name.replace('_', ' '):44}{cold:8.1f} s without compiled code, {warm:.1f} s with")
    if "extra_memory_ratio" in report:
        print(f"{'extra memory of a rule / input':44}{report['extra_memory_ratio']:9.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    machine = get_machine()
    report = measure(options.repeats)
    if options.json:
        print(json.dumps({"machine": machine, **report}))
    else:
        print(format_machine(machine))
        print_table(report)


if __name__ == "__main__":
    main()
