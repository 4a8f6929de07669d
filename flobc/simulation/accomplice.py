"""What a dishonest validator is: an honest one whose scorer and log are wrapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.runtime.live_follower import Appender
from flobc.runtime.scorer import Scorer


@dataclass(frozen=True)
class Accomplice:
    """What an attacking validator has beside its own duties: number and key, the run's seed, and who attacks with it.

    ``trainers`` and ``validators`` are the attackers' public keys; ``get_state`` tells what stands in the log by now.
    """

    index: int
    identity: Identity
    seed: int
    score_step: int
    trainers: frozenset[bytes]
    validators: frozenset[bytes]
    clock: Scheduler
    get_state: Callable[[], ChainState]


@dataclass(frozen=True)
class ValidatorAttack:
    """A way to be dishonest that changes nothing; others override one of the two methods, or both."""

    name: ClassVar[str] = ""

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return what computes in place of the honest ``scorer``."""
        del who
        return scorer

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return where the validator's records go in place of the ``log``."""
        del who
        return log
