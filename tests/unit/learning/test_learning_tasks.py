"""The registry finds tasks and explains what it does not find; generated tasks and the numpy example learn."""

import importlib
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.numpy_task import SoftmaxRegression
from flobc.errors import UsageError
from flobc.learning.data.stratified import split_stratified
from flobc.learning.task import DataSource, Examples, Task
from flobc.learning.tasks import get_task, shipped_names
from flobc.learning.tasks.digits import load_digits
from flobc.learning.tasks.synthetic import TrivialTask

DIGITS = "922f8bcf7625699058bfcdca9f67ada239072ee6998c6c7618869bf9ed8adc35"


@pytest.mark.parametrize(
    "text", [*shipped_names(), "digits:mlp", "mnist:softmax", "fashion-mnist:mlp", "mnist:resnet18"]
)
def test_shipped_tasks_know_their_name(text):
    task = get_task(text)
    assert isinstance(task, Task)
    assert task.name == text
    assert task.initial_vector(0).shape == (task.model_info().size,)


def test_digits_equal_those_of_scikit_learn():
    """All rows of sklearn.datasets.load_digits, by digest: importing it takes seconds, on a busy disk minutes."""
    splits = load_digits(DataSource())
    parts = (splits.train, splits.validation, splits.test)
    rows = np.concatenate([np.column_stack([part.features.reshape(-1, 64) * 16, part.labels]) for part in parts])
    assert np.array_equal(rows, rows.astype(np.uint8))
    ordered = rows[np.lexsort(rows.T)].astype(np.uint8)
    assert sha256(ordered.tobytes()).hexdigest() == DIGITS


def test_stratified_parts_have_the_same_mix():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    parts = split_stratified(Examples(np.arange(1000), labels), (800, 100, 100))
    assert sorted(np.concatenate([part.features for part in parts])) == list(range(1000))
    for part in parts:
        shares = np.bincount(part.labels) / len(part)
        assert np.abs(shares - [0.6, 0.3, 0.1]).max() <= 0.02


def test_the_numpy_example_is_a_task_and_learns():
    task = get_task("examples.numpy_task:task")
    assert isinstance(task, SoftmaxRegression)
    splits = task.load(DataSource())
    start = task.initial_vector(1)
    result = task.train(start, splits.train, task.default_settings, 2)
    assert result.vector.dtype == np.float32
    assert np.array_equal(result.vector, task.train(start, splits.train, task.default_settings, 2).vector)
    assert task.evaluate(result.vector, splits.test).accuracy > 0.95


def test_synthetic_classification_learns():
    task = get_task("synthetic:examples=600,features=16,classes=3,seed=1")
    splits = task.load(DataSource())
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 600
    result = task.train(task.initial_vector(0), splits.train, replace(task.default_settings, epochs=10), 0)
    assert task.evaluate(result.vector, splits.test).accuracy > 0.85


def test_trivial_training_shrinks_the_loss_and_is_seeded():
    task = get_task("synthetic:parameters=100000")
    assert isinstance(task, TrivialTask)
    assert task.model_info().size == 100_000
    splits = task.load(DataSource())
    start = task.initial_vector(0)
    one, again, other = (task.train(start, splits.train, task.default_settings, seed).vector for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    before, after = task.evaluate(start, splits.test), task.evaluate(one, splits.test)
    assert after.loss < 0.85 * before.loss
    assert after.accuracy > before.accuracy


def test_trivial_work_may_wait_and_uses_no_processor_meanwhile():
    task = get_task("synthetic:parameters=100,training_ms=60,scoring_ms=40")
    splits, start = task.load(DataSource()), task.initial_vector(0)
    wall_s, cpu_s = time.monotonic(), time.thread_time()
    task.train(start, splits.train, task.default_settings, 0)
    task.evaluate(start, splits.test)
    assert time.monotonic() - wall_s >= 0.1
    assert time.thread_time() - cpu_s < 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digitz", "did you mean 'digits'"),
        ("", "digits, mnist, fashion-mnist, synthetic"),
        ("mnist:cn", "did you mean 'cnn'"),
        ("synthetic:example=3", "did you mean 'examples'"),
        ("synthetic:examples=many", "whole number, not 'many'"),
        ("synthetic:examples=3", "examples >= 10"),
        ("synthetic:training_ms=5", "go with parameters"),
        ("synthetic:parameters=9,scoring_ms=-1", "from 0 on"),
        ("no_such_module:task", "no module 'no_such_module'"),
        ("examples.no_such_module:task", "no module 'examples.no_such_module'"),
        ("examples.numpy_task:tusk", "no object 'tusk'; did you mean 'task'"),
        ("examples.numpy_task:SoftmaxRegression", "is a class"),
        ("examples.numpy_task:FEATURES", "lacks model_info, initial_vector, load, train, evaluate, name"),
    ],
)
def test_invalid_task_names(text, message):
    with pytest.raises(UsageError, match=message):
        get_task(text)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library", "needs 'no_such_library', which is not installed"),
        ("def (", "failed with SyntaxError"),
        ("1 / 0", "failed with ZeroDivisionError: division by zero"),
    ],
)
def test_invalid_modules(tmp_path, monkeypatch, source, message):
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=message):
        get_task(f"{name}:task")


def test_a_file_beside_a_task_takes_no_librarys_place(tmp_path, monkeypatch):
    (tmp_path / "my_own.py").write_text("from examples.numpy_task import task\n")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.chdir(tmp_path)
    assert get_task("my_own:task").name
    assert importlib.import_module("colorsys").rgb_to_hsv


def test_the_guides_example_runs(tmp_path):
    """The block in docs/tasks.md, on a table of its kind."""
    guide = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
    block = guide.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(block, names)
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    rows = [[*row, label] for row, label in zip(rng.standard_normal((120, 13)) + labels[:, None], labels, strict=True)]
    header = ",".join([*(f"x{column}" for column in range(13)), "label"])
    np.savetxt(tmp_path / "wine.csv", rows, delimiter=",", header=header, comments="")
    task = names["task"]
    splits = task.load(DataSource(tmp_path))
    result = task.train(task.initial_vector(0), splits.train, task.default_settings, 1)
    assert task.evaluate(result.vector, splits.test).examples == 24
