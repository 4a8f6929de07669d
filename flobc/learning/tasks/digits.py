"""The demo's task: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, so no download.

**Source**: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from flobc.errors import DataError
from flobc.learning.data.stratified import split_three_ways
from flobc.learning.models import build_mlp, build_small_cnn, build_softmax
from flobc.learning.task import DataSource, Examples, Splits, TrainSettings
from flobc.learning.torch_task import TorchTask

_VALIDATION = 270
_TEST = 270


def load_digits(source: DataSource) -> Splits:
    """Load the 1,797 digits, 1,257 for training; needs no directory."""
    del source
    pixels, labels = _read_bundled_table()
    features = (pixels / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return split_three_ways(Examples(features, labels.astype(np.int64)), _VALIDATION, _TEST)


def _read_bundled_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read scikit-learn's file without importing the library, which would take two seconds."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise DataError("The digits come with scikit-learn, which is not installed; install it.")
    path = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(path, delimiter=",")
    except OSError as error:
        raise DataError(f"scikit-learn is installed without its digits: {error}; reinstall it.") from error
    return table[:, :-1], table[:, -1]


def _build_mlp() -> nn.Module:
    return build_mlp(64, (64,), 10)


def _build_softmax() -> nn.Module:
    return build_softmax(64, 10)


_BUILDERS = {"cnn": build_small_cnn, "mlp": _build_mlp, "softmax": _build_softmax}
MODELS = tuple(_BUILDERS)


def build_digits_task(model: str) -> TorchTask:
    """Build the task with one of :data:`MODELS`."""
    return TorchTask(
        name="digits" if model == MODELS[0] else f"digits:{model}",
        build_model=_BUILDERS[model],
        load_splits=load_digits,
        default_settings=TrainSettings(optimizer="adam", learning_rate=0.005, batch_size=16, epochs=3),
        input_shape=(1, 8, 8),
    )
