import shutil
import warnings

import h5py
import make_indoor
import numpy as np
import pytest
import scipy.io

from rgbd_lib.datasets import indoor, nyuv2
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError


@pytest.fixture(scope="session")
def tiny_nyu(tmp_path_factory):
    return make_indoor.nyu_mat(tmp_path_factory.mktemp("nyu") / "nyu")


@pytest.fixture
def nyu(tiny_nyu, tmp_path):
    """A copy to break."""
    return shutil.copytree(tiny_nyu, tmp_path / "nyu")


def ids(label):
    """Labels of 0..40 as class ids."""
    return np.where(label == 0, IGNORE, label.astype(int) - 1)


def test_every_sample_comes_back_upright_in_millimetres_and_40_classes(tiny_nyu):
    data = nyuv2.open(tiny_nyu, depth="raw")
    assert data.scenes == ("1", "2", "3", "4", "5", "6")
    for scene in data.scenes:
        rgb, depth, label = make_indoor.frame(int(scene))
        read = data.read(scene, 1)
        np.testing.assert_array_equal(read.rgb, rgb)
        np.testing.assert_array_equal(read.depth, depth)
        np.testing.assert_array_equal(read.valid, depth > 0)
        np.testing.assert_array_equal(read.label, ids(label))
        assert (read.rgb.dtype, read.depth.dtype, read.label.dtype) == (np.uint8, np.uint16, np.uint8)
    assert data.classes[0] == "wall"
    assert data.classes[39] == "otherprop"
    assert data.depth_kind.to_metres == 0.001


def test_filled_depth_has_no_holes_and_agrees_with_raw_elsewhere(tiny_nyu):
    filled, raw = (nyuv2.open(tiny_nyu, depth=depth).read("2", 1) for depth in ("filled", "raw"))
    assert filled.valid.all()
    assert not raw.valid.all()
    np.testing.assert_array_equal(filled.depth[raw.valid], raw.depth[raw.valid])
    assert nyuv2.open(tiny_nyu).name != nyuv2.open(tiny_nyu, depth="raw").name  # one file, two data sets


def test_thirteen_classes_are_a_coarser_view_of_the_forty(tiny_nyu):
    fine, coarse = nyuv2.open(tiny_nyu), nyuv2.open(tiny_nyu, classes=13)
    a, b = fine.read("1", 1).label, coarse.read("1", 1).label
    np.testing.assert_array_equal(a == IGNORE, b == IGNORE)
    same = {"bed", "books", "ceiling", "chair", "floor", "picture", "sofa", "table", "wall", "window"}
    for name in same:
        assert (b[a == fine.classes.index(name)] == coarse.classes.index(name)).all()
    expected = {"cabinet": "furniture", "blinds": "window", "desk": "table", "television": "tv", "otherprop": "objects",
                "floor mat": "floor", "otherfurniture": "furniture", "lamp": "objects", "door": "wall"}  # fmt: skip
    for name, group in expected.items():
        assert (b[a == fine.classes.index(name)] == coarse.classes.index(group)).all()
    assert set(np.unique(b)) <= {*range(13), IGNORE}


def test_splits_are_the_official_ones_with_validation_from_whole_rooms_of_train(tiny_nyu):
    data = nyuv2.open(tiny_nyu)
    train, val, test = (data.split(name) for name in ("train", "val", "test"))
    assert sorted(train + val) == ["1", "2", "4", "5"]
    assert test == ("3", "6")
    assert train
    assert val
    assert not {data.groups[s] for s in train} & {data.groups[s] for s in val}
    assert data.groups["1"] == data.groups["2"] == "kitchen_0001"
    assert data.split("val", "grouped") == val == nyuv2.open(tiny_nyu, depth="raw").split("val")


def test_scene_types_are_grouped_as_fusenet_does(tiny_nyu):
    data = nyuv2.open(tiny_nyu)
    named = {scene: data.scene_names[i] for scene, i in data.scene_classes.items()}
    assert named == {
        "1": "kitchen",
        "2": "kitchen",
        "3": "office",
        "4": "others",
        "5": "others",
        "6": "bedroom",
    }


