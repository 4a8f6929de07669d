"""Markers by folder, whole-system tests last, and hypothesis without wall-clock deadlines."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.brokers import kafka_address  # noqa: F401  a fixture for every folder

MARKED_FOLDERS = ("cluster", "e2e", "integration")
HERE = Path(__file__).parent

# a busy machine is not a failing property
settings.register_profile("flobc", deadline=None)
settings.load_profile("flobc")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
    # here and not in addopts, where another -m would bring them in
    for asked in ("soak", "cluster"):
        if asked not in config.option.markexpr:
            left_out = [item for item in items if item.get_closest_marker(asked)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] in MARKED_FOLDERS)
