import shutil
from pathlib import Path

import fake_dataset
import h5py
import make_indoor
import numpy as np
import pytest

from rgbd_lib.datasets import fusenet_h5, nyuv2
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError


@pytest.fixture(scope="session")
def tiny_fusenet(tmp_path_factory):
    return make_indoor.fusenet_file(tmp_path_factory.mktemp("fusenet") / "nyu_tiny.h5")


@pytest.fixture
def file(tiny_fusenet, tmp_path):
    """A copy to break."""
    return Path(shutil.copy(tiny_fusenet, tmp_path / "nyu_tiny.h5"))


def test_frames_come_back_in_rgb_order_with_levels_and_shifted_labels(tiny_fusenet):
    data = fusenet_h5.open(tiny_fusenet)
    for scene, number in (("train-1", 1), ("train-4", 4), ("test-2", 102)):
        rgb, depth, label = make_indoor.frame(number)
        read = data.read(scene, 1)
        np.testing.assert_array_equal(read.rgb, rgb)
        np.testing.assert_array_equal(read.depth, make_indoor.levels(depth))
        np.testing.assert_array_equal(read.valid, depth > 0)
        np.testing.assert_array_equal(read.label, np.where(label == 0, IGNORE, label.astype(int) - 1))
    assert data.depth_kind.to_metres is None
    assert "colours taken as bgr" in data.decision


def test_order_of_colours_can_be_said(tiny_fusenet):
    bgr, rgb = (fusenet_h5.open(tiny_fusenet, order=order) for order in ("bgr", "rgb"))
    np.testing.assert_array_equal(bgr.read_rgb("train-1"), rgb.read_rgb("train-1")[..., ::-1])
    assert bgr.name != rgb.name


def test_splits_and_scene_classes(tiny_fusenet):
    data = fusenet_h5.open(tiny_fusenet)
    assert data.split("test") == ("test-1", "test-2")
    assert data.scene_classes["train-3"] == 2
    assert data.scene_names[2] == "living room"
    many = fusenet_h5.FuseNetFile.split(data, "train") + data.split("val")
    assert sorted(many) == [f"train-{i}" for i in range(1, 5)]


def test_validation_is_the_smaller_part_and_takes_neighbours_together(tmp_path):
    data = fusenet_h5.open(make_indoor.fusenet_file(tmp_path / "nyu.h5", train=200))
    train, val = data.split("train"), data.split("val")
    assert (len(train), len(val)) == (170, 30)
    blocks = {(int(scene.split("-")[1]) - 1) // 10 for scene in val}
    assert len(blocks) == 3  # blocks of ten frames, whole
    assert not {data.groups[scene] for scene in train + val} & {
        data.groups[scene] for scene in data.split("test")
    }


def test_the_name_says_which_data_it_is(file):
    assert len(fusenet_h5.open(file).classes) == 40
    assert len(fusenet_h5.open(file, classes=13).classes) == 13
    sun = file.rename(file.with_name("SUN_37.hdf5"))
    with h5py.File(sun, "r+") as opened:
        for part in ("train", "test"):
            opened[f"label_{part}"][...] = np.minimum(opened[f"label_{part}"][...], 37)
    assert len(fusenet_h5.open(sun).classes) == 37
    assert fusenet_h5.open(sun).intrinsics("train-1") is None
    assert fusenet_h5.open(sun, data="nyuv2").name == "nyuv2-fusenet"


def test_a_folder_with_the_one_file_is_recognised(file):
    assert fusenet_h5.detect(file.parent) == fusenet_h5.detect(file) == "FuseNet's single file: nyu_tiny.h5"
    (file.parent / "readme.txt").write_text("")
    assert fusenet_h5.detect(file.parent)
    shutil.copy(file, file.with_name("second.h5"))
    assert fusenet_h5.detect(file.parent) is None
    assert fusenet_h5.detect(file.parent / "readme.txt") is None


def test_what_is_written_is_read_back(tmp_path):
    source = nyuv2.open(make_indoor.nyu_mat(tmp_path / "nyu"), depth="raw")
    calls = []
    path = fusenet_h5.write(
        source, tmp_path / "nyu.h5", make_indoor.SIZE, progress=lambda *now: calls.append(now)
    )
    assert calls[-1] == (6, 6)
    data = fusenet_h5.open(path)
    order = [*source.split("train"), *source.split("val")]
    for copy, original in [*zip(data.lists["train"], order, strict=True), ("test-1", "3"), ("test-2", "6")]:
        a, b = source.read(original, 1), data.read(copy, 1)
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.label, b.label)
        np.testing.assert_array_equal(a.valid, b.valid)
        measured = a.depth[a.valid].astype(float)
        expected = 1 + (measured - measured.min()) / np.ptp(measured) * 254
        np.testing.assert_allclose(b.depth[b.valid], expected, atol=0.51)
        assert data.scene_classes[copy] == source.scene_classes[original]


