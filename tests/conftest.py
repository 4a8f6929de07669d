"""Markers by folder, whole-system tests last, and hypothesis without wall-clock deadlines."""

from pathlib import Path

import pytest
from hypothesis import settings

MARKED_FOLDERS = ("e2e", "integration")
HERE = Path(__file__).parent

# a busy machine is not a failing property
settings.register_profile("flobc", deadline=None)
settings.load_profile("flobc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] in MARKED_FOLDERS)
