"""The smallest task of one's own: a module, a loader, a line. Try it with --task examples.torch_task:task."""

import numpy as np
from torch import nn

from flobc.learning.data.stratified import split_three_ways
from flobc.learning.task import DataSource, Examples, Splits, TrainSettings
from flobc.learning.torch_task import TorchTask


def build_model() -> nn.Module:
    """Build any float32 module."""
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))


def load(source: DataSource) -> Splits:
    """Generate two rings; a real loader reads from ``source.directory``."""
    rng = np.random.default_rng(source.seed)
    labels = np.arange(400) % 2
    angles = rng.uniform(0, 2 * np.pi, 400)
    radii = 1.0 + labels + 0.1 * rng.standard_normal(400)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return split_three_ways(Examples(points.astype(np.float32), labels), validation=80, test=80)


task = TorchTask("rings", build_model, load, TrainSettings(optimizer="adam", learning_rate=0.02, epochs=5))
