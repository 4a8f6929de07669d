"""Finds a task by its shipped name or its import path."""

from flobc.learning.tasks.registry import get_task, shipped_names

__all__ = ["get_task", "shipped_names"]
