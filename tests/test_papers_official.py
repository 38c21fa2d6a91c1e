"""Authors' checkpoints: every wrapping is opened, every tensor accounted for, nothing executed."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_networks import images, made
from typer.testing import CliRunner

from rgbd_lib import papers
from rgbd_lib.__main__ import app
from rgbd_lib.errors import UserError
from rgbd_lib.papers import load_official
from rgbd_lib.papers.official import unwrap
from rgbd_lib.papers.swin import WindowAttention, relative_index

NAME, OPTIONS = "segformer-mit_b0", {"classes": 5, "embed": 8}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return made(NAME, **OPTIONS)


@pytest.fixture(scope="module")
def expected(network) -> torch.Tensor:
    with torch.no_grad():
        return network(*images(1, 1, 3, 32, 32)).logits


def scores(model: torch.nn.Module) -> torch.Tensor:
    assert not model.training
    with torch.no_grad():
        return model(*images(1, 1, 3, 32, 32)).logits


def parallel(state: dict) -> OrderedDict:
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


WRAPPED = {
    "bare": lambda state: state,
    "parallel": parallel,
    "parallel twice": lambda state: parallel(parallel(state)),
    "state_dict": lambda state: {"epoch": 7, "state_dict": state, "optimizer": {"lr": 0.1, "state": {}}},
    "model": lambda state: {"model": parallel(state), "iteration": 3},
    "segmenter": lambda state: {"segmenter": parallel(state), "epoch_start": 9, "best_val": np.float64(57.7)},
    "model in state_dict": lambda state: {"state_dict": {"model": state}},
    "half precision aside": lambda state: {
        "model": state,
        "scores": [np.float32(1), np.int64(2), np.bool_(True)],
    },
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_every_wrapping_is_opened(network, expected, tmp_path, wrap):
    content = wrap(network.state_dict())
    assert torch.equal(scores(load_official(NAME, content, **OPTIONS)), expected)
    path = tmp_path / "model.pth.tar"
    torch.save(content, path)
    assert torch.equal(scores(load_official(NAME, path, **OPTIONS)), expected)


def test_the_old_file_format_is_read(network, expected, tmp_path):
    path = tmp_path / "old.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert torch.equal(scores(load_official(NAME, str(path), **OPTIONS)), expected)


def test_a_score_saved_by_an_older_numpy_is_no_obstacle(network, expected, tmp_path):
    torch.save({"segmenter": network.state_dict(), "best_val": np.float64(57.7)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for item in new.infolist():
            content = new.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray\n" in content
                content = content.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
            old.writestr(item, content)
    assert torch.equal(scores(load_official(NAME, tmp_path / "old.pth", **OPTIONS)), expected)


def test_names_that_only_look_wrapped_stay():
    """GeminiFusion's shared layers are called ``module``; only a prefix of *all* names is taken off."""
    state = {"module.a": torch.zeros(1), "b.module.c": torch.zeros(1)}
    assert unwrap(state, "x") == state
    assert list(unwrap(parallel(state), "x")) == list(state)


def test_every_tensor_that_does_not_fit_is_told(network):
    state = dict(network.state_dict())
    gone = [key for key in state if key.startswith("backbone.block3")]
    for key in gone:
        del state[key]
    state |= {"decode_head.conv_seg.weight": torch.zeros(3), "queue": torch.zeros(2)}
    with pytest.raises(UserError) as caught:
        load_official(NAME, state, **OPTIONS)
    text = str(caught.value)
    assert f"missing {len(gone)}: {', '.join(gone)};" in text
    assert "unexpected 2: queue, decode_head.conv_seg.weight." in text
    assert "\n" not in text


def test_another_number_of_classes_is_told(network):
    with pytest.raises(UserError) as caught:
        load_official(NAME, network.state_dict(), classes=7, embed=8)
    assert "decode_head.linear_pred.weight (5, 8, 1, 1) instead of (7, 8, 1, 1)" in str(caught.value)
    assert "missing" not in str(caught.value)


class Evil:
    """Unpickling this runs a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_a_malicious_file_is_refused_and_not_executed(network, tmp_path, form):
    trace, path = tmp_path / "executed", tmp_path / "model.pth"
    content = {"state_dict": network.state_dict(), "meta": Evil(f"touch {trace}")}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content["meta"], protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match="refused") as caught:
        load_official(NAME, path, **OPTIONS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if form != "bare pickle":
        assert "system" in str(caught.value)
    assert not trace.exists()
    if form == "zip":  # the bait is real: an unguarded load does run it
        torch.load(path, weights_only=False)
        assert trace.exists()


def test_files_that_are_no_checkpoints_are_told(network, tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        load_official(NAME, tmp_path / "none.pth", **OPTIONS)
    whole = tmp_path / "whole.pth"
    torch.save(network.state_dict(), whole)
    for name, content in (
        ("cut.pth", whole.read_bytes()[:5000]),
        ("empty.pth", b""),
        ("page.pth", b"<html>no</html>"),
        ("odd.pth", b"\x80\x02K\x01q\x00hZ."),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name) as caught:
            load_official(NAME, tmp_path / name, **OPTIONS)
        assert "\n" not in str(caught.value)
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"x\.safetensors cannot be read"):
        load_official(NAME, tmp_path / "x.safetensors", **OPTIONS)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"a": torch.zeros(1), "b": "text"}, [1, 2]], ids=str)
def test_a_file_without_weights_is_told(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        load_official(NAME, tmp_path / "odd.pth", **OPTIONS)


def test_the_constant_index_of_old_swin_files_is_checked():
    attention = WindowAttention(8, 2, 3)
    state = attention.state_dict() | {"relative_position_index": relative_index(3)}
    attention.load_state_dict(state)
    with pytest.raises(RuntimeError, match="relative_position_index"):
        attention.load_state_dict(state | {"relative_position_index": relative_index(3).T})


def test_options_reach_the_network():
    state = made("primkd-mit_b0", branch="mask", embed=8).state_dict()
    load_official("primkd-mit_b0", state, 5, branch="mask", embed=8)
    with pytest.raises(UserError, match="conv_loss1"):
        load_official("primkd-mit_b0", state, 5, embed=8)


def run(*arguments: object) -> object:
    return CliRunner().invoke(app, ["papers", *map(str, arguments)])


def test_convert_writes_what_can_be_loaded(network, expected, tmp_path):
    torch.save({"model": parallel(network.state_dict())}, tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    where = "--name", NAME, "--checkpoint", tmp_path / "theirs.pth", "--out", out, "--classes", 5
    done = run("convert", *where, "--set", "embed=8")
    assert done.exit_code == 0, done.output
    assert torch.equal(scores(load_official(NAME, out, **OPTIONS)), expected)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    wrong = run("convert", *where)
    assert isinstance(wrong.exception, UserError)
    assert "linear_pred" in str(wrong.exception)
    for out, text in ((Path("x.pth"), "safetensors"), (tmp_path / "no" / "x.safetensors", "does not exist")):
        wrong = run("convert", "--name", NAME, "--checkpoint", tmp_path / "theirs.pth", "--out", out)
        assert text in str(wrong.exception)


def test_list_names_every_network():
    page = run("list")
    assert page.exit_code == 0
    assert [line.split()[0] for line in page.output.splitlines()[1:]] == list(papers.names())
    assert "4,654,216" in page.output
