"""How long each synchronisation scheme takes to a target accuracy, on straggler profiles that were fixed beforehand.

The profiles are worlds in ``examples/scenarios/profiles``. The time is the virtual time of the first block from
which the mean of ``SMOOTHED`` test accuracies is at the target; a run that does not get there counts as its last block.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flobc.simulation.loading import World, read_world
from flobc.simulation.simulate import simulate
from tests.bench.study_cells import CellFile, Record, format_columns
from tests.bench.study_runs import compute_settings_digest

PROFILES_DIRECTORY = Path(__file__).parents[2] / "examples" / "scenarios" / "profiles"
PROFILES = ("homogeneous", "one_slow", "heavy_tail", "half_slow", "churn")
SCHEMES = {
    "bsp": "sync: bsp",
    "ssp": "sync: ssp",
    "bap 1.0": "sync: bap\n  majority_ratio: 100%",
    "bap 0.6": "sync: bap\n  majority_ratio: 60%",
    "adaptive": "sync: adaptive",
}
ROUNDS, TARGET, SMOOTHED = 60, 0.9, 3
BAR_RATIO = 1.05


@dataclass(frozen=True)
class SyncCell:
    """One world under one scheme."""

    profile: str
    scheme: str
    rounds: int
    seed: int

    def build_world(self) -> World:
        """The profile's world with this scheme."""
        text = (PROFILES_DIRECTORY / f"{self.profile}.yaml").read_text(encoding="utf-8")
        text = text.replace("sync: adaptive", SCHEMES[self.scheme])
        return read_world(f"{self.profile}.yaml", text, {"seed": self.seed, "rounds": self.rounds})

    def describe(self) -> Record:
        """All that the result depends on, as JSON data."""
        world = self.build_world()
        return {
            "study": "sync",
            "settings": compute_settings_digest(world.settings),
            "world": world.text,
            **asdict(self),
        }


def list_cells(rounds: int, seeds: Sequence[int]) -> list[SyncCell]:
    """Every scheme on every profile."""
    return [SyncCell(profile, scheme, rounds, seed) for profile in PROFILES for seed in seeds for scheme in SCHEMES]


def measure(cells: Sequence[SyncCell], file: CellFile) -> list[Record]:
    """Run what the file does not hold yet; return all results in the cells' order."""
    for cell in cells:
        if file.find(cell.describe()) is None:
            started = time.monotonic()
            rows = simulate(cell.build_world(), workers=1).results.rounds
            curve = [[row.virtual_ms, row.test_accuracy] for row in rows]
            file.append(cell.describe(), {"curve": curve, "seconds": round(time.monotonic() - started, 1)})
    return [found for cell in cells if (found := file.find(cell.describe())) is not None]


def find_time_s(result: Record, target: float = TARGET) -> float:
    """Seconds to the target."""
    curve = result["curve"]
    for at in range(SMOOTHED - 1, len(curve)):
        if statistics.fmean(accuracy for _, accuracy in curve[at - SMOOTHED + 1 : at + 1]) >= target:
            return float(curve[at][0]) / 1000
    return float(curve[-1][0]) / 1000


def report(cells: Sequence[SyncCell], results: Sequence[Record]) -> str:
    """Lay out each scheme's mean time on each profile, and how adaptive compares with the best fixed one."""
    times: dict[tuple[str, str], list[float]] = {}
    for cell, result in zip(cells, results, strict=True):
        times.setdefault((cell.profile, cell.scheme), []).append(find_time_s(result))
    means = {key: statistics.fmean(values) for key, values in times.items()}
    lines = [("profile", *SCHEMES, "adaptive / best", "met")]
    for profile in PROFILES:
        best = min(means[profile, scheme] for scheme in SCHEMES if scheme != "adaptive")
        ratio = means[profile, "adaptive"] / best
        seconds = [f"{means[profile, scheme]:.1f}" for scheme in SCHEMES]
        lines.append((profile, *seconds, f"{ratio:.2f}", "yes" if ratio <= BAR_RATIO else "no"))
    overall = [math.exp(statistics.fmean(math.log(means[at, scheme]) for at in PROFILES)) for scheme in SCHEMES]
    met = "yes" if overall[-1] <= min(overall) else "no"
    lines.append(("geometric mean", *(f"{value:.1f}" for value in overall), "", met))
    return f"seconds to {TARGET:.0%}\n{format_columns(lines)}"