def test_camera_is_the_colour_camera_at_full_size_and_scaled_below(tiny_nyu):
    full = indoor.nyu_camera((480, 640))
    np.testing.assert_allclose(full, [[518.8579, 0, 325.5824], [0, 519.4696, 253.7362], [0, 0, 1]])
    half = indoor.nyu_camera((240, 320))
    ray = [(u - k[0, 2]) / k[0, 0] for u, k in ((320.5, full), (160.5, half))]  # the middle of the picture
    assert ray[0] == pytest.approx(ray[1])
    assert nyuv2.open(tiny_nyu).intrinsics("1")[0, 0] == pytest.approx(518.8579 / 20)


def test_white_frame_is_void_and_white_things_are_not(nyu):
    with h5py.File(nyu / nyuv2.FILE, "r+") as file:
        rgb = file["images"][0]
        rgb[:, :, :2] = rgb[:, 31:, :] = 255  # two rows on top, one column on the right
        rgb[:, 10:20, 8:14] = 255
        file["images"][0] = rgb
    label = nyuv2.open(nyu).read("1", 1).label
    expected = ids(make_indoor.frame(1)[2])
    expected[:2] = expected[:, 31] = IGNORE
    np.testing.assert_array_equal(label, expected)


def test_a_wholly_white_picture_is_no_border():
    assert not indoor.white_border(np.full((24, 32, 3), 255, np.uint8)).any()


def test_labels_that_are_forty_classes_already_need_no_mapping(nyu):
    (nyu / nyuv2.MAPPING).unlink()
    with h5py.File(nyu / nyuv2.FILE, "r+") as file:
        del file["names"]
        file["labels"][:] = np.stack([make_indoor.frame(i + 1)[2].T for i in range(6)])
    data = nyuv2.open(nyu)
    np.testing.assert_array_equal(data.read("4", 1).label, ids(make_indoor.frame(4)[2]))
    assert "already 0..40" in data.decision
    assert nyu / nyuv2.MAPPING not in data.files()


def test_files_decide_the_content_and_the_decision_is_said(tiny_nyu):
    data = nyuv2.open(tiny_nyu / nyuv2.FILE)
    assert {f.name for f in data.files()} == {nyuv2.FILE, nyuv2.SPLITS, nyuv2.MAPPING}
    assert "6 samples, depths in metres, 894 labels mapped to 40" in data.decision
    assert nyuv2.detect(tiny_nyu)
    assert nyuv2.detect(tiny_nyu / nyuv2.FILE)
    assert nyuv2.detect(tiny_nyu.parent) is None


def test_a_file_without_scenes_is_read_and_says_so(nyu):
    with h5py.File(nyu / nyuv2.FILE, "r+") as file:
        del file["scenes"], file["sceneTypes"]
    data = nyuv2.open(nyu)
    assert data.scene_classes == {}
    assert any("no 'scenes'" in note for note in data.notes)


