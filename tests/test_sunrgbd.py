import shutil

import h5py
import make_indoor
import numpy as np
import pytest
import scipy.io

from rgbd_lib.datasets import indoor, sun_repacked, sunrgbd
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError

TEST, TRAIN = make_indoor.SUN_FRAMES["test"], make_indoor.SUN_FRAMES["train"]
NUMBER = {name: i + 1 for i, name in enumerate((*TEST, *TRAIN))}


@pytest.fixture(scope="session")
def tiny_sun(tmp_path_factory):
    return make_indoor.sun_tree(tmp_path_factory.mktemp("sun") / "sun")


@pytest.fixture
def sun(tiny_sun, tmp_path):
    """A copy to break."""
    return shutil.copytree(tiny_sun, tmp_path / "sun")


@pytest.fixture
def repacked(tmp_path):
    """Two training and three test frames, numbered; labels numbered through."""
    root = tmp_path / "repacked"
    for part, count in (("train", 2), ("test", 3)):
        for n in range(1, count + 1):
            rgb, depth, label = made(part, n)
            make_indoor.png(root / f"SUNRGBD-{part}_images" / f"img-{n:06d}.png", rgb)
            make_indoor.png(root / f"sunrgbd_{part}_depth" / f"{n}.png", depth * 10 + 1)  # counts of 0.1 mm
            place = root / "sunrgbd_train_test_labels" / f"img-{n + 5050 * (part == 'train'):06d}.png"
            make_indoor.png(place, label.astype(np.uint8))
    return root


def made(part, number):
    return make_indoor.frame(number + 500 * (part == "train"), classes=37)


def ids(label):
    return np.where(label == 0, IGNORE, label.astype(int) - 1)


def test_every_frame_has_its_own_label_and_unpacked_depth(tiny_sun):
    data = sunrgbd.open(tiny_sun, depth="raw")
    assert set(data.scenes) == {*TRAIN, *TEST}
    for scene in data.scenes:
        rgb, depth, label = make_indoor.frame(NUMBER[scene], classes=37)
        read = data.read(scene, 1)
        np.testing.assert_array_equal(read.rgb, rgb)
        np.testing.assert_array_equal(read.depth, depth)
        np.testing.assert_array_equal(read.valid, depth > 0)
        np.testing.assert_array_equal(read.label, ids(label))
    assert data.classes == indoor.NYU40[:37]
    assert data.intrinsics(TRAIN[0]).tolist() == [[504, 0, 310], [0, 505, 230], [0, 0, 1]]


@pytest.mark.parametrize("inside", [False, True])
def test_is_found_from_above_and_from_inside(tiny_sun, inside):
    data = sunrgbd.open(tiny_sun / "SUNRGBD" if inside else tiny_sun)
    assert sunrgbd.detect(data.root)
    assert data.split("test") == TEST
    assert "labels from SUNRGBD2Dseg.mat; depth from depth_bfx/: packed bits" in data.decision


def test_all_millimetres_survive_packing():
    everything = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(indoor.unpack(make_indoor.pack(everything)), everything)
    near = everything[everything < 8192]
    np.testing.assert_array_equal(make_indoor.pack(near) / 8, near)  # "divide by 8000"
    assert indoor.looks_packed(make_indoor.pack(near))
    assert not indoor.looks_packed(near)


def test_beyond_eight_metres_is_cut_when_filled_and_missing_when_raw(sun):
    far = np.full(make_indoor.SIZE, 2000, np.uint16)
    far[0, :3] = 8000, 8001, 30000
    for folder in ("depth", "depth_bfx"):
        make_indoor.png(sun / "SUNRGBD" / TRAIN[0] / folder / "0001.png", make_indoor.pack(far))
    filled, raw = (sunrgbd.open(sun, depth=d).read(TRAIN[0], 1) for d in ("filled", "raw"))
    assert filled.depth[0, :4].tolist() == [8000, 8000, 8000, 2000]
    assert raw.depth[0, :4].tolist() == [8000, 0, 0, 2000]
    assert raw.valid[0, :4].tolist() == [True, False, False, True]


