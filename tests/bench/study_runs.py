"""One federated run as a study sees it: settings in, plain figures out."""

from __future__ import annotations

import hashlib
import time
from collections import Counter

from flobc.composition.reports import RoundReport, SilentObserver
from flobc.composition.runner import run
from flobc.composition.settings import RunSettings, build_train_settings, encode_train_settings
from flobc.learning.task import Task
from flobc.learning.tasks import get_task
from flobc.protocol.encoding import encode
from tests.bench.study_cells import Record


class Names(SilentObserver):
    """Learns the trainers' keys, in the order of their numbers."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def on_round(self, report: RoundReport) -> None:
        self.keys = [trainer.key for trainer in report.trainers]


def compute_settings_digest(settings: RunSettings) -> str:
    """Fingerprint of the consensus params and of the task's settings with their overrides.

    Defaults change between releases; a run with the former ones must not pass for one with the new.
    """
    training = build_train_settings(get_task(settings.task).default_settings, settings.training)
    return hashlib.sha256(encode(settings.params) + encode_train_settings(training).encode()).hexdigest()[:16]


def measure_federated(settings: RunSettings, task: Task | None = None) -> Record:
    """Run a federation and return its test curve, what became of the updates, and the final trust.

    Lists per trainer are in the order of their numbers; updates that were superseded count nowhere.
    """
    started = time.monotonic()
    names = Names()
    result = run(settings, task=task, observer=names)
    final = result.tests[max(result.tests)]
    accepted = Counter(decision.trainer for block in result.blocks for decision in block.accepted)
    rejected = Counter(decision.trainer for block in result.blocks for decision in block.rejected)
    return {
        "accuracy": final.accuracy,
        "loss": final.loss,
        "curve": [round(test.accuracy, 6) for test in result.tests.values()],
        "accepted": [accepted[key] for key in names.keys],
        "rejected": [rejected[key] for key in names.keys],
        "trust_shares": [round(result.trust[key], 6) for key in names.keys],
        "seconds": round(time.monotonic() - started, 1),
    }
