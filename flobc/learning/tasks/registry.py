"""Turns the text of ``--task`` into a task: a shipped name with options, or ``package.module:object``."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.learning.task import Task, TrainSettings
from flobc.learning.tasks.synthetic import SyntheticOptions, build_synthetic_task

_METHODS = ("model_info", "initial_vector", "load", "train", "evaluate")


# torch takes seconds to load: a process whose task does without it must not wait for it
def _build_digits(options: str) -> Task:
    from flobc.learning.tasks import digits  # noqa: PLC0415

    return digits.build_digits_task(_choose_model("digits", options, digits.MODELS))


def _build_mnist(options: str) -> Task:
    from flobc.learning.tasks import images  # noqa: PLC0415

    return images.build_image_task("mnist", _choose_model("mnist", options, images.MODELS))


def _build_fashion_mnist(options: str) -> Task:
    from flobc.learning.tasks import images  # noqa: PLC0415

    return images.build_image_task("fashion-mnist", _choose_model("fashion-mnist", options, images.MODELS))


def _build_synthetic(options: str) -> Task:
    name = f"synthetic:{options}" if options else "synthetic"
    return build_synthetic_task(_parse_synthetic(options), name)


_SHIPPED: dict[str, Callable[[str], Task]] = {
    "digits": _build_digits,
    "mnist": _build_mnist,
    "fashion-mnist": _build_fashion_mnist,
    "synthetic": _build_synthetic,
}


def shipped_names() -> tuple[str, ...]:
    """Return the names of the tasks that come with FLoBC."""
    return tuple(_SHIPPED)


def get_task(text: str) -> Task:
    """Return the task named by ``text``.

    ``digits``, ``mnist:mlp`` and ``synthetic:examples=500,classes=3`` are shipped tasks with options;
    ``package.module:object`` is imported, also from the working directory.

    **Raises**: :class:`UsageError` saying what was not found, with the nearest name.
    """
    name, _, rest = text.partition(":")
    if name in _SHIPPED:
        return _SHIPPED[name](rest)
    if ":" in text:
        return _import_task(name, rest)
    raise UsageError(
        f"There is no task {text!r}{suggest(name, shipped_names())} "
        f"Choose one of {', '.join(_SHIPPED)} or give package.module:object."
    )


def _choose_model(task: str, option: str, models: tuple[str, ...]) -> str:
    model = option or models[0]
    if model not in models:
        raise UsageError(f"The task {task} has no model {model!r}{suggest(model, models)} Use {', '.join(models)}.")
    return model


def _parse_synthetic(options: str) -> SyntheticOptions:
    known = tuple(field.name for field in fields(SyntheticOptions))
    values = {}
    for part in filter(None, options.split(",")):
        key, _, value = part.partition("=")
        if key not in known:
            raise UsageError(f"The synthetic task has no option {key!r}{suggest(key, known)} Use {', '.join(known)}.")
        try:
            values[key] = int(value)
        except ValueError:
            raise UsageError(f"The synthetic option {key} must be a whole number, not {value!r}.") from None
    return SyntheticOptions(**values)


def _import_task(module_name: str, attribute: str) -> Task:
    try:
        with _looking_here_first():
            found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            near = suggest(module_name, shipped_names())
            raise UsageError(f"There is no module {module_name!r}{near} Run from the directory it lies in.") from error
        raise UsageError(f"The module {module_name!r} needs {error.name!r}, which is not installed.") from error
    except Exception as error:  # whatever a person's own module raises
        raise UsageError(f"Importing {module_name!r} failed with {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = tuple(name for name in vars(found) if not name.startswith("_"))
            raise UsageError(
                f"The module {module_name!r} has no object {attribute!r}{suggest(part, names)} "
                "Give package.module:object."
            )
        found = getattr(found, part)
    return _check_task(found, f"{module_name}:{attribute}")


@contextlib.contextmanager
def _looking_here_first() -> Iterator[None]:
    """Find a task's module in the working directory, where installed programs do not look by themselves.

    What is imported after it is found there too, but behind what is installed: a file that happens to be called like
    a library takes its place for nobody but the task's own module.
    """
    working_directory = str(Path.cwd())
    if working_directory in sys.path:
        yield
        return
    sys.path.insert(0, working_directory)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the module may have removed it
            sys.path.remove(working_directory)
        sys.path.append(working_directory)


def _check_task(found: object, path: str) -> Task:
    """Return ``found`` as a task, or say what it lacks."""
    if inspect.isclass(found):
        raise UsageError(f"{path} is a class; give an object made from it, such as task = {found.__name__}(...).")
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if not isinstance(getattr(found, "name", None), str):
        missing.append("name")
    if not isinstance(getattr(found, "default_settings", None), TrainSettings):
        missing.append("default_settings")
    if missing or not isinstance(found, Task):
        raise UsageError(f"{path} is not a task: it lacks {', '.join(missing)}; see docs/tasks.md.")
    return found
