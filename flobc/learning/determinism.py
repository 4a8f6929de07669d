"""Makes training with torch a function of its seed alone.

Torch's default random generator belongs to the process: two threads that train at once take
numbers from each other, and ``torch.manual_seed`` in one of them reseeds the other. Here every call
has a generator of its own, handed to torch in two ways:

* :class:`SeededDropout` takes the place of ``torch.nn.Dropout`` and draws from it directly;
* :class:`SeededRandomness` is a dispatch mode, which torch keeps per thread. While it is on, every
  random operator that this thread runs is given the generator: initialisers, functional dropout,
  dropout inside attention or recurrent layers, ``torch.rand`` in a forward pass.

Sums depend on how many threads share them, so a pool that trains calls :func:`single_threaded`
in each of its workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from flobc.errors import UsageError

_SEED_SPACE = 2**63


def single_threaded() -> None:
    """Let torch compute with one thread in the calling thread: the initializer of a worker pool."""
    torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """As :func:`single_threaded`, in this block."""
    threads = torch.get_num_threads()
    single_threaded()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def build_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own for any integer seed."""
    return torch.Generator(device=device).manual_seed(seed % _SEED_SPACE)


class GeneratorSlot:
    """Holds the generator of the call that is running, for modules that were built before it."""

    def __init__(self) -> None:
        self.generator: torch.Generator | None = None


class SeededDropout(nn.Module):
    """Dropout whose mask comes from the running call's generator.

    **Source**: Srivastava et al. 2014, in the inverted form of ``torch.nn.Dropout``.
    """

    def __init__(self, probability: float, slot: GeneratorSlot) -> None:
        super().__init__()
        self.probability = probability
        self._slot = slot

    def forward(self, features: Tensor) -> Tensor:
        """Drop each element with ``probability`` while training and scale the others up."""
        if not self.training or self.probability == 0.0:
            return features
        if self.probability == 1.0:
            return features * 0.0
        keep = 1.0 - self.probability
        mask = torch.empty_like(features).bernoulli_(keep, generator=self._slot.generator)
        return features * mask.div_(keep)


def replace_dropout(module: nn.Module, slot: GeneratorSlot) -> None:
    """Put a :class:`SeededDropout` in the place of every ``torch.nn.Dropout`` inside ``module``.

    Subclasses and other kinds of dropout stay: :class:`SeededRandomness` serves those.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, SeededDropout(child.p, slot))


class SeededRandomness(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While on, random operators of this thread draw from ``generator``; ``draws`` counts them."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = generator
        self.draws = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func``, with our generator if it is random and was given none."""
        del types
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        self.draws += 1
        if func is torch.ops.aten.native_dropout.default:
            return self._native_dropout(*args, **kwargs)
        return _with_generator(func)(*args, **kwargs, generator=self.generator)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise entering the mode imports torch's compiler, which takes seconds and is not used here.
        return False

    def _native_dropout(self, features: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
        if train is False:
            return features.clone(), torch.ones_like(features, dtype=torch.bool)
        mask = torch.empty_like(features, dtype=torch.bool).bernoulli_(1.0 - p, generator=self.generator)
        scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
        return features * mask * scale, mask


def _with_generator(func: Any) -> Any:
    """Return ``func``, or its overload, that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    overload = func._schema.overload_name
    names = (f"{overload}_generator", overload.replace("low", "low_generator"), f"generator_{overload}")
    for name in names if overload else ("generator",):
        if name != overload and name in func.overloadpacket.overloads():
            return getattr(func.overloadpacket, name)
    raise UsageError(
        f"The model uses the random operator {func}, which takes no generator, so training could not be "
        "repeated; use another operator or flobc.learning.determinism.SeededDropout."
    )
