"""The trainer for a GPU makes the same steps from the same samples; what it records must not wait for the device."""

import math
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from rgbd_lib import checkpoint, cuda, losses, machine, methods, sweeps
from rgbd_lib.errors import UserError
from rgbd_lib.recipe import Recipe
from rgbd_lib.training import Trainer
from tests.small_models import CLASSES, images, make, target
from tests.study_fixtures import material
from tests.train_driver import trainer

FP32 = machine.Machine("cpu", "fp32", compiled=False)
PLAIN = {"ema": 0.0}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def graph_trainer(folder, method="rgb", chosen=FP32, **settings):
    """The same as ``trainer``, but for its kind."""
    plain = trainer(folder, method, chosen, **PLAIN | settings)
    return cuda.GraphTrainer(plain.model, plain.material, plain.recipe, chosen, seed=0, folder=folder)


@pytest.mark.parametrize(
    "pixels", [1, 2 * 2 * 32 * 48, 10**9]
)  # as many batches at once as fit: one, two, all
def test_batches_made_ahead_are_the_same(tmp_path, pixels):
    plain = trainer(tmp_path, chosen=FP32, **PLAIN)
    ahead = cuda.Ahead(plain.batches, pixels)
    assert len(ahead) == len(plain.batches) == 3
    for number in (0, 5):
        expected, found = list(plain.batches.epoch(number)), list(ahead.epoch(number))
        assert len(found) == len(expected)
        for a, b in zip(expected, found, strict=True):
            for name, value in vars(a).items():
                torch.testing.assert_close(getattr(b, name), value, rtol=0, atol=1e-6)


def test_a_last_batch_that_is_dropped_is_not_trained_on(tmp_path):
    plain = trainer(tmp_path, chosen=FP32, batch=4, **PLAIN)  # six scenes
    found = list(cuda.Ahead(plain.batches).epoch(0))
    assert [len(sample.label) for sample in found] == [4]


def test_it_trains_as_its_parent_does(tmp_path):
    expected = trainer(tmp_path / "plain", chosen=FP32, **PLAIN).run(quiet=True)
    found = graph_trainer(tmp_path / "graph").run(quiet=True)
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)
    for name in ("last.safetensors", "best.safetensors"):
        a, b = (load_file(tmp_path / kind / name) for kind in ("plain", "graph"))
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(b[key], a[key], rtol=1e-3, atol=1e-5)


def test_the_validation_scenes_are_shown_under_the_same_lightings(tmp_path):
    plain, graph = trainer(tmp_path, chosen=FP32, **PLAIN), graph_trainer(tmp_path)
    assert graph.validate() == plain.validate()
    assert len(list(graph.shown())) == 1
    graph.shown = None  # a second look reads nothing
    assert graph.validate() == plain.validate()


def stop_after(run, epochs, monkeypatch):
    """Let a run end as if killed behind the checkpoint of an epoch."""
    save = run.save

    def killed():
        save()
        if len(run.history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "save", killed)


@pytest.mark.parametrize("micro", [1, 2])
def test_what_is_recorded_is_a_step_but_for_the_schedule(tmp_path, micro):
    plain, graph = trainer(tmp_path, chosen=FP32, **PLAIN), graph_trainer(tmp_path)
    plain.micro = graph.micro = micro
    sample = next(plain.batches.epoch(0))
    for run in (plain, graph):
        run.model.train()
    loss = plain.step(sample)
    torch.testing.assert_close(graph.update(sample), loss)
    states = plain.model.state_dict(), graph.model.state_dict()
    for key in states[0]:
        torch.testing.assert_close(states[1][key], states[0][key])
    assert (plain.schedule.last_epoch, graph.schedule.last_epoch) == (1, 0)


def test_a_step_that_cannot_be_recorded_says_how_to_do_without(tmp_path, monkeypatch):
    run = graph_trainer(tmp_path)
    sample = next(run.batches.epoch(0))
    run.machine, run.steps = machine.Machine("cuda", "fp32", compiled=False), cuda.WARM_UP

    def refuse(_):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(run, "record", refuse)
    with pytest.raises(
        UserError, match=r"RGBOnly.*\(operation not permitted.*capturing\); RGBD_CUDA_GRAPHS=off"
    ):
        run.step(sample)


