"""Runs a load plan: every repeat of every step that is not measured yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flobc.composition.scaling.figures import Figures, compute_figures
from flobc.composition.scaling.measurement import Measurement, MeasurementFile
from flobc.composition.scaling.measuring import open_bench
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.composition.scaling.report import write_report
from flobc.composition.scaling.targets import Say, Target
from flobc.composition.wording import show_count


def run_load(plan: LoadPlan, target: Target, output: Path, say: Say) -> Figures:
    """Measure what is missing in ``output`` and write the report there; return its figures.

    All steps of one repeat come before those of the next, so that a machine that changes in between changes all
    steps alike. What was measured is kept at once: after an interruption the same call goes on.

    **Raises** UsageError when a step cannot be had, VerificationError when an invariant does not hold after a step,
    TransientError when a chain stands still.
    """
    file = MeasurementFile(output, plan, target.name)
    done = {(found.step, found.repeat) for found in file.load()}
    missing = [
        (repeat, step) for repeat in range(1, plan.repeats + 1) for step in plan.steps if (step, repeat) not in done
    ]
    if done:
        say(f"{len(done)} measurements are there already, {len(missing)} are missing.")
    target.validate([step for _, step in missing])
    for repeat, steps in _group(missing, target):
        with target.open(steps[0]) as site, open_bench(site, plan, say) as bench:
            for step in steps:
                say(f"{step.name}, repeat {repeat} of {plan.repeats}")
                found = bench.measure(step, repeat)
                file.append(found)
                say(describe_measurement(found))
        write_report(plan, target.name, output, file.load())
    measurements = file.load()
    write_report(plan, target.name, output, measurements)
    return compute_figures(plan, measurements)


def describe_measurement(found: Measurement) -> str:
    """Return what was measured as a line of talk."""
    machine = "" if found.machine_share is None else f", machine {found.machine_share:.0%} busy"
    rounds = show_count(len(found.round_s), "round")
    return f"{found.step.name}: {found.updates_per_s:.2f} updates/s over {rounds}{machine}"


def _group(missing: Sequence[tuple[int, Step]], target: Target) -> list[tuple[int, list[Step]]]:
    """Steps of one repeat and one site follow each other, else the plan's order holds."""
    groups: dict[tuple[int, str], list[Step]] = {}
    for repeat, step in missing:
        groups.setdefault((repeat, target.name_site(step)), []).append(step)
    return [(repeat, steps) for (repeat, _), steps in groups.items()]
