"""MNIST and Fashion-MNIST, read from the data directory.

**Source**: LeCun, Cortes and Burges 1998; Xiao, Rasul and Vollgraf 2017.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from flobc.errors import DataError
from flobc.learning.data.images import find_idx, read_digit_json, read_idx_pair
from flobc.learning.data.stratified import split_stratified, split_three_ways
from flobc.learning.models import build_mlp, build_paper_cnn, build_resnet18, build_softmax
from flobc.learning.task import DataSource, Splits, TrainSettings
from flobc.learning.torch_task import TorchTask


def _build_mlp() -> nn.Module:
    return build_mlp(28 * 28, (128,), 10)


def _build_softmax() -> nn.Module:
    return build_softmax(28 * 28, 10)


def _build_resnet18() -> nn.Module:
    return build_resnet18(channels_in=1)


_BUILDERS = {"cnn": build_paper_cnn, "mlp": _build_mlp, "softmax": _build_softmax, "resnet18": _build_resnet18}
MODELS = tuple(_BUILDERS)


def load_images(name: str, source: DataSource) -> Splits:
    """Load the set ``name`` from ``DIRECTORY/name``.

    IDX files keep their official test set and a sixth of the training set is for validation. A tenth
    of the per-digit JSON files (``digits/0.json`` to ``digits/9.json``) is for validation and a tenth
    for test. Both are stratified and the same for every seed.

    **Raises**: :class:`DataError` when there is no directory, no set in it, or a malformed one.
    """
    if source.directory is None:
        raise DataError(
            f"The task {name} reads its images from a data directory and none was given; "
            f"set FLOBC_DATA_DIR and run: flobc data fetch {name}"
        )
    directory = source.directory / name
    if find_idx(directory, "train-images-idx3-ubyte") is not None:
        return _load_idx(directory)
    if (directory / "digits").is_dir():
        examples = read_digit_json(directory / "digits")
        return split_three_ways(examples, len(examples) // 10, len(examples) // 10)
    raise DataError(
        f"There is no {name} in {source.directory}; run: flobc data fetch {name} --data-dir {source.directory}"
    )


def _load_idx(directory: Path) -> Splits:
    learning = read_idx_pair(directory, "train")
    test = read_idx_pair(directory, "t10k")
    validation = len(learning) // 6
    train_part, validation_part = split_stratified(learning, (len(learning) - validation, validation))
    return Splits(train_part, validation_part, test)


def build_image_task(name: str, model: str) -> TorchTask:
    """Build the task ``name``, with one of :data:`MODELS`."""

    def load(source: DataSource) -> Splits:
        return load_images(name, source)

    return TorchTask(
        name=name if model == MODELS[0] else f"{name}:{model}",
        build_model=_BUILDERS[model],
        load_splits=load,
        # Adam and batches of 32 for one epoch, as the published prototype trains.
        default_settings=TrainSettings(optimizer="adam", learning_rate=0.001, batch_size=32, epochs=1),
        input_shape=(1, 28, 28),
    )
