"""The loop learns, resumes bit by bit, and stops in time."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from rgbd_lib import checkpoint, machine, methods, training
from rgbd_lib.errors import UserError
from rgbd_lib.methods import Output, registry
from tests.study_fixtures import material
from tests.train_driver import PARALLEL, register_plain, trainer

FP32 = machine.Machine("cpu", "fp32", compiled=False)
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def one_thread():
    """The same number of threads as in the driver: bit-identical means the same order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drive(folder, method="rgb", *more, torchrun=0):
    material(folder)  # made here, so that two processes find it
    command = ["-m", "tests.train_driver", str(folder), method, *more]
    if torchrun:
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}", *command]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )


def weights(folder):
    return load_file(folder / "last.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """One run that nobody disturbs."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unbroken")
    return trainer(folder).run(quiet=True), weights(folder), load_file(folder / "best.safetensors")


def test_it_learns_what_it_is_shown(tmp_path):
    history = trainer(tmp_path, epochs=25, batch=3, ema=0.0, lr=4e-3).run(quiet=True)
    assert history.loss.iloc[-1] < 0.9 * history.loss.iloc[0]
    background = 0.75 / 3  # the trivial answer: one of three classes, three quarters of the pixels
    assert history.val_miou.max() > background + 0.1


def test_the_same_seed_gives_the_same_bits(unbroken, tmp_path):
    history = trainer(tmp_path).run(quiet=True)
    pd.testing.assert_frame_equal(history, unbroken[0], check_exact=True)
    assert same(weights(tmp_path), unbroken[1])


@pytest.mark.parametrize("kill", ["step:5", "sync:2", "weights:4"])
def test_a_killed_run_ends_like_the_unbroken_one(unbroken, tmp_path, kill):
    died = drive(tmp_path, "rgb", kill)
    assert died.returncode == -9, died.stderr
    assert checkpoint.latest(tmp_path).name in ("checkpoint-0001", "checkpoint-0002")
    history = trainer(tmp_path).run(quiet=True)
    pd.testing.assert_frame_equal(history, unbroken[0], check_exact=True)
    assert same(weights(tmp_path), unbroken[1])
    assert same(load_file(tmp_path / "best.safetensors"), unbroken[2])


def test_a_finished_training_repeats_no_step(unbroken, tmp_path):
    trainer(tmp_path).run(quiet=True)
    again = trainer(tmp_path)
    again.step = None  # a step would fail
    pd.testing.assert_frame_equal(again.run(quiet=True), unbroken[0], check_exact=True)


def test_best_is_chosen_on_validation_and_last_is_kept_too(unbroken):
    history, last, best = unbroken
    if history.val_miou.idxmax() != len(history) - 1:
        assert not same(last, best)
    else:
        assert same(last, best)


def test_a_loss_that_is_no_number_names_step_method_and_scenes(tmp_path):
    run = trainer(tmp_path, chosen=FP32)
    run.run(quiet=True)
    kept = checkpoint.latest(tmp_path)
    run = trainer(tmp_path, chosen=FP32, epochs=6)
    run.loss = lambda logits, label: logits.sum() * torch.nan
    with pytest.raises(
        UserError, match=r"loss of RGBOnly is nan in epoch 4, step 0 \(scenes \d, \d\).*epoch 3 is kept"
    ):
        run.run(quiet=True)
    assert checkpoint.latest(tmp_path) == kept


def test_running_out_of_memory_keeps_the_effective_batch(tmp_path, capsys):
    """Parts of a batch, weighted by their share, give the gradient of the whole batch (without batch norm)."""

    class Small(torch.nn.Module):
        limit = 4

        def __init__(self):
            super().__init__()
            self.score = torch.nn.Conv2d(3, 3, 1)

        def forward(self, rgb, depth, target=None, explain=False):
            if self.training and len(rgb) > self.limit:
                raise torch.OutOfMemoryError("no memory")
            return Output(self.score(rgb))

    results = []
    for limit in (4, 1):
        run = trainer(tmp_path / str(limit), chosen=FP32, batch=4, ema=0.0, loss="ce", augment=False)
        torch.manual_seed(0)
        run.model = run.forward = Small()
        run.model.limit = limit
        run.loss = lambda logits, label: logits.square().mean()
        run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.1)
        run.schedule = torch.optim.lr_scheduler.LambdaLR(run.optimizer, lambda _: 1.0)
        run.step(next(run.batches.epoch(0)))
        results.append((run.micro, run.model.score.weight.detach().clone()))
    assert (results[0][0], results[1][0]) == (4, 1)
    torch.testing.assert_close(results[0][1], results[1][1])
    assert "now 1 images at a time, same effective batch of 4" in capsys.readouterr().out


def test_learning_rate_warms_up_and_ends_at_zero(tmp_path):
    run = trainer(tmp_path, warmup=0.25)
    total = run.recipe.epochs * len(run.batches)
    rates = [run.rate(step) for step in range(total + 1)]
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) == rates[2] == rates[3] == 1
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(rates[3:]))


def test_validation_sees_each_scene_under_a_fixed_few_lights(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    seen = []

    def watch(cache, positions, light, batch, device):
        seen.extend((int(p), light) for p in positions)
        return iter(())

    monkeypatch.setattr(training, "sweep", watch)
    monkeypatch.setattr(training, "miou", lambda _: 0.0)
    monkeypatch.setattr(training, "confusions", None)
    with pytest.raises(
        AttributeError
    ):  # nothing was counted, so there is no matrix; only the visits matter here
        run.validate()
    positions = run.material.splits["val"]
    assert sorted({p for p, _ in seen}) == sorted(positions)
    assert len(seen) == len(set(seen)) == len(positions) * run.recipe.val_lights


def test_two_processes_train_like_one(tmp_path, monkeypatch):
    """Each step sees the same samples, and gradients are averaged: without batch norm the weights agree."""
    methods.names()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register_plain()
    done = drive(tmp_path / "two", "test_plain", torchrun=2)
    assert done.returncode == 0, done.stderr
    one = trainer(tmp_path / "one", "test_plain", FP32, **PARALLEL).run(quiet=True)
    state = torch.load(checkpoint.latest(tmp_path / "two") / "state.pt", weights_only=True)
    torch.testing.assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-4, atol=1e-5)
    assert [row["loss"] for row in state["history"]] == pytest.approx(list(one.loss), rel=1e-4)


@pytest.mark.parametrize("method", ["cen", "primkd"])
def test_exchange_and_teacher_work_in_two_processes(tmp_path, method):
    """Both processes end with the same weights: gradients of shared layers and adapters were averaged."""
    done = drive(tmp_path, method, torchrun=2)
    assert done.returncode == 0, done.stderr
    state = torch.load(checkpoint.latest(tmp_path) / "state.pt", weights_only=True)
    losses = [row["loss"] for row in state["history"]]
    assert losses[-1] < losses[0]


def test_settings_of_the_machine_are_no_part_of_the_numbers(tmp_path):
    run = trainer(tmp_path, chosen=replace(FP32, precision="bf16"))
    assert run.machine.autocast().fast_dtype == torch.bfloat16
    assert next(run.model.parameters()).dtype == torch.float32
    assert methods.get("rgb").name == "rgb"
