"""A small world of scores to compare trust policies in: integers and one fixed seed, so it never varies.

A common gain shrinks as the model converges; each kind of trainer adds its own offset and spread to it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from flobc.protocol.trust.params import INITIAL_TRUST, TRUST_ONE, TrustParams
from flobc.protocol.trust.policies import admit, admit_genesis, credit
from flobc.protocol.trust.state import Scored, TrustState

ROUNDS = 30
SHOWN_ROUNDS = (1, 5, 10, 15, 20, 30)
ACCEPT_TOLERANCE = 50_000


@dataclass(frozen=True)
class Kind:
    """One sort of trainer: its score is the common gain + offset +- spread, in 1e-6."""

    name: str
    offset: int = 0
    spread: int = 10_000
    every: int = 1  # takes part in every n-th round, from the base n - 1 heights back
    fault_at: int = -1
    joins_at: int = 0
    leaves_at: int = ROUNDS + 1


KINDS = (
    Kind("honest 1"),
    Kind("honest 2"),
    Kind("honest 3"),
    Kind("skewed shard", offset=-25_000, spread=20_000),
    Kind("very skewed shard", offset=-60_000, spread=40_000),
    Kind("late, every 3rd round", every=3),
    Kind("joins at round 10", joins_at=10),
    Kind("one fault at round 10", fault_at=10),
    Kind("silent from round 10", leaves_at=10),
    Kind("a little noise", offset=-100_000, spread=60_000),
    Kind("much noise", offset=-400_000, spread=200_000),
)


def key_of(kind: Kind) -> bytes:
    return bytes([KINDS.index(kind)]) * 32


def gain_at(base_height: int) -> int:
    """Relative improvement of a plain honest update on the base: 40 % at first, 1 % in the end."""
    return 10_000 + 390_000 * 85**base_height // 100**base_height


def play_round(state: TrustState, height: int, rng: random.Random) -> list[Scored]:
    results = []
    for kind in KINDS:
        if key_of(kind) not in state.entries or height >= kind.leaves_at or height % kind.every:
            continue
        base_height = max(height - kind.every + 1, 0)
        luck = kind.spread * (rng.randrange(2001) + rng.randrange(2001) - 2000) // 2000
        fault = kind.fault_at == height
        score = -1_000_000 if fault else max(-1_000_000, gain_at(base_height) + kind.offset + luck)
        accepted = score >= -ACCEPT_TOLERANCE
        staleness = height - base_height
        results.append(
            Scored(
                key_of(kind),
                base_height,
                score,
                65536 // (1 + staleness),
                fault,
                accepted,
                accepted,
            )
        )
    return results


def play(params: TrustParams, seed: int = 7) -> list[TrustState]:
    """States after 0, 1, ... ROUNDS rounds."""
    rng = random.Random(seed)
    state = admit_genesis(params, [key_of(kind) for kind in KINDS if not kind.joins_at])
    states = []
    for height in range(ROUNDS):
        for kind in KINDS:
            if kind.joins_at == height > 0:
                state = admit(params, state, key_of(kind), height)
        states.append(state)
        state = credit(params, state, play_round(state, height, rng), height)
    return [*states, state]


def format_trust(params: TrustParams, state: TrustState, kind: Kind) -> str:
    """Trust in units of an equal start: 1.00 is the initial trust, or 1/N for shares."""
    entry = state.entries.get(key_of(kind))
    if entry is None:
        return "-"
    if params.policy == "flobc_plus":
        hundredths = entry.trust * 100 // INITIAL_TRUST
    else:
        hundredths = entry.trust * len(state.entries) * 100 // TRUST_ONE
    return f"{hundredths // 100}.{hundredths % 100:02d}" + ("p" if entry.probation else "")


def render_table(params: TrustParams) -> str:
    states = play(params)
    lines = [
        "| trainer | " + " | ".join(f"after {shown}" for shown in SHOWN_ROUNDS) + " |",
        "|---" * (len(SHOWN_ROUNDS) + 1) + "|",
    ]
    for kind in KINDS:
        cells = [format_trust(params, states[shown], kind) for shown in SHOWN_ROUNDS]
        lines.append("| " + " | ".join([kind.name, *cells]) + " |")
    return "\n".join(lines) + "\n"
