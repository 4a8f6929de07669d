"""Trainers and validators that do not do what they should, in runs that are real in all else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from flobc.composition.embedded import EmbeddedRun
from flobc.ports.payloads import Payload
from flobc.protocol.identity import Identity
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import UpdateHeader, sign
from flobc.runtime.validator_node import ValidatorNode

Forger = Callable[[Payload, "ForgedRun"], Sequence[Payload]]
"""Returns what is published in the place of an honest payload; nothing at all is allowed too."""


class ForgedRun(EmbeddedRun):
    """An embedded run in which some trainers forge what they publish and some validators say nothing.

    ``published`` lists every payload that was sent to the validators, in order.
    """

    def __init__(
        self, *parts: Any, forgers: dict[int, Forger] | None = None, silent: frozenset[int] = frozenset()
    ) -> None:
        self.forgers = forgers or {}
        self.silent = silent
        self.published: list[Payload] = []
        super().__init__(*parts)

    def get_identity(self, index: int) -> Identity:
        return self._federation.trainers[index]

    def _build_validator(self, index: int) -> ValidatorNode:
        return SilentValidator() if index in self.silent else super()._build_validator(index)

    def _publish(self, payload: Payload) -> None:
        keys = [identity.public_key for identity in self._federation.trainers]
        forge = self.forgers.get(keys.index(payload.header.trainer))
        for item in [payload] if forge is None else forge(payload, self):
            self.published.append(item)
            super()._publish(item)


class SilentValidator(ValidatorNode):
    """A validator that is not there."""

    def __init__(self) -> None:
        pass

    def on_payloads(self, headers: Sequence[UpdateHeader]) -> None:
        """Nobody listens."""

    def on_commit(self) -> None:
        """Nobody listens."""

    def step(self) -> bool:
        return False


def resign(payload: Payload, signer: Identity, chunks: Sequence[bytes] | None = None, **changes: Any) -> Payload:
    """A payload whose header is true to its chunks and well signed, but for ``changes``."""
    kept = payload.chunks if chunks is None else tuple(chunks)
    header = dataclasses.replace(
        payload.header,
        trainer=signer.public_key,
        payload_root=merkle_root(kept),
        num_chunks=len(kept),
        size_bytes=sum(map(len, kept)),
    )
    return Payload(sign(dataclasses.replace(header, **changes), signer), kept)


def forge_chunks(index: int, change: Callable[[tuple[bytes, ...]], Sequence[bytes]], **changes: Any) -> Forger:
    """Trainer ``index`` publishes changed chunks under a header that vouches for them."""
    return lambda payload, run: [resign(payload, run.get_identity(index), change(payload.chunks), **changes)]


def forge_header(index: int, change: Callable[[UpdateHeader], dict[str, Any]]) -> Forger:
    """Trainer ``index`` signs a header that says something else of its honest chunks."""
    return lambda payload, run: [resign(payload, run.get_identity(index), **change(payload.header))]


def publish_nothing(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """A trainer that is dead: it never publishes."""
    return ()
