"""Markers by folder, whole-system tests last, and hypothesis without wall-clock deadlines."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.brokers import kafka_address  # noqa: F401  a fixture for every folder

MARKED_FOLDERS = ("e2e", "integration")
HERE = Path(__file__).parent

# a busy machine is not a failing property
settings.register_profile("flobc", deadline=None)
settings.load_profile("flobc")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # here and not in addopts, where another -m would bring them in
    if "soak" not in config.option.markexpr:
        soaks = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaks)
        items[:] = [item for item in items if item not in soaks]
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] in MARKED_FOLDERS)
