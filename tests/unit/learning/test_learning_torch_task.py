"""TorchTask: names, shapes and dtypes are kept; the same inputs give the same bytes."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from examples import torch_task as rings
from flobc.errors import DataError, UsageError
from flobc.learning.determinism import SeededRandomness, build_generator, single_threaded
from flobc.learning.device import get_device, set_device
from flobc.learning.models import ChannelsLastConv2d, ChannelsLastFlatten, build_mlp, build_paper_cnn, build_resnet18
from flobc.learning.optimizers import build_optimizer
from flobc.learning.replica import build_module, describe_module
from flobc.learning.task import DataSource, Examples, Task, TrainSettings
from flobc.learning.tasks import get_task
from flobc.learning.torch_task import Objective, TorchTask

SETTINGS = TrainSettings(optimizer="adam", learning_rate=0.01, batch_size=16, epochs=2)


@pytest.fixture(autouse=True)
def _one_thread():
    single_threaded()


def unavailable(source):
    raise AssertionError("this task has no data set")


def build_examples(count=60, features=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    rows = rng.standard_normal((classes, features))[labels] * 2 + rng.standard_normal((count, features))
    return Examples(rows.astype(np.float32), labels)


class AttentionDropout(nn.Module):
    """Draws in ways that no module swap can reach: attention dropout and torch.rand_like."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, features):
        tokens = self.embed(features[:, :, None])
        tokens, _ = self.attention(tokens, tokens, tokens)
        if self.training:
            tokens = tokens + 0.1 * torch.rand_like(tokens) + 0.1 * torch.randn(tokens.shape)
        return self.out(functional.dropout(tokens.mean(dim=1), 0.2, self.training))


MODELS = {
    "dropout": lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)),
    "feature_dropout": lambda: nn.Sequential(nn.Linear(6, 16), nn.AlphaDropout(0.3), nn.Linear(16, 3)),
    "attention": AttentionDropout,
    "batch_norm": lambda: nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)),
    "group_norm": lambda: nn.Sequential(nn.Linear(6, 16), nn.GroupNorm(4, 16), nn.Linear(16, 3)),
}


def build_task(name):
    return TorchTask(name, MODELS[name], unavailable, SETTINGS)


@pytest.mark.parametrize("name", MODELS)
def test_same_inputs_give_same_bytes(name):
    """Neither the global generator, nor an earlier call, nor another task object changes a byte."""
    examples = build_examples()
    task = build_task(name)
    start = task.initial_vector(3)
    torch.manual_seed(1)
    first = task.train(start, examples, SETTINGS, 9)
    torch.manual_seed(2)
    task.train(start, examples, SETTINGS, 10)
    second = task.train(start, examples, SETTINGS, 9)
    fresh = build_task(name).train(start, examples, SETTINGS, 9)
    assert first.vector.tobytes() == second.vector.tobytes() == fresh.vector.tobytes()
    assert first.loss == second.loss == fresh.loss
    assert task.train(start, examples, SETTINGS, 11).vector.tobytes() != first.vector.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_threads_do_not_disturb_each_other(name):
    """Eight trainings on two threads at once equal the same eight one after the other."""
    examples = build_examples()
    task = build_task(name)
    start = task.initial_vector(0)

    def train(seed):
        return task.train(start, examples, SETTINGS, seed).vector.tobytes()

    alone = [train(seed) for seed in range(8)]
    with ThreadPoolExecutor(2, initializer=single_threaded) as pool:
        together = list(pool.map(train, range(8)))
    assert together == alone


def test_training_leaves_the_global_generator_alone():
    examples = build_examples()
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    for name in MODELS:
        task = build_task(name)
        task.train(task.initial_vector(0), examples, SETTINGS, 1)
    assert torch.equal(torch.rand(4), expected)


