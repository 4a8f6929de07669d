"""``flobc scale`` and ``flobc load``: how many nodes run, and which mix of them saturates."""

from __future__ import annotations

import contextlib
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flobc.cli import kinds
from flobc.cli.options import OPTIONS, apply_options, read_options
from flobc.cli.output import Talk, print_json
from flobc.cli.places import expand_path
from flobc.cli.run import check_settings, complete
from flobc.composition.local.plan import get_server
from flobc.composition.presets import get_preset
from flobc.composition.scaling.local import LocalScaler
from flobc.composition.scaling.waiting import scale, wait_until
from flobc.composition.settings import RunSettings
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.ports.scaler import SCALED_ROLES, ScaledRole, Scaler
from flobc.protocol.params import get_chain_id

if TYPE_CHECKING:
    from flobc.composition.scaling.plan import LoadPlan
    from flobc.composition.scaling.targets import Target

CLUSTER_FLAGS = ("namespace", "release", "kubeconfig", "context", "ledger", "kafka")
"""What only says something of a release on Kubernetes; some commands have not all of them."""
LEDGERS = "ledgers"


def require_operator(what: str, *modules: str) -> None:
    """Check that the optional packages are there. **Raises** UsageError."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{what} needs {', '.join(missing)}, not installed here; add it with: pip install 'flobc[operator]'"
        )


def execute_scale(arguments: Namespace) -> int:
    """Set how many nodes of a role run, and return when they do."""
    talk = Talk(arguments.quiet)
    wanted: dict[ScaledRole, int] = {
        role: kinds.whole(0).read(f"--{role}s", given)
        for role in SCALED_ROLES
        if (given := getattr(arguments, f"{role}s")) is not None
    }
    if not wanted:
        raise UsageError("flobc scale needs --trainers or --validators; how many of them are to run?")
    timeout_s = kinds.number(zero=False).read("--timeout", arguments.timeout)
    if arguments.successor is not None or arguments.chart is not None:
        return succeed(arguments, wanted, timeout_s, talk)
    scaler = build_scaler(arguments, talk)
    before = {role: scaler.get_replicas(role) for role in wanted}
    scale(scaler, wanted, timeout_s)
    if arguments.json:
        print_json({"before": before, "now": wanted})
    else:
        print("; ".join(f"{show_running(now, role)}, {before[role]} before" for role, now in wanted.items()) + ".")
    return 0


def show_running(count: int, role: str) -> str:
    """Return how many nodes of a role run, as a clause."""
    return f"{show_count(count, role)} {'runs' if count == 1 else 'run'}"


def succeed(arguments: Namespace, wanted: Mapping[ScaledRole, int], timeout_s: float, talk: Talk) -> int:
    """Begin a successor of the chain with another number of validators, and return when they run."""
    if list(wanted) != ["validator"]:
        raise UsageError("A successor has other validators alone; give --validators N, and no --trainers.")
    validators = wanted["validator"]
    if arguments.successor is not None:
        if arguments.dir is None or arguments.chart is not None:
            raise UsageError("--successor is for a system on this machine; give --dir with it, and no --chart.")
        from flobc.composition.local.succeeding import succeed_system  # noqa: PLC0415 - loads clients of servers

        out = expand_path(arguments.successor)
        genesis = succeed_system(expand_path(arguments.dir), out, validators, talk.say)
        about: dict[str, object] = {"successor": get_chain_id(genesis).hex(), "directory": str(out)}
    else:
        if arguments.release is None or arguments.dir is not None:
            raise UsageError("--chart is for a release on Kubernetes; give --release with it, and no --dir.")
        succeed_release(arguments, validators, timeout_s, talk)
        about = {"release": arguments.release}
    if arguments.json:
        print_json({"now": wanted, **about})
    else:
        print(f"{show_running(validators, 'validator')}; the successor is {' in '.join(map(str, about.values()))}.")
    return 0


def succeed_release(arguments: Namespace, validators: int, timeout_s: float, talk: Talk) -> None:
    """Upgrade a release to so many validators, as its values allow. **Raises** UsageError, TransientError."""
    require_operator("flobc scale on Kubernetes", "kubernetes")
    from flobc.adapters.kubernetes import HelmRelease  # noqa: PLC0415 - an optional package

    scaler = build_scaler(arguments, talk)
    reached = (arguments.kubeconfig, arguments.context)
    approving = show_count(scaler.get_replicas("validator"), "validator")
    talk.say(f"helm upgrade {arguments.release}, when the approvals of {approving} are there ...")
    release = HelmRelease(str(expand_path(arguments.chart)), arguments.release, arguments.namespace, *reached)
    release.upgrade({"validators.replicas": str(validators)}, timeout_s)
    talk.say(f"The successor is there; starting {show_count(validators, 'validator')} ...")
    wait_until(
        lambda: scaler.get_replicas("validator") == validators and scaler.is_ready("validator"),
        f"{show_count(validators, 'validator')} to come up",
        timeout_s,
    )


def build_scaler(arguments: Namespace, talk: Talk) -> Scaler:
    """Return what scales the system or release that is named. **Raises** UsageError."""
    if arguments.dir is not None:
        refuse_cluster_flags(arguments)
        root = expand_path(arguments.dir)
        scaler = LocalScaler(root, talk.say)
        if get_server(root, "kafka").pid is None:
            raise UsageError(f"The system in {root} does not run; start it with: flobc up --dir {arguments.dir}")
        return scaler
    if arguments.release is None:
        raise UsageError("Say what to scale: --dir DIR on this machine, or --release NAME on Kubernetes.")
    require_operator("flobc scale on Kubernetes", "kubernetes")
    from flobc.adapters.kubernetes import KubernetesScaler, connect  # noqa: PLC0415 - an optional package

    return KubernetesScaler(connect(arguments.kubeconfig, arguments.context), arguments.namespace, arguments.release)


def refuse_cluster_flags(arguments: Namespace) -> None:
    """Check that a system on this machine is not mixed with a cluster. **Raises** UsageError."""
    given = next((name for name in CLUSTER_FLAGS if getattr(arguments, name, None) not in (None, "default")), None)
    if given is not None:
        raise UsageError(
            f"--{given} is for a release on Kubernetes; give --release NAME and no --dir, or leave it out."
        )


def execute_load(arguments: Namespace) -> int:
    """Measure every step of a plan and write the report."""
    require_operator("flobc load", "yaml", "matplotlib")
    from flobc.composition.scaling.load import run_load  # noqa: PLC0415 - optional packages
    from flobc.composition.scaling.plan_file import load_load_plan  # noqa: PLC0415
    from flobc.composition.scaling.report import describe, describe_finding  # noqa: PLC0415

    talk = Talk(arguments.quiet)
    plan = load_load_plan(expand_path(arguments.plan))
    output = expand_path(arguments.output)
    with open_target(plan, arguments, talk) as target:
        figures = run_load(plan, target, output, talk.say)
    if arguments.json:
        print_json(describe(plan, target.name, figures))
    else:
        print(describe_finding(plan, figures).replace("**", ""))
        print(f"The report is in {output / 'report.md'}.")
    return 0


@contextmanager
def open_target(plan: LoadPlan, arguments: Namespace, talk: Talk) -> Iterator[Target]:
    """What the plan is run on: a release, a system, or systems of its own. **Raises** UsageError."""
    from flobc.composition.scaling.targets import OwnSystems, RunningSystem  # noqa: PLC0415 - optional packages

    if arguments.dir is not None:
        refuse_cluster_flags(arguments)
        yield RunningSystem(expand_path(arguments.dir), plan, talk.say)
    elif arguments.release is not None:
        require_operator("flobc load on Kubernetes", "kubernetes")
        from flobc.adapters.kubernetes import connect  # noqa: PLC0415
        from flobc.composition.scaling.cluster import Access, Release  # noqa: PLC0415

        cluster, access = connect(arguments.kubeconfig, arguments.context), Access(arguments.ledger, arguments.kafka)
        yield Release(cluster, arguments.namespace, arguments.release, plan, access, talk.say)
    else:
        refuse_cluster_flags(arguments)
        settings, ledgers = read_system(dict(plan.system))
        folder = Path(tempfile.mkdtemp(prefix="flobc-load-"))
        try:
            yield OwnSystems(folder, settings, ledgers, talk.say, keep=arguments.keep)
        finally:
            if arguments.keep:
                talk.say(f"The systems' directories are in {folder}.")
            else:
                with contextlib.suppress(OSError):  # a system that failed is kept there
                    folder.rmdir()


def read_system(given: Mapping[str, str]) -> tuple[RunSettings, int]:
    """Return settings and number of ledgers of a plan's own systems. **Raises** UsageError naming the key."""
    options = {name.replace("-", "_"): value for name, value in given.items()}
    known = (LEDGERS, "preset", *(option.name for option in OPTIONS if option.name not in ("trainers", "validators")))
    for name in options:
        if name not in known:
            raise UsageError(f"The plan has no key system.{name}{suggest(name, known)} It takes options of flobc up.")
    ledgers = kinds.whole(1, 100).read("system.ledgers", options.pop(LEDGERS, "1"))
    read = read_options({**options, **({"attack": [options["attack"]]} if "attack" in options else {})})
    settings = complete(apply_options(get_preset(read.preset or "default"), read))
    check_settings(settings)
    return settings, ledgers