def test_depth_that_is_no_room_is_remarked_on_once_aloud_and_always_in_notes(nyu):
    with h5py.File(nyu / nyuv2.FILE, "r+") as file:
        file["depths"][...] = file["depths"][...] * 10
    data = nyuv2.open(nyu)
    with pytest.warns(UserWarning, match=r"sample 1, depth: median depth \d+.\d+ m is outside 0.5..6 m"):
        data.read("1", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.read("2", 1)
        data.read("2", 1)
    assert sum("median depth" in note for note in data.notes) == 2


def test_unmeasurable_depth_is_missing():
    metres = np.array([np.nan, np.inf, -1, 0, 0.0004, 0.0006, 2.5, 99])
    assert indoor.to_millimetres(metres).tolist() == [0, 0, 0, 0, 0, 1, 2500, 65535]


def change(key, function):
    def edit(folder):
        with h5py.File(folder / nyuv2.FILE, "r+") as file:
            values = function(file[key][...])
            del file[key]
            if values is not None:
                file[key] = values

    return edit


def put(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def with_label(folder):
    change("labels", lambda v: np.where(v == v[0].max(), 895, v).astype(np.uint16))(folder)


BAD = {
    "no labels": (change("labels", lambda v: None), r"labeled.mat has no 'labels'; it has .*images"),
    "no depth": (change("depths", lambda v: None), "labeled.mat has no 'depths'; it has"),
    "axes not reversed": (
        change("images", lambda v: v.transpose(0, 3, 2, 1)),
        r"'images' is \(6, 24, 32, 3\)",
    ),
    "portrait": (
        change("images", lambda v: v.transpose(0, 1, 3, 2)),
        r"samples, 3, width, height .* is needed",
    ),
    "labels turned": (
        change("labels", lambda v: v.transpose(0, 2, 1)),
        r"'labels' is \(6, 24, 32\), but 'images'",
    ),
    "fewer depths": (change("depths", lambda v: v[:3]), r"'depths' is \(3, 32, 24\)"),
    "too few rooms": (change("scenes", lambda v: v[:, :2]), "'scenes' has 2 entries for 6 samples"),
    "no mapping": (
        lambda f: (f / nyuv2.MAPPING).unlink(),
        "894 original labels and classMapping40.mat is not beside",
    ),
    "short mapping": (
        lambda f: scipy.io.savemat(f / nyuv2.MAPPING, {"mapClass": np.ones((1, 100))}),
        "mapClass has 100 entries of 1..1; 894 entries of 1..40",
    ),
    "no mapClass": (
        lambda f: scipy.io.savemat(f / nyuv2.MAPPING, {"map": 1}),
        "has no 'mapClass'; it has map",
    ),
    "mapping damaged": (put(nyuv2.MAPPING, b"MATLAB 5.0"), "classMapping40.mat is no MATLAB file or damaged"),
    "no splits": (lambda f: (f / nyuv2.SPLITS).unlink(), "splits.mat does not exist: the official list"),
    "beyond the end": (
        lambda f: make_indoor.nyu_splits(f, [1, 2], [3, 1449]),
        "testNdxs names sample 1449, but nyu_depth_v2_labeled.mat has samples 1..6",
    ),
    "counted from 0": (lambda f: make_indoor.nyu_splits(f, [0, 1], [2, 3]), "trainNdxs names sample 0"),
    "in both": (
        lambda f: make_indoor.nyu_splits(f, [1, 2], [2, 3]),
        "frame '2' is in the train and in the test",
    ),
    "twice": (lambda f: make_indoor.nyu_splits(f, [1, 2, 2], [3]), "frame '2' is twice in the train list"),
    "no test frames": (lambda f: make_indoor.nyu_splits(f, [1, 2], []), "the list of test frames is empty"),
    "label 895": (with_label, "sample 1, label: label 895 is beyond the 894 of classMapping40.mat"),
    "no depth measured": (change("depths", lambda v: 0 * v), "sample 1, depth: every pixel is 0"),
    "truncated": (
        lambda f: put(nyuv2.FILE, (f / nyuv2.FILE).read_bytes()[:9000])(f),
        "cannot be read as HDF5",
    ),
    "old MATLAB": (lambda f: scipy.io.savemat(f / nyuv2.FILE, {"images": 1}), "cannot be read as HDF5"),
    "empty file": (put(nyuv2.FILE, b""), "labeled.mat cannot be read as HDF5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named(nyu, case):
    spoil, message = BAD[case]
    spoil(nyu)
    with pytest.raises(UserError, match=message):
        nyuv2.open(nyu).read("1", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 37}, "nyuv2 has 40 or 13 classes; classes=37 is neither"),
        ({"depth": "Raw"}, "unknown depth 'Raw'. Did you mean 'raw'?"),
    ],
)
def test_bad_option_is_named(tiny_nyu, options, message):
    with pytest.raises(UserError, match=message):
        nyuv2.open(tiny_nyu, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.read("7", 1), "no scene '7'; it has 6"),
        (lambda d: d.read_rgb("1", 3), "no lighting 3"),
        (lambda d: d.split("eval"), "unknown split 'eval'"),
        (lambda d: d.split("train", "random"), "unknown kind of split 'random'"),
    ],
)
def test_what_is_not_there_is_named(tiny_nyu, call, message):
    with pytest.raises(UserError, match=message):
        call(nyuv2.open(tiny_nyu))