def test_thread_settings_of_the_process_do_not_matter():
    """With single_threaded(), OMP_NUM_THREADS changes no byte."""
    task = get_task("digits")
    part = task.load(DataSource()).train[:64]
    here = hashlib.sha256(task.train(task.initial_vector(0), part, task.default_settings, 1).vector).hexdigest()
    script = (
        "import hashlib; from flobc.learning.determinism import single_threaded;"
        "from flobc.learning.tasks import get_task; single_threaded(); task = get_task('digits');"
        "part = task.load(None).train[:64];"
        "print(hashlib.sha256(task.train(task.initial_vector(0), part, task.default_settings, 1).vector).hexdigest())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1" if os.environ.get("OMP_NUM_THREADS") != "1" else "2"}
    there = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_inputs_are_not_changed_and_may_be_read_only():
    task = build_task("dropout")
    examples = build_examples()
    start = task.initial_vector(0)
    before = start.copy(), examples.digest()
    for array in (start, examples.features, examples.labels):
        array.flags.writeable = False
    result = task.train(start, examples, SETTINGS, 1)
    task.evaluate(start, examples)
    assert np.array_equal(start, before[0])
    assert examples.digest() == before[1]
    assert result.vector.flags.writeable
    assert result.examples == len(examples)


def test_dropout_is_active_and_scaled():
    """Masks keep the mean and drop the asked share; evaluation drops nothing."""
    kept = nn.Sequential(nn.Dropout(0.25), nn.Linear(1, 1))
    task = TorchTask("mask", lambda: kept, unavailable)
    replica = task._replica(task.initial_vector(0))
    layer = replica.module[0]
    with replica.seeded(4):
        replica.module.train()
        masked = layer(torch.ones(100_000))
    assert abs(float((masked == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(masked.mean()) - 1.0) < 0.01
    replica.module.eval()
    assert torch.equal(layer(torch.ones(5)), torch.ones(5))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(3),
        lambda: torch.randn(3),
        lambda: torch.randint(0, 99, (3,)),
        lambda: torch.randint(99, (3,)),
        lambda: torch.randperm(9),
        lambda: torch.rand_like(torch.zeros(3)),
        lambda: torch.randn_like(torch.zeros(3)),
        lambda: torch.randint_like(torch.zeros(3), 99),
        lambda: torch.randint_like(torch.zeros(3), 5, 99),
        lambda: torch.normal(0.0, 1.0, (3,)),
        lambda: torch.bernoulli(torch.full((64,), 0.5)),
        lambda: torch.multinomial(torch.ones(50), 5),
        lambda: torch.empty(3).uniform_(),
        lambda: torch.native_dropout(torch.ones(64), 0.5, True)[0],
        lambda: functional.gumbel_softmax(torch.zeros(3)),
        lambda: torch.distributions.Gamma(1.0, 1.0).sample((3,)),
        lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    ],
)
def test_every_random_operator_is_seeded(draw):
    def run(seed):
        with SeededRandomness(build_generator(seed)) as mode:
            drawn = draw()
        assert mode.draws > 0
        return drawn

    state = torch.get_rng_state()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_model_info_keeps_names_shapes_and_dtypes():
    """BatchNorm's statistics are clamped buffers; its counter is frozen and not in the vector."""
    info = build_task("batch_norm").model_info()
    found = [(tensor.name, tensor.shape, tensor.dtype, tensor.kind) for tensor in info.tensors]
    assert found == [
        ("0.weight", (16, 6), "float32", "train"),
        ("0.bias", (16,), "float32", "train"),
        ("1.weight", (16,), "float32", "train"),
        ("1.bias", (16,), "float32", "train"),
        ("1.running_mean", (16,), "float32", "buffer"),
        ("1.running_var", (16,), "float32", "buffer"),
        ("1.num_batches_tracked", (), "int64", "frozen"),
        ("3.weight", (3, 16), "float32", "train"),
        ("3.bias", (3,), "float32", "train"),
    ]
    variance = info.tensors[5]
    assert (variance.lo, variance.hi) == (0.0, 8192.0)
    assert info.size == 96 + 16 * 5 + 48 + 3
    assert info.layout[-1][1:] == (info.size - 3, info.size)


