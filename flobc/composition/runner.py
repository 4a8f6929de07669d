"""Start or resume an embedded run: the one function behind ``flobc run`` and ``from flobc import run``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc.composition.embedded import EmbeddedRun
from flobc.composition.genesis import Federation, build_federation, build_shards
from flobc.composition.presets import get_preset
from flobc.composition.reports import Observer, RoundReport, SilentObserver, TestReport, get_trust_shares
from flobc.composition.run_directory import (
    append_test,
    create_run_directory,
    is_run_directory,
    load_genesis,
    load_settings,
    load_tests,
    lock_directory,
    save_settings,
    validate_no_simulation,
)
from flobc.composition.settings import RunSettings, validate_settings
from flobc.composition.stores import Stores, build_memory_stores, open_file_stores
from flobc.errors import UsageError
from flobc.learning.device import set_device
from flobc.learning.task import Task
from flobc.learning.tasks import get_task
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import ChainState


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: the chain's last state, its blocks, and the test reports by height."""

    state: ChainState
    blocks: tuple[Block, ...]
    tests: dict[int, TestReport]
    directory: Path | None

    @property
    def test_accuracy(self) -> float:
        """The last model's accuracy on the test set."""
        return self.tests[max(self.tests)].accuracy

    @property
    def trust(self) -> dict[bytes, float]:
        """Each trainer's share of all trust."""
        return get_trust_shares(self.state)


def run(
    settings: RunSettings | None = None,
    *,
    task: Task | str | None = None,
    directory: Path | str | None = None,
    observer: Observer | None = None,
    **overrides: Any,
) -> RunResult:
    """Train a model on a verified chain in this process and return the result.

    ``settings`` (default: the ``default`` preset) may be refined by keyword: ``run(trainers=3,
    rounds=5)``. ``task`` is a name or an object, which stands for the settings' name. With ``directory`` the
    run is durable there, and a killed run goes on where it stopped; without, it lives in memory.

    **Raises** UsageError when the settings are impossible, DataError when data is missing.
    """
    if isinstance(task, str):
        overrides["task"], task = task, None
    settings = dataclasses.replace(settings or get_preset("default"), **overrides)
    validate_settings(settings)
    set_device(settings.device)
    task = task or get_task(settings.task)
    federation = build_federation(settings, task)
    shards = build_shards(settings, task)
    root = None if directory is None else Path(directory)
    observer = observer or SilentObserver()
    if root is not None:
        observer = TestRecorder(root, observer)
    with open_stores(root, settings, federation) as stores:
        embedded = EmbeddedRun(settings, federation, shards, stores, observer)
        try:
            embedded.run(settings.rounds)
        finally:
            embedded.close()
        blocks = tuple(_read_blocks(stores, embedded.state.height))
        tests = embedded.tests if root is None else {**load_tests(root), **embedded.tests}
        return RunResult(embedded.state, blocks, dict(sorted(tests.items())), root)


@dataclass(frozen=True)
class TestRecorder:
    """Writes each test into the run's directory and passes everything on."""

    root: Path
    observer: Observer

    def on_start(self, state: ChainState, rounds: int, warning: str | None) -> None:
        """Pass on the start."""
        self.observer.on_start(state, rounds, warning)

    def on_update(self, height: int, received: int, decided: int, expected: int) -> None:
        """Pass on progress."""
        self.observer.on_update(height, received, decided, expected)

    def on_round(self, report: RoundReport) -> None:
        """Pass on a block."""
        self.observer.on_round(report)

    def on_test(self, report: TestReport) -> None:
        """Write down a test and pass it on."""
        append_test(self.root, report)
        self.observer.on_test(report)


def _read_blocks(stores: Stores, height: int) -> Iterator[Block]:
    for number in range(1, height + 1):
        block = stores.blocks.get(number)
        if block is not None:
            yield block


def validate_same_run(root: Path, federation: Federation) -> None:
    """**Raises** UsageError when the run in a directory is a simulation, or has another genesis."""
    validate_no_simulation(root)
    if load_genesis(root) != federation.genesis:
        raise UsageError(
            f"The run in {root} was started with other settings, seed or model; "
            "resume it as it was started, start anew with --new, or choose another --dir."
        )


@contextmanager
def open_stores(root: Path | None, settings: RunSettings, federation: Federation) -> Iterator[Stores]:
    """Open the run's stores: memory, or a directory that is made when new and must agree when not.

    **Raises** UsageError when the directory holds a run with another genesis, or is in use.
    """
    if root is None:
        yield build_memory_stores(federation.genesis, keeps_payloads=False)
        return
    root.mkdir(parents=True, exist_ok=True)
    with lock_directory(root):
        if not is_run_directory(root):
            create_run_directory(root, settings, federation.genesis)
        else:
            validate_same_run(root, federation)
            if load_settings(root, settings.params) != settings:
                save_settings(root, settings)
        with open_file_stores(root, federation.genesis) as stores:
            yield stores
