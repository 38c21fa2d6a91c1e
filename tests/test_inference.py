"""A pair of files goes through a trained model as an application would send it."""

import cv2
import numpy as np
import pytest

from rgbd_lib import inference, runs
from rgbd_lib.errors import UserError
from rgbd_lib.palette import class_colours
from tests.study_fixtures import SETTINGS, SIZE

pytestmark = pytest.mark.usefixtures("run_home")


@pytest.fixture
def record():
    return runs.get(runs.Run("mid", "smoke", settings=SETTINGS), quiet=True, device="cpu")


@pytest.fixture
def pair(run_home, tmp_path):
    frame = run_home.read("9", 1)
    rgb, depth = tmp_path / "rgb.png", tmp_path / "depth.png"
    cv2.imwrite(str(rgb), frame.rgb[..., ::-1])
    cv2.imwrite(str(depth), frame.depth)
    return rgb, depth


def test_files_give_what_the_evaluation_gave(record, pair, run_home):
    """At the training size a file's prediction is the evaluation's: same resizing, units and statistics."""
    predictor = inference.Predictor(record.folder, device="cpu")
    frame = run_home.read("9", 1)
    found = predictor.classes(frame.rgb, frame.depth)
    confusion = np.bincount(3 * frame.label.ravel() + found.ravel(), minlength=9).reshape(3, 3)
    assert (confusion == record.scores().matrices[0, 0]).all()


def test_the_overlay_is_written_and_described(record, pair, tmp_path):
    out = tmp_path / "overlay.png"
    found = inference.predict_files(record.folder, *pair, out, repeat=3)
    assert cv2.imread(str(out)).shape == (*SIZE, 3)
    assert found.classes.shape == SIZE
    assert sum(found.shares.values()) <= 1
    assert found.p50 <= found.p95


def test_another_size_changes_what_the_network_sees_not_what_comes_back(record, pair, tmp_path):
    found = inference.predict_files(record.folder, *pair, tmp_path / "o.png", size="64x96")
    assert found.size == (64, 96)
    assert found.classes.shape == SIZE


def test_overlay_leaves_the_background_alone():
    rgb = np.full((2, 2, 3), 100, np.uint8)
    classes = np.array([[0, 1], [2, 0]], np.uint8)
    painted = inference.overlay(rgb, classes, background=0, opacity=1.0)
    assert (painted[classes == 0] == 100).all()
    assert (painted[0, 1] == class_colours()[1]).all()


def test_what_cannot_be_predicted_is_named(record, pair, tmp_path):
    rgb, _ = pair
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((10, 10), np.uint16))
    with pytest.raises(UserError, match="they must be aligned"):
        inference.predict_files(record.folder, rgb, small, tmp_path / "o.png")
    with pytest.raises(UserError, match=r"is not a finished run: it has no run\.json"):
        inference.predict_files(tmp_path, *pair, tmp_path / "o.png")
    with pytest.raises(UserError, match="cannot write"):
        inference.predict_files(record.folder, *pair, tmp_path / "nowhere" / "o.png")