def test_vector_round_trips_through_the_module():
    task = build_task("batch_norm")
    vector = np.random.default_rng(0).standard_normal(task.model_info().size).astype(np.float32)
    replica = task._replica(vector)
    state = replica.module.state_dict()
    for tensor, start, stop in task.model_info().layout:
        assert np.array_equal(state[tensor.name].numpy().ravel(), vector[start:stop])
    assert np.array_equal(replica.read(), vector)


def test_batch_norm_statistics_travel_in_the_vector():
    task = build_task("batch_norm")
    places = {tensor.name: slice(start, stop) for tensor, start, stop in task.model_info().layout}
    start = task.initial_vector(0)
    assert np.all(start[places["1.running_var"]] == 1.0)
    result = task.train(start, build_examples(), SETTINGS, 1)
    assert np.all(result.vector[places["1.running_mean"]] != 0.0)
    assert np.all(result.vector[places["1.running_var"]] > 0.0)


def test_a_buffer_that_is_assigned_anew_still_travels():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 3)
            self.register_buffer("average", torch.zeros(1))

        def forward(self, features):
            if self.training:
                self.average = self.average + 1.0
            return self.linear(features)

    task = TorchTask("counting", Counting, unavailable)
    settings = TrainSettings(steps=5, epochs=None)
    start = task.initial_vector(0)
    place = next(first for tensor, first, _ in task.model_info().layout if tensor.kind == "buffer")
    for _ in range(2):
        trained = task.train(start, build_examples(), settings, 1).vector
        assert trained[place] == 5.0


def test_tied_and_frozen_tensors():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.second = nn.Linear(6, 6)
            self.second.weight = self.first.weight
            self.fixed = nn.Parameter(torch.randn(2), requires_grad=False)

        def forward(self, features):
            return self.second(self.first(features)) * self.fixed.sum()

    task = TorchTask("tied", Tied, unavailable)
    kinds = {tensor.name: tensor.kind for tensor in task.model_info().tensors}
    assert kinds == {"fixed": "frozen", "first.weight": "train", "first.bias": "train", "second.bias": "train"}
    replica = task._replica(task.initial_vector(0))
    assert replica.module.first.weight is replica.module.second.weight
    other = TorchTask("tied", Tied, unavailable)
    assert torch.equal(replica.module.fixed, other._replica(task.initial_vector(0)).module.fixed)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Linear(2, 2).double(), "float64"),
        (nn.ReLU, "no parameter that can be trained"),
    ],
)
def test_invalid_models(model, message):
    with pytest.raises(UsageError, match=message):
        describe_module(model(), 24)


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(learning_rate=0.05, weight_decay=0.01),
        TrainSettings(learning_rate=0.05, momentum=0.9, weight_decay=0.01),
        TrainSettings(optimizer="adam", learning_rate=0.01, weight_decay=0.01),
    ],
)
def test_optimizers_equal_those_of_torch(settings):
    """Source: torch.optim.SGD and torch.optim.Adam are the reference."""
    parameter, reference = torch.ones(50), nn.Parameter(torch.ones(50))
    gradient = torch.zeros(50)
    ours = build_optimizer([parameter], [gradient], settings)
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adam":
        theirs = torch.optim.Adam([reference], **options)
    else:
        theirs = torch.optim.SGD([reference], momentum=settings.momentum, **options)
    for step in range(10):
        drawn = torch.randn(50, generator=build_generator(step))
        gradient.copy_(drawn)
        reference.grad = drawn
        ours.step()
        theirs.step()
    assert torch.allclose(parameter, reference.detach(), rtol=1e-5, atol=1e-6)


