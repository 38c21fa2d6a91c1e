import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import make_indoor
import numpy as np
import pytest
from make_indoor import SIZE, frame, jpg, levels, pack, palette, png, text

from rgbd_lib.datasets import hha, indoor, layouts
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError

TRAIN, TEST = (1, 2, 4), (3, 5)  # official numbers


def zero_based(label: np.ndarray) -> np.ndarray:
    """Labels as 0..K-1 with 255 for void."""
    return np.where(label == 0, 255, label.astype(int) - 1).astype(np.uint8)


def cen(root: Path) -> Path:
    """Depth is the full 30x40 frame, colour and label its middle 24x32."""
    for part, numbers in (("train", TRAIN), ("val", TEST)):
        for n in numbers:
            rgb, depth, label = frame(n, (30, 40))
            png(root / "rgb" / f"{n:06d}.png", indoor.crop_to(rgb, SIZE))
            png(root / "masks" / f"{n:06d}.png", zero_based(indoor.crop_to(label, SIZE)))
            png(root / "depth" / f"{n:06d}.png", depth * 5)
        lines = [f"rgb/{n:06d}.png\tmasks/{n:06d}.png\tdepth/{n:06d}.png" for n in numbers]
        text(root / f"{part}.txt", lines)
    return root


def gemini_sun(root: Path) -> Path:
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            rgb, depth, label = frame(n, classes=37)
            jpg(root / "RGB" / f"{part}_{n}.jpg", smooth(rgb))
            png(root / "Depth" / f"{part}_{n}.png", pack(depth))
            png(root / "labels" / f"{part}_{n}.png", label.astype(np.uint8))
        lines = [f"RGB/{part}_{n}.jpg\tlabels/{part}_{n}.png\tDepth/{part}_{n}.png" for n in numbers]
        text(root / f"{part}.txt", lines)
    return root


def by_name(label: str, *, classes: int, npy: bool = False, with_hha: bool = False, depth: bool = True, x: str = "Depth",
            line: str = "RGB/{0}.jpg\t{label}/{0}.png") -> Callable[[Path], Path]:  # fmt: skip
    """Return a builder of the layouts whose lists name frames; file 0 is official frame 1."""

    def build(root: Path) -> Path:
        for part, numbers in (("train", TRAIN), ("test", TEST)):
            for n in numbers:
                rgb, millimetres, stored = frame(n, classes=classes)
                jpg(root / "RGB" / f"{n - 1}.jpg", smooth(rgb))
                palette(root / label / f"{n - 1}.png", stored)
                if with_hha:
                    jpg(root / "HHA" / f"{n - 1}.jpg", smooth(rgb[::-1]))
                if depth and npy:
                    (root / x).mkdir(exist_ok=True)
                    np.save(root / x / f"{n - 1}.npy", millimetres.astype(np.float32) / 1000)
                elif depth:
                    grey = levels(millimetres)
                    png(
                        root / x / f"{n - 1}.png", np.dstack([grey, grey, grey, np.full(SIZE, 255, np.uint8)])
                    )
            text(root / f"{part}.txt", [line.format(n - 1, label=label) for n in numbers])
        return root

    return build


def esanet_nyu(root: Path) -> Path:
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            rgb, depth, label = frame(n)
            place = root / part
            png(place / "rgb" / f"{n:04d}.png", rgb)
            png(place / "depth" / f"{n:04d}.png", np.where(depth > 0, depth, 2500).astype(np.uint16))
            png(place / "depth_raw" / f"{n:04d}.png", depth)
            png(place / "labels_40" / f"{n:04d}.png", label.astype(np.uint8))
            png(place / "labels_13" / f"{n:04d}.png", (label % 14).astype(np.uint8))
        text(root / f"{part}.txt", [f"{n:04d}" for n in numbers])
    return root


def esanet_sun(root: Path) -> Path:
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        lists: dict[str, list[str]] = {"rgb": [], "depth": [], "label": []}
        for n in numbers:
            folder = f"SUNRGBD/kv2/{part}/{n:04d}"
            make_indoor.sun_frame(root / folder, n)
            (root / folder / "label").mkdir()
            np.save(root / folder / "label" / "label.npy", frame(n, classes=37)[2].astype(np.uint8))
            for key, file in (
                ("rgb", "image/0001.jpg"),
                ("depth", "depth_bfx/0001.png"),
                ("label", "label/label.npy"),
            ):
                lists[key].append(f"{folder}/{file}".replace("kv2/", "kv2//"))
        for key, lines in lists.items():
            text(root / f"{part}_{key}.txt", lines)
    return root


