"""Which device torch tasks compute on: one setting of the node, made once at its edge."""

from __future__ import annotations

import torch

from flobc.errors import UsageError

_CHOICES = ("auto", "cpu", "cuda")
_device = torch.device("cpu")


def set_device(name: str) -> torch.device:
    """Choose ``auto`` (a GPU if there is one), ``cpu`` or ``cuda`` for all torch tasks of this process.

    Results repeat bit for bit only between devices of one family, so a simulated run that should be
    repeated elsewhere stays on ``cpu``, the default.

    **Raises**: :class:`UsageError` for another name, or for ``cuda`` where there is none.
    """
    global _device  # noqa: PLW0603 - a setting of the process, like torch's own
    if name not in _CHOICES:
        raise UsageError(f"The device must be one of {', '.join(_CHOICES)}, not {name!r}.")
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise UsageError("The device cuda was asked for, but torch finds none here; use cpu or auto.")
    if name == "cuda" or (name == "auto" and has_cuda):
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        _device = torch.device("cuda")
    else:
        _device = torch.device("cpu")
    return _device


def get_device() -> torch.device:
    """Return the device chosen by :func:`set_device`."""
    return _device