def test_one_step_is_gradient_descent_with_a_proximal_pull():
    """Source: FedProx eq. 2; the pull is zero at the anchor, so it shows from the second step on."""
    examples = build_examples()
    task = TorchTask("linear", lambda: nn.Linear(6, 3), unavailable)
    start = task.initial_vector(0)
    plain = TrainSettings(learning_rate=0.5, batch_size=60, epochs=None, steps=20)
    far = task.train(start, examples, plain, 1).vector
    near = task.train(start, examples, replace(plain, proximal_mu=1.0), 1).vector
    assert np.linalg.norm(near - start) < 0.8 * np.linalg.norm(far - start)
    once = replace(plain, steps=1)
    assert np.array_equal(
        task.train(start, examples, once, 1).vector,
        task.train(start, examples, replace(once, proximal_mu=1.0), 1).vector,
    )


def test_steps_and_epochs_count_batches():
    """60 examples in batches of 16 are 4 steps, so 4 steps equal one epoch."""
    examples = build_examples()
    task = build_task("dropout")
    start = task.initial_vector(0)
    epoch = task.train(start, examples, replace(SETTINGS, epochs=1), 2)
    steps = task.train(start, examples, replace(SETTINGS, epochs=None, steps=4), 2)
    more = task.train(start, examples, replace(SETTINGS, epochs=None, steps=5), 2)
    assert epoch.vector.tobytes() == steps.vector.tobytes() != more.vector.tobytes()


def test_a_last_batch_of_one_does_not_break_batch_norm():
    task = build_task("batch_norm")
    result = task.train(task.initial_vector(0), build_examples(17), SETTINGS, 1)
    assert np.isfinite(result.vector).all()


def test_evaluation_is_exact_over_several_batches():
    examples = build_examples(700)
    task = build_task("group_norm")
    vector = task.train(task.initial_vector(0), examples, SETTINGS, 1).vector
    replica = task._replica(vector)
    replica.module.eval()
    with torch.inference_mode():
        outputs = replica.module(torch.from_numpy(examples.features))
    labels = torch.from_numpy(examples.labels)
    found = task.evaluate(vector, examples)
    assert found.loss == pytest.approx(float(functional.cross_entropy(outputs, labels)), rel=1e-5)
    assert found.accuracy == pytest.approx(float((outputs.argmax(1) == labels).float().mean()))
    assert task.evaluate(vector, examples) == found


def test_a_poisoned_vector_is_scored_as_not_a_number():
    task = build_task("dropout")
    vector = np.full(task.model_info().size, np.nan, dtype=np.float32)
    assert np.isnan(task.evaluate(vector, build_examples()).loss)


def test_regression_and_own_objectives():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((200, 3)).astype(np.float32)
    examples = Examples(features, (features @ [1.0, -2.0, 0.5]).astype(np.float32))
    settings = TrainSettings(learning_rate=0.1, epochs=10)
    near = Objective(
        loss=lambda outputs, labels: (outputs[:, 0] - labels).abs().mean(),
        correct=lambda outputs, labels: (outputs[:, 0] - labels).abs() < 0.5,
    )
    for loss in ("mse", near):
        task = TorchTask("regression", lambda: nn.Linear(3, 1), unavailable, settings, loss=loss)
        result = task.train(task.initial_vector(0), examples, settings, 1)
        assert task.evaluate(result.vector, examples).accuracy > 0.9
    with pytest.raises(UsageError, match="cross_entropy, mse"):
        TorchTask("regression", lambda: nn.Linear(3, 1), unavailable, loss="hinge")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (build_examples(0), "no examples"),
        (build_examples(10, features=5), r"shape \(5,\)"),
        (build_examples(10, classes=4), "labels 0 to 3"),
    ],
)
def test_examples_that_do_not_fit_are_named(examples, message):
    task = build_task("group_norm")
    vector = task.initial_vector(0)
    with pytest.raises(DataError, match=message):
        task.train(vector, examples, SETTINGS, 1)
    with pytest.raises(DataError, match=message):
        task.evaluate(vector, examples)