def test_writing_resizes_without_mixing_labels_and_keeps_constant_depth(tmp_path):
    data = fake_dataset.make(tmp_path / "fake", 4)
    with np.load(tmp_path / "fake" / "1.npz") as old:
        np.savez(
            tmp_path / "fake" / "1.npz",
            rgb=old["rgb"],
            label=old["label"],
            depth=np.full((24, 32), 700, np.uint16),
        )
    data.split = lambda name, kind: {"train": ("1", "2"), "val": (), "test": ("3", "4")}[name]
    fusenet_h5.write(data, tmp_path / "any.h5", (12, 16))
    with h5py.File(tmp_path / "any.h5") as file:
        assert file["rgb_train"].shape == (2, 3, 12, 16)
        assert set(np.unique(file["label_train"][...])) <= {0, 1, 2, 3}
        assert set(np.unique(file["depth_train"][0])) == {255}
        assert "class_train" not in file
    assert not list(tmp_path.glob("*.partial"))


def test_a_write_that_fails_leaves_nothing(tmp_path):
    data = fake_dataset.make(tmp_path / "fake", 4)
    data.split = lambda name, kind: ("1", "nowhere")
    with pytest.raises(UserError, match=r"any\.h5 cannot be written"):
        fusenet_h5.write(data, tmp_path / "any.h5", (12, 16))
    assert not list(tmp_path.glob("any.h5*"))


def change(key, function):
    def edit(path):
        with h5py.File(path, "r+") as file:
            values = function(file[key][...])
            del file[key]
            if values is not None:
                file[key] = values

    return edit


BAD = {
    "truncated": (
        lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        "nyu_tiny.h5 cannot be read as HDF5",
    ),
    "empty": (lambda p: p.write_bytes(b""), "nyu_tiny.h5 cannot be read as HDF5"),
    "no depth": (
        change("depth_train", lambda v: None),
        "nyu_tiny.h5 has no 'depth_train'; it has class_test, class_train",
    ),
    "no test": (change("rgb_test", lambda v: None), "has no 'rgb_test'"),
    "colours last": (
        change("rgb_train", lambda v: v.transpose(0, 2, 3, 1)),
        r"rgb_train is \(4, 24, 32, 3\) and label_train",
    ),
    "one colour": (change("rgb_train", lambda v: v[:, :1]), r"rgb_train is \(4, 1, 24, 32\)"),
    "fewer labels": (change("label_train", lambda v: v[:3]), r"label_train \(3, 24, 32\)"),
    "depth of three channels": (
        change("depth_train", lambda v: v.repeat(3, 1)),
        r"depth_train is \(4, 3, 24, 32\)",
    ),
    "depth without channel": (
        change("depth_train", lambda v: v[:, 0]),
        r"depth_train is \(4, 24, 32\); \(4, 1, 24, 32\)",
    ),
    "no frames": (
        lambda p: [change(f"{k}_test", lambda v: v[:0])(p) for k in ("rgb", "depth", "label")],
        "the list of test frames is empty",
    ),
    "label 41": (
        change("label_train", lambda v: np.where(v == 40, 41, v)),
        r"label_train\[0\]: label 41 is not among 1..40",
    ),
    "label -1": (change("label_train", lambda v: v - 1), r"label_train\[0\]: label -1 is not among"),
    "depth in millimetres": (
        change("depth_train", lambda v: v * 20),
        r"depth_train\[0\]: values 0..5100, 0..255 expected",
    ),
    "depth all zero": (change("depth_train", lambda v: v * 0), r"depth_train\[0\]: every pixel is 0"),
    "colours of 0..1": (
        change("rgb_train", lambda v: v / 255),
        r"rgb_train\[0\]: values of 0..1, 0..255 expected",
    ),
    "colours with NaN": (change("rgb_train", lambda v: v * np.nan), r"rgb_train\[0\]: values nan..nan"),
    "scene 11": (
        change("class_train", lambda v: v + 10),
        r"class_train holds 4 values of 11..14; 4 of 1..10 are needed",
    ),
    "too few scenes": (change("class_test", lambda v: v[:1]), "class_test holds 1 values"),
    "nameless": (lambda p: p.rename(p.with_name("data.h5")), "contains neither 'nyu' nor 'sun'"),
    "arrays of objects": (
        lambda p: np.save(p.with_name("nyu.npy"), {"rgb": 1}),
        "can run any code when it is opened",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named(file, case):
    spoil, message = BAD[case]
    spoil(file)
    where = next((p for p in file.parent.iterdir() if p.suffix == ".npy"), next(file.parent.iterdir()))
    with pytest.raises(UserError, match=message):
        fusenet_h5.open(where).read("train-1", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 37}, "nyuv2 has 40 or 13 classes"),
        ({"data": "nyu"}, "unknown data 'nyu'. Did you mean 'nyuv2'"),
        ({"order": "gbr"}, "unknown order of colours 'gbr'"),
    ],
)
def test_bad_option_is_named(tiny_fusenet, options, message):
    with pytest.raises(UserError, match=message):
        fusenet_h5.open(tiny_fusenet, **options)


def test_other_paths_are_not_taken_for_it(tmp_path):
    with pytest.raises(UserError, match="is no HDF5 file in FuseNet's layout"):
        fusenet_h5.open(tmp_path)