def fusenet_sun(root: Path) -> Path:
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            rgb, depth, label = frame(n, classes=37)
            png(root / "images-224" / f"{n}.png", rgb)
            png(root / "depth-inpaint-u8-224" / f"{n}.png", levels(depth))
            png(root / "seglabel-224" / f"{n}.png", label.astype(np.uint8))
        text(root / f"{part}.txt", [str(n) for n in numbers])
    (root / "splits.pkl").write_bytes(b"\x80\x04.")
    return root


def smooth(rgb: np.ndarray) -> np.ndarray:
    """Replace a picture by its mean colour: JPEG keeps that within a count."""
    return np.broadcast_to(rgb.mean((0, 1)).astype(np.uint8), rgb.shape).copy()


@dataclass(frozen=True)
class Family:
    build: Callable[[Path], Path]
    said: str  # what the decision must say
    classes: int
    scene: str  # of official frame 4, in train
    metric: bool = True
    lossy: bool = True


FAMILIES = {
    "cen": Family(cen, "nyuv2 as CEN, TokenFusion, GeminiFusion", 40, "000004", lossy=False),
    "gemini sun": Family(gemini_sun, "sunrgbd as GeminiFusion", 37, "train_4"),
    "sa-gate": Family(
        by_name("Label", classes=40, npy=True, with_hha=True), "nyuv2 as SA-Gate, CMX, PrimKD", 40, "3"
    ),
    "dformer": Family(
        by_name("Label", classes=40, line="RGB/{0}.jpg {label}/{0}.png"), "nyuv2 as DFormer", 40, "3", False
    ),
    "dformer sun": Family(
        by_name("labels", classes=37, line="RGB/{0}.jpg"), "sunrgbd as DFormer", 37, "3", False
    ),
    "cmx": Family(by_name("Label", classes=40, npy=True, x="Range", line="{0}"), "nyuv2 as CMX", 40, "3"),
    "esanet": Family(esanet_nyu, "nyuv2 as ESANet, EMSANet", 40, "0004", lossy=False),
    "esanet sun": Family(esanet_sun, "sunrgbd as ESANet", 37, "kv2/train/0004", lossy=False),
    "fusenet": Family(fusenet_sun, "sunrgbd as FuseNet port", 37, "4", False, lossy=False),
    "primkd sun": Family(
        by_name("labels", classes=37, with_hha=True, depth=False), "sunrgbd as PrimKD", 37, "3", False
    ),
}