def test_a_checkpoint_is_written_as_the_parent_would(tmp_path):
    run = graph_trainer(tmp_path)
    (group,) = run.optimizer.param_groups
    group.update(lr=torch.tensor(0.25), capturable=True)
    run.history, run.written = [{"epoch": 0, "val_miou": 0.5}], -math.inf
    run.save()
    state = torch.load(checkpoint.latest(tmp_path) / "state.pt", weights_only=True)
    (written,) = state["optimizer"]["param_groups"]
    assert (written["lr"], written["capturable"]) == (0.25, False)
    assert all(type(rate) is float for key in ("base_lrs", "_last_lr") for rate in state["schedule"][key])
    assert isinstance(group["lr"], torch.Tensor)


def test_scene_classes_are_those_of_the_parent(tmp_path):
    plain, graph = trainer(tmp_path, chosen=FP32, **PLAIN), graph_trainer(tmp_path)
    sample = next(plain.batches.epoch(0))
    assert graph.scene_class(sample) is plain.scene_class(sample) is None
    for run in (plain, graph):
        run.material.dataset.scene_classes.update({s: int(s) % 4 for s in run.material.cache.scenes})
    assert torch.equal(graph.scene_class(sample), plain.scene_class(sample))


def test_many_validation_scenes_are_not_kept_on_the_device(tmp_path, monkeypatch):
    plain, graph = trainer(tmp_path, chosen=FP32, **PLAIN), graph_trainer(tmp_path)
    monkeypatch.setattr(cuda, "KEPT", 2 * 2 * 32 * 48 - 1)
    assert graph.validate() == plain.validate()
    assert graph.validation == []


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "PATIENCE", 0.0)
    whole = graph_trainer(tmp_path / "whole").run(quiet=True)
    broken = graph_trainer(tmp_path / "broken")
    stop_after(broken, 2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        broken.run(quiet=True)
    assert checkpoint.latest(tmp_path / "broken").name == "checkpoint-0002"
    again = graph_trainer(tmp_path / "broken")
    steps = again.step
    made = []
    monkeypatch.setattr(again, "step", lambda sample: made.append(1) or steps(sample))
    pd.testing.assert_frame_equal(again.run(quiet=True), whole, check_exact=True)
    assert len(made) == 2 * 3  # two of four epochs
    a, b = (load_file(tmp_path / kind / "best.safetensors") for kind in ("whole", "broken"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_checkpoints_wait_until_the_last_one_is_old(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint, "save", lambda *args: written.append(args[1]))
    monkeypatch.setattr(cuda, "PATIENCE", math.inf)
    graph_trainer(tmp_path).run(quiet=True)
    assert not written
    assert (tmp_path / "best.safetensors").exists()
    assert (tmp_path / "last.safetensors").exists()


@pytest.mark.parametrize(
    ("kind", "settings", "graphs", "expected"),
    [
        ("cuda", {}, "", cuda.GraphTrainer),
        ("cuda", {"ema": 0.9}, "", Trainer),
        ("cuda", {}, "off", Trainer),
        ("cpu", {}, "", Trainer),
        ("mps", {}, "", Trainer),
    ],
)
def test_who_trains_where(kind, settings, graphs, expected, monkeypatch):
    monkeypatch.setenv("RGBD_CUDA_GRAPHS", graphs)
    chosen = machine.Machine(kind, "bf16", compiled=False)
    assert cuda.trainer(chosen, Recipe.of("smoke", settings)) is expected
    assert cuda.trainer(machine.Machine(kind, "bf16", compiled=True), Recipe.of("smoke")) is Trainer


class Waits(TorchDispatchMode):
    """Notes operations whose result, or whose size, the host has to wait for: a graph cannot record them."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "equal", "lift_fresh")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        mask = name.startswith("index") and any(
            getattr(i, "dtype", None) is torch.bool
            for part in args[1:2]
            if isinstance(part, (list, tuple))
            for i in part
        )
        if name in self.NAMES or mask:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


VARIANTS = [
    (name, change["options"])
    for changes in sweeps.SWEEPS.values()
    for name, change in changes
    if "options" in change
]


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in methods.names()), *VARIANTS], ids=str)
def test_no_method_makes_the_host_wait(name, options):
    model, pair, seen = make(name, **options).train(), images(2, (64, 64)), target()
    with Waits() as waits:
        output = model(*pair, seen)
        loss = losses.ohem(output.logits, seen.label)
        loss = loss if output.extra_loss is None else loss + output.extra_loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    assert not waits.found


@pytest.mark.parametrize("loss", ["dice+ce", "ce", "ohem", "lovasz", "weighted-ce"])
def test_no_loss_makes_the_host_wait(loss):
    weights = torch.ones(CLASSES) if loss == "weighted-ce" else None
    function = losses.task_loss(loss, CLASSES, weights)
    logits, label = torch.randn(2, CLASSES, 8, 8, requires_grad=True), torch.randint(0, CLASSES, (2, 8, 8))
    with Waits() as waits:
        function(logits, label).backward()
    assert not waits.found


def test_what_waits_is_noticed():
    x = torch.arange(4)
    with Waits() as waits:
        x[x > 1], x.sum().item(), torch.tensor([1.0])
    assert set(waits.found) == {"index", "_local_scalar_dense", "lift_fresh"}


def gpu_trainer(kind, folder, name="rgb", **settings):
    """A trainer of a kind on the GPU, in float32; the rate stays high for some dozens of steps."""
    data = material(folder)
    teachers = {n: methods.build(n, data.classes, width=0.125) for n in methods.get(name).requires}
    model = methods.build(name, data.classes, width=0.125, seed=0, teachers=teachers)
    usual = {"size": (32, 48), "batch": 2, "width": 0.125, "lr": 1e-3, "epochs": 40}
    recipe = Recipe.of("smoke", usual | settings)
    return kind(model, data, recipe, machine.choose("cuda", "fp32"), seed=0, folder=folder)


def flat(model):
    return torch.cat([value.detach().double().flatten().cpu() for value in model.state_dict().values()])


@needs_gpu
@pytest.mark.parametrize("name", methods.names())
def test_recorded_steps_change_weights_and_statistics_as_steps_do(name, tmp_path):
    ends = []
    for kind in (Trainer, cuda.GraphTrainer):
        run = gpu_trainer(kind, tmp_path, name)
        run.model.train()
        torch.manual_seed(0)
        start = flat(run.model)
        for sample in islice((s for e in range(9) for s in run.batches.epoch(e)), 3 * cuda.WARM_UP):
            run.step(sample)
        ends.append(flat(run.model))
    assert run.recording is not None
    moved, apart = (ends[0] - start).norm(), (ends[1] - ends[0]).norm()
    drawn = any("dropout" in type(m).__name__.lower() and m.p for m in run.model.modules())
    assert moved > 0
    assert apart < (1.0 if drawn or name == "middrop" else 0.2) * moved


@needs_gpu
@pytest.mark.parametrize("first", [Trainer, cuda.GraphTrainer])
@pytest.mark.parametrize("second", [Trainer, cuda.GraphTrainer])
def test_either_kind_goes_on_from_a_checkpoint_of_the_other(first, second, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "PATIENCE", 0.0)
    whole = gpu_trainer(Trainer, tmp_path / "whole", epochs=4).run(quiet=True)
    broken = gpu_trainer(first, tmp_path / "broken", epochs=4)
    stop_after(broken, 2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        broken.run(quiet=True)
    found = gpu_trainer(second, tmp_path / "broken", epochs=4).run(quiet=True)
    assert found.dtypes.astype(str).to_dict() == whole.dtypes.astype(str).to_dict()
    np.testing.assert_allclose(found.lr, whole.lr, rtol=1e-5)
    np.testing.assert_allclose(found.loss, whole.loss, rtol=0.05)
