"""A checkpoint is whole or absent, and reading one executes nothing."""

import errno
import pickle

import pytest
import torch
from torch import nn

from rgbd_lib import checkpoint
from rgbd_lib.errors import UserError


def state(epoch):
    return {"epoch": epoch, "history": [{"epoch": epoch, "loss": 0.5}], "optimizer": {"state": {}}}


def test_what_is_saved_is_loaded_and_older_ones_go(tmp_path):
    model = nn.Linear(3, 2)
    for epoch in (1, 2):
        checkpoint.save(tmp_path, epoch, model, state(epoch))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-0002"]
    other = nn.Linear(3, 2)
    assert checkpoint.load(checkpoint.latest(tmp_path), other) == state(2)
    assert torch.equal(other.weight, model.weight)


def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    model = nn.Linear(3, 2)
    checkpoint.save(tmp_path, 1, model, state(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*checkpoint-0002.*No space left"):
        checkpoint.save(tmp_path, 2, model, state(2))
    assert checkpoint.latest(tmp_path).name == "checkpoint-0001"
    assert checkpoint.load(checkpoint.latest(tmp_path), model) == state(1)
    assert not list(tmp_path.glob(".partial*"))


def test_a_half_written_checkpoint_does_not_count(tmp_path):
    checkpoint.save(tmp_path, 1, nn.Linear(3, 2), state(1))
    (tmp_path / ".partial-0002").mkdir()
    (tmp_path / ".partial-0002" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path).name == "checkpoint-0001"
    checkpoint.clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_malicious_state_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'exploded')!r}, 'w')",)

    model = nn.Linear(3, 2)
    checkpoint.save(tmp_path, 1, model, state(1))
    torch.save({"optimizer": Bomb()}, checkpoint.latest(tmp_path) / "state.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(checkpoint.latest(tmp_path), model)
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_model_are_named(tmp_path):
    checkpoint.save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="does not fit the model: missing"):
        checkpoint.load_weights(nn.Sequential(nn.Linear(3, 2)), tmp_path / "w.safetensors")