def expected(family: str) -> tuple[np.ndarray, ...]:
    """What official frame 4 must read as."""
    rgb, depth, label = frame(4, (30, 40) if family == "cen" else SIZE, FAMILIES[family].classes)
    if family == "cen":
        rgb, depth, label = (indoor.crop_to(a, SIZE) for a in (rgb, depth, label))
    if family in ("esanet", "esanet sun"):
        depth = np.where(depth > 0, depth, 2500)
    if family == "primkd sun":
        depth = smooth(rgb[::-1])[..., 0]
    elif not FAMILIES[family].metric:
        depth = levels(depth)
    rgb = smooth(rgb) if FAMILIES[family].lossy else rgb
    return rgb, depth, np.where(label == 0, IGNORE, label.astype(int) - 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_recognised_and_read(family, tmp_path):
    told = FAMILIES[family]
    data = layouts.open(told.build(tmp_path / "data"))
    assert told.said in layouts.detect(tmp_path / "data")
    assert told.said in data.decision
    assert len(data.classes) == told.classes
    assert sorted((*data.split("train"), *data.split("val"))) == sorted(data.lists["train"])
    assert (len(data.lists["train"]), len(data.lists["test"])) == (3, 2)
    rgb, depth, label = expected(family)
    read = data.read(told.scene, 1)
    np.testing.assert_allclose(read.rgb.astype(int), rgb, atol=1 if told.lossy else 0)
    np.testing.assert_allclose(read.depth.astype(int), depth, atol=1 if family == "primkd sun" else 0)
    np.testing.assert_array_equal(read.valid, read.depth > 0)
    np.testing.assert_array_equal(read.label, label)
    assert data.depth_kind.unit == ("mm" if told.metric else "level")
    assert all(file.is_file() for file in data.files())
    assert any("3 train and 2 test frames, not" in note for note in data.notes)


@pytest.mark.parametrize("family", FAMILIES)
def test_open_dataset_finds_the_reader(family, tmp_path):
    data = open_dataset(FAMILIES[family].build(tmp_path / "data"))
    assert FAMILIES[family].said in data.decision


def test_centre_crop_of_cen_is_the_published_one():
    full = np.arange(480 * 640).reshape(480, 640)
    cut = indoor.crop_to(full, (468, 625))
    assert cut.shape == (468, 625)
    assert cut[0, 0] == 6 * 640 + 7


def test_camera_moves_with_the_crop_and_scales_with_the_size(tmp_path):
    data = layouts.open(cen(tmp_path / "cen"))
    png(tmp_path / "cen" / "rgb" / "000004.png", np.zeros((468, 625, 3), np.uint8))
    np.testing.assert_allclose(data.intrinsics("000004")[:2, 2], [325.5824 - 7, 253.7362 - 6])
    assert layouts.open(esanet_nyu(tmp_path / "esa")).intrinsics("0004")[0, 0] == pytest.approx(518.8579 / 20)
    assert layouts.open(esanet_sun(tmp_path / "sun")).intrinsics("kv2/train/0004")[0, 0] == 504
    assert layouts.open(gemini_sun(tmp_path / "gem")).intrinsics("train_4") is None


def test_camera_of_a_read_frame_gives_hha(tmp_path):
    data = layouts.open(esanet_nyu(tmp_path / "esa"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random depth has no floor
        picture = hha.encode(data.read("0004", 1).depth / 1000, data.intrinsics("0004"))
    assert picture.shape == (*SIZE, 3)


def test_kinds_of_depth_can_be_chosen(tmp_path):
    root = esanet_nyu(tmp_path / "esa")
    raw = layouts.open(root, depth="raw")
    np.testing.assert_array_equal(raw.read("0004", 1).depth, frame(4)[1])
    gate = FAMILIES["sa-gate"].build(tmp_path / "gate")
    seen = layouts.open(gate, depth="hha")
    np.testing.assert_allclose(seen.read("3", 1).depth, smooth(frame(4)[0][::-1])[..., 0], atol=1)
    assert (raw.name, seen.name) == ("nyuv2-raw", "nyuv2-hha")
    assert "disparity" in seen.decision


def test_ready_made_13_class_labels_are_used_where_there_are_any(tmp_path):
    stored = frame(4)[2] % 14
    data = layouts.open(esanet_nyu(tmp_path / "esa"), classes=13)
    np.testing.assert_array_equal(
        data.read("0004", 1).label, np.where(stored == 0, IGNORE, stored.astype(int) - 1)
    )
    assert layouts.open(cen(tmp_path / "cen"), classes="13").classes == indoor.INDOOR13


def test_depth_factor_replaces_the_family_s(tmp_path):
    data = layouts.open(cen(tmp_path / "cen"), depth_factor=10_000)
    ours, usual = (d.read("000004", 1).depth for d in (data, layouts.open(tmp_path / "cen")))
    np.testing.assert_allclose(ours, usual / 2, atol=0.51)
    assert data.name != "nyuv2"


def test_saturated_depth_is_missing(tmp_path):
    root = esanet_nyu(tmp_path / "esa")
    depth = frame(4)[1]
    depth[5] = 65535
    png(root / "train" / "depth" / "0004.png", depth)
    assert not layouts.open(root).read("0004", 1).valid[5].any()


def test_wrong_factor_is_remarked_on(tmp_path):
    data = layouts.open(cen(tmp_path / "cen"), depth_factor=50000)
    with pytest.warns(UserWarning, match=r"000004.png: median depth 0\.\d+ m is outside 0.5..6 m"):
        data.read("000004", 1)


def test_labels_that_contradict_the_family_decide(tmp_path):
    root = esanet_nyu(tmp_path / "esa")
    for file in root.glob("*/labels_40/*.png"):
        png(file, zero_based(frame(int(file.stem))[2]))
    data = layouts.open(root)
    label = frame(4)[2]
    np.testing.assert_array_equal(data.read("0004", 1).label, zero_based(label))
    assert any("unlike the rest of ESANet" in note for note in data.notes)


@pytest.mark.parametrize(
    ("values", "default", "void"),
    [
        ((0, 3, 40), 255, 0),  # only 1..40 has a 40
        ((0, 3, 39, 255), 0, 255),
        ((1, 3, 39, 255), 0, 0),  # 0 never occurs: nothing contradicts the default
        ((0, 3, 39), 0, 0),
        ((0, 3, 39), 255, 255),
        ((0, 40, 255), 255, 0),  # 255 as a second void
    ],
)
def test_void_value_follows_from_the_values(values, default, void):
    assert indoor.guess_void([np.array([values])], 40, default) == void


def test_void_value_can_be_said(tmp_path):
    data = layouts.open(cen(tmp_path / "cen"), void=0)  # wrong for these files, but the user's word goes
    assert "labels 1..40, void 0" in data.decision
    assert data.read("000004", 1).label.max() == IGNORE
    assert data.name == "nyuv2-void0"


def test_label_rule_covers_every_value_once():
    for void in (0, 255):
        rule = indoor.LabelRule(void, 40, 40)
        first = int(void == 0)
        stored = np.arange(first, 40 + first)
        np.testing.assert_array_equal(rule.apply(stored, ""), np.arange(40))
        assert rule.apply(np.array([void, 255]), "").tolist() == [IGNORE, IGNORE]
        for wrong in (40 + first, 254, 256, -1):
            with pytest.raises(UserError, match=f"here: label {wrong} is not among"):
                rule.apply(np.array([1, wrong]), "here")


def test_a_folder_that_describes_itself_is_left_alone(tmp_path):
    root = cen(tmp_path / "cen")
    (root / "dataset.toml").write_text("")
    assert layouts.detect(root) is None
    assert layouts.detect(tmp_path) is None
    assert layouts.detect(root / "train.txt") is None


def rewrite(name, *lines):
    return lambda root: text(root / name, lines)


def first(name, change):
    return lambda root: text(
        root / name, [change(x) if i == 0 else x for i, x in enumerate(lines_of(root / name))]
    )


def lines_of(path):
    return path.read_text().splitlines()


def swapped(line):
    rgb, mask, depth = line.split("\t")
    return "\t".join((rgb, depth, mask))


def only_pickle(root):
    (root / "train.txt").unlink()


ONE = "000001.png"
BAD = {
    "empty list": (
        "cen",
        rewrite("train.txt", ""),
        "train.txt is empty: paths of colour, label, depth expected",
    ),
    "no list": ("cen", lambda r: (r / "val.txt").unlink(), "val.txt does not exist: a list of frames"),
    "two columns": (
        "cen",
        first("train.txt", lambda x: x.rpartition("\t")[0]),
        "train.txt line 1 has 2 columns, wanted 3",
    ),
    "four columns": ("cen", first("val.txt", lambda x: x + "\t1"), "val.txt line 1 has 4 columns, wanted 3"),
    "depth before label": ("cen", first("train.txt", swapped), "train.txt line 1: depth before label"),
    "file of a list missing": (
        "cen",
        lambda r: (r / "masks" / ONE).unlink(),
        rf"masks/{ONE} does not exist, but .*train.txt",
    ),
    "depth file missing": (
        "esanet",
        lambda r: (r / "test" / "depth" / "0005.png").unlink(),
        r"0005.png does not exist",
    ),
    "twice": (
        "cen",
        lambda r: text(r / "val.txt", lines_of(r / "val.txt") * 2),
        "frame '000003' is twice in the test list",
    ),
    "trained on test": (
        "esanet",
        lambda r: esanet_overlap(r),
        "frame '0001' is in the train and in the test list",
    ),
    "absolute path": (
        "cen",
        first("train.txt", lambda x: "/data/" + x),
        "'/data/rgb/000001.png' must be a path below",
    ),
    "climbing path": ("cen", first("train.txt", lambda x: "../" + x), "must be a path below"),
    "pairs that differ": (
        "sa-gate",
        rewrite("test.txt", "RGB/2.jpg\tLabel/4.png"),
        "colour '2' is paired with label '4'",
    ),
    "name with a folder": (
        "esanet",
        rewrite("train.txt", "train/rgb/0001.png x y"),
        "line 1 has 3 columns, wanted 1 or 2",
    ),
    "binary list": (
        "esanet",
        lambda r: (r / "train.txt").write_bytes(b"\xff\xfe\x00\x01"),
        "is no text list",
    ),
    "pickle": (
        "fusenet",
        only_pickle,
        r"splits.pkl is a pickle, .* it is not read. Write the names of the frames into train",
    ),
    "lists of other lengths": (
        "esanet sun",
        rewrite("train_depth.txt", "a"),
        "train_depth.txt has 1 lines, train_rgb.txt 3",
    ),
    "list of depth missing": (
        "esanet sun",
        lambda r: (r / "train_depth.txt").unlink(),
        "train_depth.txt does not exist: colour",
    ),
    "colour and label differ": (
        "cen",
        lambda r: png(r / "masks" / ONE, np.zeros((20, 32), np.uint8)),
        rf"masks/{ONE}: label is 20x32 pixels .*rgb/{ONE} is 24x32",
    ),
    "depth smaller": (
        "cen",
        lambda r: png(r / "depth" / ONE, np.ones((20, 40), np.uint16)),
        rf"depth/{ONE}: depth is 20x40 pixels",
    ),
    "depth larger elsewhere": (
        "esanet",
        lambda r: png(r / "train" / "depth" / "0001.png", np.ones((48, 64), np.uint16)),
        "0001.png: depth is 48x64 pixels",
    ),
    "label beyond the classes": (
        "cen",
        lambda r: png(r / "masks" / ONE, np.full(SIZE, 77, np.uint8)),
        rf"masks/{ONE}: label 77 is not among 0..39 \(void: 255, 255\)",
    ),
    "label of 16 bits": (
        "esanet",
        lambda r: png(r / "train" / "labels_40" / "0001.png", np.full(SIZE, 700, np.uint16)),
        "0001.png: label 700 is not among 1..40",
    ),
    "labels in colours": (
        "fusenet",
        lambda r: png(r / "seglabel-224" / "1.png", frame(9)[0]),
        "1.png has 3 different channels",
    ),
    "depth in colours": (
        "fusenet",
        lambda r: png(r / "depth-inpaint-u8-224" / "1.png", frame(9)[0]),
        "1.png has 3 different channels",
    ),
    "depth of another type": (
        "esanet",
        lambda r: (
            png(r / "train" / "depth" / "0001.png", np.full(SIZE, 2000, np.uint16))
            and png(r / "train" / "depth" / "0004.png", np.ones(SIZE, np.uint8))
        ),
        "0004.png holds uint8 values, the first depth file uint16",
    ),
    "depth all zero": (
        "cen",
        lambda r: png(r / "depth" / ONE, np.zeros((30, 40), np.uint16)),
        rf"depth/{ONE}: every pixel is 0, no depth was measured",
    ),
    "colour truncated": (
        "cen",
        lambda r: (r / "rgb" / ONE).write_bytes((r / "rgb" / ONE).read_bytes()[:200]),
        rf"rgb/{ONE} is damaged: the file ends early",
    ),
    "depth is no array": (
        "sa-gate",
        lambda r: np.save(r / "Depth" / "0.npy", np.array([{"depth": 1}])),
        "0.npy is no array file that can be read",
    ),
}


def esanet_overlap(root: Path) -> None:
    for folder in ("rgb", "depth", "labels_40"):
        (root / "test" / folder / "0001.png").write_bytes((root / "train" / folder / "0001.png").read_bytes())
    text(root / "test.txt", ["0001", "0003"])


def read_all(root: Path) -> None:
    data = layouts.open(root)
    for scene in data.scenes:
        data.read(scene, 1)


@pytest.mark.parametrize("case", BAD)
def test_bad_folder_is_named(case, tmp_path):
    family, spoil, message = BAD[case]
    spoil(FAMILIES[family].build(tmp_path / "data"))
    with pytest.raises(UserError, match=message):
        read_all(tmp_path / "data")


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("cen", {"classes": 37}, "nyuv2 has 40 or 13 classes"),
        ("fusenet", {"classes": 40}, "sunrgbd has 37 or 13 classes"),
        ("esanet", {"depth": "hha"}, "unknown depth 'hha'. Known: filled, raw"),
        ("cen", {"void": 1}, "void=1 is neither 0"),
        ("cen", {"data": "sun"}, "unknown data 'sun'"),
    ],
)
def test_bad_option_is_named(family, options, message, tmp_path):
    root = FAMILIES[family].build(tmp_path / "data")
    with pytest.raises(UserError, match=message):
        layouts.open(root, **options)


def test_a_folder_of_no_known_layout_is_told_what_is_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"has no known indoor layout: CEN.*: rgb/ masks/ depth/"):
        layouts.open(tmp_path)


def test_one_channel_colour_is_repeated(tmp_path):
    root = esanet_nyu(tmp_path / "esa")
    grey = frame(4)[0][..., 0]
    png(root / "train" / "rgb" / "0004.png", grey)
    np.testing.assert_array_equal(layouts.open(root).read_rgb("0004"), np.dstack([grey] * 3))


def test_official_numbers_follow_from_the_names():
    known = {layout.family: layout for layout in layouts.LAYOUTS if layout.data == "nyuv2"}
    assert layouts.official_number(known["CEN, TokenFusion, GeminiFusion"], "000001") == 1
    assert layouts.official_number(known["SA-Gate, CMX, PrimKD"], "0") == 1
    assert layouts.official_number(known["DFormer"], "0") is None


def test_the_decision_says_how_files_are_numbered(tmp_path):
    assert (
        "'0' is frame 1 of the official file"
        in layouts.open(FAMILIES["sa-gate"].build(tmp_path / "gate")).decision
    )
    assert "'0001' is frame 1" in layouts.open(esanet_nyu(tmp_path / "esa")).decision