def test_rows_are_reshaped_to_images():
    task = get_task("mnist")
    rows = Examples(np.zeros((2, 784), dtype=np.float32), np.array([0, 1]))
    assert task.evaluate(task.initial_vector(0), rows).examples == 2
    with pytest.raises(DataError, match=r"takes examples of shape \(1, 28, 28\)"):
        task.evaluate(task.initial_vector(0), Examples(np.zeros((2, 700)), np.array([0, 1])))


@pytest.mark.parametrize("vector", [np.zeros(3, np.float32), np.zeros(163, np.float64)])
def test_a_vector_of_another_model_is_refused(vector):
    with pytest.raises(UsageError, match="float32 vector of"):
        build_task("dropout").evaluate(vector, build_examples())


def test_the_papers_model_has_its_size():
    """Source: 280 + 605,824 + 2,064 + 170 parameters of the published prototype."""
    assert get_task("mnist:cnn").model_info().size == 608_338


def test_resnet18_normalises_by_groups():
    info = describe_module(build_module(build_resnet18, 0), 24)
    assert 11_000_000 < info.size < 11_500_000
    assert {tensor.kind for tensor in info.tensors} == {"train"}
    with torch.inference_mode():
        assert build_module(build_resnet18, 0)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_channels_last_convolution_equals_torchs(channels, padding):
    """Also where the examples are a slice of something larger."""
    mine, torchs = ChannelsLastConv2d(channels, 4, 3, padding=padding), nn.Conv2d(channels, 4, 3, padding=padding)
    torchs.load_state_dict(mine.state_dict())
    features = torch.randn((2, channels, 9, 7), generator=build_generator(0))[..., :6]
    expected = torchs(features)
    assert torch.allclose(mine(features), expected, atol=1e-6)
    assert mine(features).is_contiguous(memory_format=torch.channels_last)
    flat = ChannelsLastFlatten()(mine(features))
    assert torch.allclose(flat, expected.permute(0, 2, 3, 1).reshape(2, -1), atol=1e-6)


def test_initial_vectors_depend_on_the_seed_alone():
    task = TorchTask("cnn", build_paper_cnn, unavailable)
    torch.manual_seed(1)
    first = task.initial_vector(5)
    torch.manual_seed(2)
    assert np.array_equal(first, task.initial_vector(5))
    assert not np.array_equal(first, task.initial_vector(6))
    assert np.array_equal(task.initial_vector(-1), task.initial_vector(2**63 - 1))


def test_digits_learn_quickly():
    task = get_task("digits")
    splits = task.load(DataSource())
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1257, 270, 270)
    result = task.train(task.initial_vector(0), splits.train, task.default_settings, 1)
    assert task.evaluate(result.vector, splits.test).accuracy > 0.95


def test_the_example_task_learns():
    assert isinstance(rings.task, Task)
    splits = rings.task.load(DataSource())
    settings = replace(rings.task.default_settings, epochs=20)
    result = rings.task.train(rings.task.initial_vector(0), splits.train, settings, 1)
    assert rings.task.evaluate(result.vector, splits.test).accuracy > 0.95


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "lion"},
        {"epochs": None},
        {"epochs": 1, "steps": 1},
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"momentum": -0.1},
        {"proximal_mu": float("nan")},
    ],
)
def test_invalid_train_settings(values):
    with pytest.raises(UsageError):
        TrainSettings(**values)


def test_invalid_device_and_choice():
    with pytest.raises(UsageError, match="auto, cpu, cuda"):
        set_device("tpu")
    assert set_device("cpu") == get_device() == torch.device("cpu")
    if not torch.cuda.is_available():
        assert set_device("auto") == torch.device("cpu")
        with pytest.raises(UsageError, match="use cpu or auto"):
            set_device("cuda")


def test_mlp_of_no_hidden_layer_is_softmax_regression():
    assert len(list(build_mlp(4, (), 2).parameters())) == 2