def test_sensors_are_groups_and_validation_keeps_places_together(tiny_sun):
    data = sunrgbd.open(tiny_sun)
    assert set(data.groups.values()) == {"kv1", "kv2", "realsense", "xtion"}
    assert data.places["xtion/sun3ddata/lab/lab_2/0000002"] == "xtion/sun3ddata/lab"
    train, val = data.split("train"), data.split("val")
    assert sorted(train + val) == sorted(TRAIN)
    assert val
    assert train
    assert not {data.places[s] for s in train} & {data.places[s] for s in val}


def test_scene_classes_come_from_scene_txt(tiny_sun):
    data = sunrgbd.open(tiny_sun)
    assert data.scene_names == ("bedroom", "office")
    assert data.scene_classes[TEST[0]] == 1
    assert data.scene_classes[TEST[1]] == 0


def test_thirteen_classes(tiny_sun):
    fine, coarse = (sunrgbd.open(tiny_sun, classes=c) for c in (37, "13"))
    a, b = (d.read(TEST[0], 1).label for d in (fine, coarse))
    assert (b[a == fine.classes.index("bag")] == coarse.classes.index("objects")).all()
    assert (b[a == fine.classes.index("refrigerator")] == coarse.classes.index("furniture")).all()
    np.testing.assert_array_equal(a == IGNORE, b == IGNORE)


@pytest.mark.parametrize("field", ["sequenceName", "rgbpath"])
def test_stated_order_of_labels_goes_before_the_usual_one(sun, field):
    order = [*TRAIN, *TEST]
    make_indoor.sun_labels(sun, [make_indoor.frame(NUMBER[name], classes=37)[2] for name in order])
    text = {"sequenceName": "SUNRGBD/{}", "rgbpath": "/n/data/SUNRGBD/{}/image/0001.jpg"}[field]
    rows = np.array([(text.format(name), 0) for name in order], dtype=[(field, object), ("valid", object)])
    scipy.io.savemat(sun / "SUNRGBDtoolbox" / "Metadata" / "SUNRGBDMeta.mat", {"SUNRGBDMeta": rows[None]})
    data = sunrgbd.open(sun)
    for scene in data.scenes:
        expected = ids(make_indoor.frame(NUMBER[scene], classes=37)[2])
        np.testing.assert_array_equal(data.read(scene, 1).label, expected)
    assert any(file.name == "SUNRGBDMeta.mat" for file in data.files())


def test_label_files_of_frames_replace_the_label_file(sun):
    (sun / "SUNRGBDtoolbox" / sunrgbd.LABELS).unlink()
    for name, number in NUMBER.items():
        (sun / "SUNRGBD" / name / "label").mkdir()
        np.save(sun / "SUNRGBD" / name / "label" / "label.npy", make_indoor.frame(number, classes=37)[2])
    data = sunrgbd.open(sun)
    np.testing.assert_array_equal(data.read(TEST[1], 1).label, ids(make_indoor.frame(2, classes=37)[2]))


def test_part_of_the_frames_is_read_only_when_asked_for(sun):
    shutil.rmtree(sun / "SUNRGBD" / TRAIN[0])
    data = sunrgbd.open(sun, partial=True)
    assert TRAIN[0] not in data.scenes
    assert any(
        "1 frames of allsplit.mat are not on disk, the first is realsense/sa/0003" in n for n in data.notes
    )
    np.testing.assert_array_equal(data.read(TRAIN[1], 1).label, ids(make_indoor.frame(5, classes=37)[2]))


