"""One thread's copy of a torch module whose learnable state lies in one flat tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from flobc.errors import UsageError
from flobc.learning.determinism import GeneratorSlot, SeededRandomness, build_generator, replace_dropout
from flobc.learning.task import ModelInfo, TensorInfo, Vector

# Running statistics need range more than resolution: 16 fraction bits reach +-16384 in an update.
_STATISTIC_BITS = 16
_STATISTIC_LIMIT = 8192.0
_BUFFER_LIMIT = 64.0

ModelBuilder = Callable[[], nn.Module]


def build_module(builder: ModelBuilder, seed: int) -> nn.Module:
    """Build a module whose initial values depend on ``seed`` alone."""
    with SeededRandomness(build_generator(seed)):
        return builder()


def describe_module(module: nn.Module, fraction_bits: int) -> ModelInfo:
    """List the tensors of ``module`` in the order of its state dict; a tied tensor is listed once.

    **Raises**: :class:`UsageError` for a learnable parameter that is not float32, or when none is learnable.
    """
    learnable = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    buffers = {id(buffer) for buffer in module.buffers()}
    seen: set[int] = set()
    tensors = []
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        tensors.append(_describe_tensor(name, tensor, id(tensor) in learnable, id(tensor) in buffers, fraction_bits))
    if not any(info.kind == "train" for info in tensors):
        raise UsageError("The model has no parameter that can be trained; build one with requires_grad=True.")
    return ModelInfo(tuple(tensors))


def _describe_tensor(name: str, tensor: Tensor, learnable: bool, is_buffer: bool, fraction_bits: int) -> TensorInfo:
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = tuple(tensor.shape)
    if learnable and tensor.dtype != torch.float32:
        raise UsageError(f"The parameter {name} is {dtype}, but models are trained in float32; call .float() on it.")
    if learnable:
        return TensorInfo(name, shape, dtype, "train", fraction_bits)
    if not is_buffer or tensor.dtype != torch.float32:
        return TensorInfo(name, shape, dtype, "frozen")
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        return TensorInfo(name, shape, dtype, "buffer", _STATISTIC_BITS, 0.0, _STATISTIC_LIMIT)
    if leaf == "running_mean":
        return TensorInfo(name, shape, dtype, "buffer", _STATISTIC_BITS, -_STATISTIC_LIMIT, _STATISTIC_LIMIT)
    return TensorInfo(name, shape, dtype, "buffer", fraction_bits, -_BUFFER_LIMIT, _BUFFER_LIMIT)


def read_vector(module: nn.Module, info: ModelInfo) -> Vector:
    """Copy the vector out of a freshly built module."""
    state = module.state_dict()
    vector = np.empty(info.size, dtype=np.float32)
    for tensor, start, stop in info.layout:
        vector[start:stop] = state[tensor.name].reshape(-1).numpy()
    return vector


class Replica:
    """A module whose vector is loaded and read by one copy, because its tensors are views of it.

    ``trained`` are the stretches of the vector that are learnt and ``gradients`` theirs in
    ``gradient``, which is as long as the vector.
    """

    def __init__(self, builder: ModelBuilder, info: ModelInfo, device: torch.device) -> None:
        # Frozen tensors must be alike on every node, so a replica always starts from the same seed.
        self.module = build_module(builder, seed=0).to(device)
        self._slot = GeneratorSlot()
        replace_dropout(self.module, self._slot)
        self.flat = torch.empty(info.size, dtype=torch.float32, device=device)
        self.gradient = torch.zeros_like(self.flat)
        self._host = self.flat.numpy() if device.type == "cpu" else None
        self._buffers = self._attach(info)
        runs = _find_trained_runs(info)
        self.trained = [self.flat[start:stop] for start, stop in runs]
        self.gradients = [self.gradient[start:stop] for start, stop in runs]
        self.draws_from_torch: bool | None = None

    def _attach(self, info: ModelInfo) -> list[tuple[nn.Module, str, Tensor]]:
        """Make every tensor of the vector, and its gradient, a view; return the buffers with their owners."""
        state = self.module.state_dict(keep_vars=True)
        buffers = []
        with torch.no_grad():
            for tensor, start, stop in info.layout:
                view = self.flat[start:stop].view(tensor.shape)
                view.copy_(state[tensor.name])
                # ``data`` is set, not the attribute, so that tied tensors stay tied.
                state[tensor.name].data = view
                if tensor.kind == "train":
                    state[tensor.name].grad = self.gradient[start:stop].view(tensor.shape)
                else:
                    owner, _, leaf = tensor.name.rpartition(".")
                    buffers.append((self.module.get_submodule(owner), leaf, state[tensor.name]))
        return buffers

    def load(self, vector: Vector) -> None:
        """Make the module hold ``vector``."""
        if self._host is not None:
            np.copyto(self._host, vector)
        else:
            self.flat.copy_(torch.from_numpy(np.array(vector)))

    def read(self) -> Vector:
        """Return a copy of the module's vector."""
        for owner, leaf, view in self._buffers:
            buffer = getattr(owner, leaf)
            if buffer is not view:  # the module assigned a new tensor instead of writing into its buffer
                view.copy_(buffer)
                setattr(owner, leaf, view)
        if self._host is not None:
            return self._host.copy()
        return self.flat.cpu().numpy()

    def probe(self, features: Tensor) -> None:
        """Run one forward pass to learn whether the module draws numbers that only the mode can seed.

        Costs a step per thread once; afterwards models that need no mode, which takes about a tenth
        of the time, do without.
        """
        self.module.train()
        with self.seeded(0) as mode:
            self.module(features)
        self.draws_from_torch = mode.draws > 0
        self.read()

    @contextmanager
    def seeded(self, seed: int) -> Iterator[SeededRandomness]:
        """While on, whatever the module draws comes from ``seed``."""
        generator = build_generator(seed, self.flat.device)
        mode = SeededRandomness(generator)
        self._slot.generator = generator
        try:
            with mode if self.draws_from_torch is not False else nullcontext():
                yield mode
        finally:
            self._slot.generator = None


def _find_trained_runs(info: ModelInfo) -> list[tuple[int, int]]:
    """Return the places ``[start, stop)`` of the learnt tensors, neighbours joined."""
    runs: list[tuple[int, int]] = []
    for tensor, start, stop in info.layout:
        if tensor.kind != "train":
            continue
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs
