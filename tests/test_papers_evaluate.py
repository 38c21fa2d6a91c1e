"""Published networks on data: inputs, resizing and counting as their papers describe them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from make_indoor import frame, png, text
from paper_networks import by_rule, outline
from torch import nn
from typer.testing import CliRunner

from rgbd_lib.__main__ import app
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError
from rgbd_lib.methods import Output
from rgbd_lib.papers import evaluate, protocols

SIZE = (48, 64)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    """NYUv2 in the layout of CEN: 3 training and 2 test frames, depth with 5000 counts per metre."""
    root = tmp_path_factory.mktemp("rooms")
    for part, numbers in (("train", (1, 2, 4)), ("val", (3, 5))):
        for n in numbers:
            rgb, depth, label = frame(n, SIZE)
            png(root / "rgb" / f"{n:06d}.png", rgb)
            png(root / "masks" / f"{n:06d}.png", np.where(label == 0, 255, label - 1).astype(np.uint8))
            png(root / "depth" / f"{n:06d}.png", depth * 5)
        text(
            root / f"{part}.txt", [f"rgb/{n:06d}.png\tmasks/{n:06d}.png\tdepth/{n:06d}.png" for n in numbers]
        )
    return root


def first(root: Path):
    dataset = open_dataset(root)
    scene = dataset.split("test")[0]
    return dataset, scene, dataset.read(scene, 1)


class Oracle(nn.Module):
    """Scores by brightness of the first channel: known answers, at a quarter of the size."""

    def forward(self, rgb, depth, full_size=True):
        small = nn.functional.avg_pool2d(rgb[:, :1], 4)
        logits = torch.cat([small * k for k in range(40)], 1)
        return Output(logits, {"rgb": -logits})


def test_cen_sees_metres_and_the_whole_image(rooms):
    dataset, scene, made = first(rooms)
    rgb, depth, label = protocols.cen_inputs(dataset, scene, made)
    assert rgb.shape == (1, 3, *SIZE)
    assert depth.shape == (1, 1, *SIZE)
    millimetres = frame(3, SIZE)[1]
    np.testing.assert_allclose(depth[0, 0], millimetres / 1000, rtol=1e-6)
    red = (made.rgb[0, 0, 0] / 255 - 0.485) / 0.229
    assert rgb[0, 0, 0, 0].item() == pytest.approx(red, abs=1e-5)
    assert (label == made.label).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (480, 640)), ((530, 730), (480, 672)), ((427, 561), (480, 640)), ((468, 625), (480, 672))],
)
def test_gemini_resizes_labels_with_the_image(rooms, size, expected):
    dataset, scene, made = first(rooms)
    big = type(made)(
        np.zeros((*size, 3), np.uint8),
        np.full(size, 2000, np.uint16),
        np.ones(size, bool),
        np.zeros(size, np.uint8),
    )
    rgb, depth, label = protocols.gemini_inputs(dataset, scene, big)
    assert rgb.shape[-2:] == depth.shape[-2:] == label.shape == expected
    torch.testing.assert_close(depth, torch.full_like(depth, 2 * 5000 / 255))  # the file's counts over 255


def test_fusenet_stretches_each_depth_image(rooms):
    dataset, scene, made = first(rooms)
    rgb, depth, label = protocols.fusenet_inputs(dataset, scene, made)
    assert rgb.shape == (1, 3, 240, 320)
    assert depth.shape == (1, 1, 240, 320)
    assert label.shape == (240, 320)
    assert depth.min() == 0
    assert depth.max() == 255
    assert rgb.max() > 100


def test_hha_comes_in_the_stored_order(rooms):
    dataset, scene, made = first(rooms)
    _, hha, _ = protocols.hha_inputs(dataset, scene, made)
    disparity = 31000 / np.maximum(made.depth.astype(float) / 10, 100)
    last = hha[0, 2].numpy() * 0.225 + 0.406  # disparity is the last channel
    seen = made.depth > 0
    np.testing.assert_allclose(last[seen] * 255, np.rint(disparity).clip(0, 255)[seen], atol=0.6)


def test_windows_cover_an_image_without_leaving_it():
    hits = np.zeros((13, 17), int)
    for place in protocols.windows((13, 17), (6, 9)):
        assert hits[place].shape == (6, 9)
        hits[place] += 1
    assert hits.min() >= 1
    assert len(list(protocols.windows((6, 9), (6, 9)))) == 1


def test_views_are_added_as_exponentials():
    rgb, depth = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48)
    cmx, model = protocols.PROTOCOLS["cmx"], Oracle()
    here = protocols.outputs(model, rgb, depth, (32, 48), "bilinear")["all"]
    there = protocols.outputs(model, rgb.flip(-1), depth.flip(-1), (32, 48), "bilinear")["all"].flip(-1)
    found = protocols.score(cmx, model, rgb, depth, (32, 48), flips=True)["all"]
    torch.testing.assert_close(found, (here + there).exp())
    twice = protocols.score(cmx, model, rgb, depth, (32, 48), scales=(1, 1))["all"]
    torch.testing.assert_close(twice, 2 * here.exp())


def test_sliding_equals_whole_where_the_window_fits():
    rgb, depth = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48)
    cmx = protocols.PROTOCOLS["cmx"]
    whole = protocols.score(cmx, Oracle(), rgb, depth, (32, 48), crop=(32, 48))["all"]
    parts = protocols.score(cmx, Oracle(), rgb, depth, (32, 48), crop=(24, 32))["all"]
    torch.testing.assert_close(whole.log().argmax(0), whole.argmax(0))
    assert (parts >= whole * 0.5).all()  # summed, not averaged: pixels under several windows weigh more
    assert parts[:, 16, 20].sum() > 2 * whole[:, 16, 20].sum()


def test_paper_rule_counts_a_class_that_is_only_predicted():
    matrix = np.array([[[3, 1, 0], [0, 0, 0], [0, 0, 0]]])
    assert evaluate.paper_scores(matrix)["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert evaluate.strict_scores(matrix)["miou"] == pytest.approx(3 / 4)


def test_strict_never_touches_labels(rooms):
    dataset = open_dataset(rooms)
    labelled = sum(int((dataset.read(s, 1).label != 255).sum()) for s in dataset.split("test"))
    ours = evaluate.evaluate(Oracle(), dataset, protocols.of("geminifusion-mit_b0", "ours"))
    paper = evaluate.evaluate(Oracle(), dataset, protocols.of("geminifusion-mit_b0", "paper"))
    assert ours.matrices["all"].sum() == labelled
    assert paper.matrices["all"].sum() > 10 * labelled  # 480 x 640 each
    assert set(ours.matrices) == {"all", "rgb"}


def test_classes_must_agree(rooms):
    class Few(nn.Module):
        def forward(self, rgb, depth, full_size=True):
            return Output(rgb)

    with pytest.raises(UserError, match=r"3 classes and .* has 40"):
        evaluate.evaluate(Few(), open_dataset(rooms), protocols.of("cen-refinenet50"))
    with pytest.raises(UserError, match="unknown family"):
        protocols.of("nothing-1")


@pytest.mark.parametrize("kind", ["paper", "ours"])
def test_command_scores_a_checkpoint_made_by_the_rule(rooms, tmp_path, kind):
    model = by_rule(outline("cmx-mit_b0", 40, embed=8))
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    arguments = ["--name", "cmx-mit_b0", "--checkpoint", str(tmp_path / "weights.pth"), "--data", str(rooms)]
    arguments += ["--protocol", kind, "--set", "embed=8", "--device", "cpu", "--out", str(tmp_path / "t.csv")]
    ran = CliRunner().invoke(app, ["papers", "evaluate", *arguments])
    assert ran.exit_code == 0, ran.output
    table = evaluate.pd.read_csv(tmp_path / "t.csv")
    assert ("miou_low" in table) == (kind == "ours")
    expected = protocols.of("cmx-mit_b0", kind)
    again = by_rule(outline("cmx-mit_b0", 40, embed=8, bgr=True))
    found = evaluate.evaluate(again, open_dataset(rooms), expected).table(kind == "ours")
    assert table.miou[0] == pytest.approx(found.miou[0])