def test_repacked_training_label_is_5050_further(repacked):
    data = sunrgbd.open(repacked)
    assert data.scenes == ("test-1", "test-2", "test-3", "train-1", "train-2")
    for scene in data.scenes:
        part, number = scene.split("-")
        rgb, depth, label = made(part, int(number))
        read = data.read(scene, 1)
        np.testing.assert_array_equal(read.rgb, rgb)
        np.testing.assert_array_equal(read.label, ids(label))
        np.testing.assert_allclose(read.depth, depth, atol=1)
    assert "label of training frame n is n + 5050; depth: 10000 counts per metre" in data.decision


def test_repacked_depth_that_is_still_packed_is_recognised_and_a_factor_wins(repacked):
    for file in repacked.glob("*_depth/*.png"):
        make_indoor.png(file, make_indoor.pack(made("test", int(file.stem))[1]))
    data = sunrgbd.open(repacked)
    np.testing.assert_array_equal(data.read("test-1", 1).depth, made("test", 1)[1])
    other = sunrgbd.open(repacked, depth_factor=4000)
    np.testing.assert_array_equal(other.read("test-1", 1).depth, made("test", 1)[1] * 2)
    assert other.name != data.name


def label_of(sun, scene, value, where=(0, 0)):
    labels = [make_indoor.frame(i + 1, classes=37)[2] for i in range(7)]
    labels[NUMBER[scene] - 1][where] = value
    make_indoor.sun_labels(sun, labels)


def lists(**changes):
    return lambda sun: make_indoor.sun_lists(sun, **({"train": TRAIN, "test": TEST} | changes))


def prefixless(sun):
    names = {key: np.array([[*value]], object) for key, value in (("alltrain", TRAIN), ("alltest", TEST))}
    scipy.io.savemat(sun / "SUNRGBDtoolbox" / sunrgbd.SPLIT, names)


def no_order(sun):
    path = sun / "SUNRGBDtoolbox" / "Metadata" / "SUNRGBDMeta.mat"
    scipy.io.savemat(path, {"SUNRGBDMeta": np.array([(1,)], dtype=[("K", object)])})


def truncate(sun):
    path = sun / "SUNRGBDtoolbox" / sunrgbd.LABELS
    path.write_bytes(path.read_bytes()[:3000])


FRAME = f"SUNRGBD/{TRAIN[0]}"
BAD = {
    "no lists": (
        lambda s: (s / "SUNRGBDtoolbox" / sunrgbd.SPLIT).unlink(),
        "allsplit.mat does not exist: the official",
    ),
    "lists damaged": (
        lambda s: (s / "SUNRGBDtoolbox" / sunrgbd.SPLIT).write_bytes(b"no"),
        "is no MATLAB file or damaged",
    ),
    "frame missing": (
        lambda s: shutil.rmtree(s / FRAME),
        r"realsense/sa/0003 does not exist, but .*partial=True",
    ),
    "train is test": (
        lists(train=[*TRAIN, TEST[0]]),
        "frame 'kv1/NYUdata/NYU0001' is in the train and in the test",
    ),
    "empty list": (lists(test=[]), "the list of test frames is empty"),
    "strange path": (prefixless, "'realsense/sa/0003' is no frame folder"),
    "climbing path": (lists(train=["../../etc"]), "is no frame folder"),
    "no labels": (
        lambda s: (s / "SUNRGBDtoolbox" / sunrgbd.LABELS).unlink(),
        "label.npy does not exist, nor does",
    ),
    "labels truncated": (truncate, "SUNRGBD2Dseg.mat cannot be read as HDF5"),
    "fewer labels": (
        lambda s: make_indoor.sun_labels(s, [np.ones((24, 32))] * 3),
        "has 3 labels for 7 frames",
    ),
    "no seglabel": (
        lambda s: h5py.File(s / "SUNRGBDtoolbox" / sunrgbd.LABELS, "w").close(),
        "has no 'SUNRGBD2Dseg/seglabel'",
    ),
    "order without names": (no_order, "names no frames"),
    "label 38": (
        lambda s: label_of(s, TRAIN[0], 38),
        r"label 4 of realsense/sa/0003: label 38 is not among 1..37",
    ),
    "label turned": (
        lambda s: make_indoor.sun_labels(s, [np.ones((32, 24))] * 7),
        r"label is 32x24 pixels .*0001.jpg is 24x32",
    ),
    "no image": (lambda s: (s / FRAME / "image" / "0001.jpg").unlink(), "image holds 0 image files"),
    "two depths": (
        lambda s: shutil.copy(s / FRAME / "depth_bfx" / "0001.png", s / FRAME / "depth_bfx" / "2.png"),
        "depth_bfx holds 2 image files",
    ),
    "8-bit depth": (
        lambda s: make_indoor.png(s / FRAME / "depth_bfx" / "0001.png", np.ones((24, 32), np.uint8)),
        "holds uint8 values; packed depth is 16-bit",
    ),
    "depth all zero": (
        lambda s: make_indoor.png(s / FRAME / "depth_bfx" / "0001.png", np.zeros((24, 32), np.uint16)),
        "depth_bfx/0001.png: every pixel is 0",
    ),
    "depth size": (
        lambda s: make_indoor.png(s / FRAME / "depth_bfx" / "0001.png", np.ones((20, 32), np.uint16)),
        r"depth is 20x32 pixels .*0001.jpg is 24x32",
    ),
    "image truncated": (
        lambda s: (s / FRAME / "image" / "0001.jpg").write_bytes(
            (s / FRAME / "image" / "0001.jpg").read_bytes()[:99]
        ),
        "0001.jpg is damaged",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tree_is_named(sun, case):
    spoil, message = BAD[case]
    spoil(sun)
    with pytest.raises(UserError, match=message):
        sunrgbd.open(sun).read(TRAIN[0], 1)


def test_bad_camera_is_named(sun):
    (sun / FRAME / "intrinsics.txt").write_text("500 0 310 0 500")
    with pytest.raises(UserError, match=r"intrinsics\.txt holds 5 numbers"):
        sunrgbd.open(sun).intrinsics(TRAIN[0])


BAD_REPACKED = {
    "label only for the other numbering": (
        lambda r: (r / "sunrgbd_train_test_labels" / "img-005052.png").rename(r / "sunrgbd_train_test_labels" / "img-9.png"),
        "has no label 5052, which belongs to train frame 2",
    ),
    "depth missing": (lambda r: (r / "sunrgbd_test_depth" / "3.png").unlink(), "has frame 3, .*test_depth has not"),
    "same number twice": (
        lambda r: shutil.copy(r / "sunrgbd_test_depth" / "3.png", r / "sunrgbd_test_depth" / "003.png"),
        "003.png and 3.png have the same number",
    ),
    "no frames": (
        lambda r: [f.unlink() for d in ("SUNRGBD-test_images", "sunrgbd_test_depth") for f in (r / d).iterdir()],
        "the list of test frames is empty",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_REPACKED)
def test_bad_repacked_folder_is_named(repacked, case):
    spoil, message = BAD_REPACKED[case]
    spoil(repacked)
    with pytest.raises(UserError, match=message):
        sunrgbd.open(repacked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 40}, "sunrgbd has 37 or 13 classes; classes=40 is neither"),
        ({"depth": "bfx"}, "unknown depth 'bfx'"),
        ({"depth_factor": -1}, "depth_factor=-1 is neither counts per metre"),
        ({"depth_factor": "mm"}, "depth_factor='mm' is neither counts per metre"),
    ],
)
def test_bad_option_is_named(tiny_sun, options, message):
    with pytest.raises(UserError, match=message):
        sunrgbd.open(tiny_sun, **options)


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "rgb").mkdir()
    assert sunrgbd.detect(tmp_path) is None
    with pytest.raises(UserError, match="is not the re-packed SUN RGB-D"):
        sun_repacked.open(tmp_path)
