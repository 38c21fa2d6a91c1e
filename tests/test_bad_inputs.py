"""Broken data: each is either one clear line that names the file, or read all the same."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from damage import (
    Damage,
    cut,
    dangling,
    directory,
    each,
    flip,
    gone,
    ids,
    image,
    jpeg,
    mapping,
    put,
    swap,
    toml,
)
from make_data import write

from rgbd_lib.datasets.base import Dataset
from rgbd_lib.datasets.mm5_tables import CLASSES
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError


def read_all(data: Dataset) -> None:
    """Use everything a training would."""
    for scene in data.scenes:
        data.read(scene, data.lightings[0])
        for lighting in data.lightings:
            data.read_rgb(scene, lighting)


def use(root: Path) -> None:
    data = open_dataset(root)
    read_all(data)
    for name in ("train", "val", "test"):
        data.split(name, "grouped")


H, W = 48, 64
LEVELS = np.arange(H * W, dtype=np.uint16).reshape(H, W)
SMALL = (LEVELS[::2, ::2] % 3).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 255, (H, W, 3)).astype(np.uint8)
FRAMED = np.pad(COLOURS[4:-4, 4:-4], ((4, 4), (4, 4), (0, 0)), constant_values=255)
NAMES = "".join(f"{k},{name}\n" for k, name in enumerate(CLASSES) if k)

BAD_MM5: dict[str, tuple[Damage, str]] = {
    "cut image": (cut("RGB3/2.png"), "RGB3/2.png is damaged: the file ends early"),
    "image cut in its header": (cut("RGB3/2.png", 20), "RGB3/2.png is damaged: the file ends early"),
    "flipped byte in an image": (flip("RGB8/5.png"), "RGB8/5.png is damaged: a wrong checksum"),
    "flipped byte in depth": (flip("D16/5.png"), "D16/5.png is damaged: a wrong checksum"),
    "cut label": (cut("ANNO_CLASS/7.png"), "ANNO_CLASS/7.png is damaged"),
    "file of no bytes": (put("RGB1/1.png", b""), "RGB1/1.png is empty (0 bytes)"),
    "web page as image": (put("RGB1/1.png", "<html>"), "RGB1/1.png is no image that can be read"),
    "folder as image": (directory("RGB1/1.png"), "RGB1/1.png cannot be read: Is a directory"),
    "dangling link": (dangling("RGB1/1.png"), "RGB1/1.png cannot be read: No such file"),
    "16-bit colour": (image("RGB2/1.png", np.dstack([LEVELS] * 3)), "RGB2/1.png holds uint16 values; a colour image"),
    "colour of another size": (image("RGB1/1.png", COLOURS[::2, ::2]), "RGB1/1.png is 24x32"),
    "depth of another size": (image("D16/1.png", LEVELS[:, :32]), "D16/1.png is 48x32, but"),
    "label of another size": (image("ANNO_CLASS/1.png", SMALL), "ANNO_CLASS/1.png is 24x32, but"),
    "8-bit D16": (image("D16/1.png", COLOURS[:, :, 0]), "D16/1.png holds uint8 values where 16-bit millimetres"),
    "colour-coded D16": (image("D16/1.png", COLOURS), "D16/1.png has 3 different channels"),
    "colours as label": (image("ANNO_CLASS/1.png", COLOURS), "a picture of the classes in colours is not a label"),
    "label outside": (image("ANNO_CLASS/1.png", np.full((H, W), 77, np.uint8)), "holds label 77, which"),
    "16-bit label outside": (image("ANNO_CLASS/1.png", LEVELS), "ANNO_CLASS/1.png holds label 3071"),
    "JPEG as label": (jpeg("ANNO_CLASS/1.png"), "ANNO_CLASS/1.png is a JPEG file, which alters label values"),
    "no mapping": (gone("label_mapping.csv", "classes.txt"), "none of label_mapping.csv, label_mapping.json, classes.txt"),
    "unknown class": (swap("label_mapping.csv", "Onion Red", "Onion Rad"), "Did you mean 'Onion Red'?"),
    "class missing": (swap("label_mapping.csv", "31,Carrot Fake", ""), "'Carrot Fake' is missing"),
    "collapsed mapping": (mapping("ID,Label Name\n1,Lemon\n"), "names 1 of MM5's 31 classes"),
    "class id no number": (swap("label_mapping.csv", "31,", "x,"), "class 'Carrot Fake' has the id 'x'"),
    "class id too large": (swap("label_mapping.csv", "31,", "310,"), "class 'Carrot Fake' has the id '310'"),
    "id of two classes": (swap("label_mapping.csv", "31,", "30,"), "id 30 stands for 'Carrot' and for 'Carrot Fake'"),
    "class of two ids": (mapping(f"ID,Label Name\n{NAMES}40,Pear\n"), "class 'Pear' has more than one id"),
    "mapping of prose": (mapping("see the paper"), "label_mapping.csv is neither a table 'ID,Label Name' nor"),
    "empty list": (put("train_dataset.csv", ""), "train_dataset.csv is empty"),
    "list of commas": (put("eval_dataset.csv", ",,,\n,,\n"), "eval_dataset.csv is empty"),
    "list of a header": (ids(), "train_dataset.csv has a header and no scene below it"),
    "list without ID": (put("train_dataset.csv", "Number,Category\n1,x\n"), "train_dataset.csv: no column ID"),
    "id no number": (ids(1, "abc"), "train_dataset.csv line 3: id 'abc' is no whole number"),
    "id of a fraction": (ids("1.5"), "train_dataset.csv line 2: id '1.5' is no whole number"),
    "id infinite": (ids("inf"), "id 'inf' is no whole number"),
    "id below zero": (ids("-3"), "id '-3' is no whole number"),
    "row without id": (ids(""), "train_dataset.csv line 2: id '' is no whole number"),
    "scene in both lists": (ids(1, 4), "scene 4 is in both train_dataset.csv and eval_dataset.csv"),
    "no depth folder": (gone("D16"), "has no depth folder D16; there is D, D_FocusN"),
    "no depth at all": (gone("D16", "D", "D_FocusN"), "has no depth folder D16; there is no other either"),
    "no scene complete": (lambda root: (gone("RGB4")(root), (root / "RGB4").mkdir()), "RGB4/1.png is missing"),
    "marker of prose": (put("synthetic.json", "yes"), "synthetic.json cannot be read"),
    "marker of a list": (put("synthetic.json", "[]"), "synthetic.json holds no JSON object"),
    "data unfinished": (put("synthetic.json", json.dumps({"complete": False})), "is not finished; run `rgbd data synth"),
    "no label folder": (gone("ANNO_CLASS"), "holds no data set that is known"),
}  # fmt: skip

BAD_FOLDER: dict[str, tuple[Damage, str]] = {
    "toml syntax": (put("dataset.toml", "name = kitchen"), "dataset.toml is not valid TOML"),
    "toml not UTF-8": (put("dataset.toml", b'name = "K\xfcche"'), "dataset.toml is not UTF-8 text"),
    "toml as folder": (lambda root: (gone("dataset.toml")(root), (root / "dataset.toml").mkdir()), "no dataset.toml to say"),
    "no toml": (gone("dataset.toml"), "but no dataset.toml to say what they mean"),
    "empty toml": (put("dataset.toml", ""), "the key 'name' is missing"),
    "no classes": (put("dataset.toml", 'name = "a"'), "the key 'classes' is missing"),
    "unknown key": (toml("scale = 5"), "unknown key 'depth.scale'"),
    "misspelled key": (toml("metres_per_cuont = 1"), "Did you mean 'depth.metres_per_count'?"),
    "unknown section": (toml("[labels]\noffset = 1"), "unknown key 'labels'. Did you mean '[label]'?"),
    "section is a value": (toml("", '[depth]\nmetres_per_count', 'depth'), "'depth' is 0.001; it must be a section"),
    "scale is text": (toml("", "0.001", '"1 mm"'), "depth.metres_per_count = '1 mm', but it must be a number above 0"),
    "scale is zero": (toml("", "0.001", "0"), "depth.metres_per_count = 0, but it must be a number above 0"),
    "scale is no number": (toml("", "0.001", "nan"), "depth.metres_per_count = nan"),
    "scale is true": (toml("", "0.001", "true"), "depth.metres_per_count = True"),
    "name is a number": (toml("", '"kitchen"', "5"), "name = 5, but it must be a text"),
    "one class": (toml("", ', "cup", "plate"', ""), "it must be a list of two or more names"),
    "class twice": (toml("", '"plate"', '"cup"'), "class 'cup' is named twice"),
    "background unknown": (toml("", 'background = "nothing"', 'background = "nothin"'), "Did you mean 'nothing'?"),
    "offset below zero": (toml("[label]\noffset = -1"), "label.offset = -1, but it must be a whole number"),
    "offset a fraction": (toml("[label]\noffset = 0.5"), "label.offset = 0.5"),
    "ignore a number": (toml("[label]\nignore = 255"), "label.ignore = 255, but it must be a list of whole numbers"),
    "pattern broken": (toml("[splits]\nrun_pattern = '(a'"), "splits.run_pattern = '(a' is no regular expression"),
    "pattern without group": (toml("[splits]\nrun_pattern = 'a'"), "has no group; put the run in ( )"),
    "no label folder": (gone("label"), "has no folder label/; there is depth, rgb"),
    "no colour folder": (gone("rgb"), "has no folder rgb/; there is depth, label"),
    "empty folder": (lambda root: (gone("depth")(root), (root / "depth").mkdir()), "depth holds no image (it is empty)"),
    "other endings": (each("depth", lambda p: p.rename(p.with_suffix(".raw"))), "6 files with other"),
    "scene twice": (put("rgb/frame_0.jpg", b""), "scene 'frame_0' is there twice, frame_0.jpg and frame_0.png"),
    "no common names": (each("depth", lambda p: p.rename(p.with_name(f"d{p.name}"))), "no name is common"),
    "numbered and plain": (lambda r: shutil.copytree(r / "rgb", r / "rgb2"), "has rgb/ and rgb2/"),
    "list of a stranger": (put("train.txt", "frame_0\nframe_9"), "train.txt line 2: no scene 'frame_9'"),
    "list with a repeat": (put("train.txt", "frame_0\nframe_0.png"), "train.txt line 2: scene 'frame_0' is listed twice"),
    "empty list": (put("test.txt", "\n# nothing\n"), "test.txt names no scene"),
    "lists overlap": (lambda r: (put("train.txt", "frame_0")(r), put("val.txt", "frame_0")(r)), "train.txt and in val.txt"),
    "labels from 1": (image("label/frame_1.png", np.full((H, W), 3, np.uint8)), "holds label 3, but dataset.toml has 3"),
    "label of another size": (image("label/frame_1.png", SMALL), "label/frame_1.png is 24x32, but"),
    "depth of another size": (image("depth/frame_1.png", LEVELS.T.copy()), "depth/frame_1.png is 64x48, but"),
    "depth of other bits": (image("depth/frame_1.png", COLOURS[:, :, 0]), "frame_1.png holds uint8 values, other"),
    "depth in colours": (image("depth/frame_1.png", COLOURS), "depth/frame_1.png has 3 different channels"),
    "array of text": (each("depth", lambda p: (np.save(p.with_suffix(".npy"), np.array([["a"]])), p.unlink())),
                      "rows x columns of numbers expected"),
    "array cut": (each("depth", lambda p: (p.with_suffix(".npy").write_bytes(b"\x93NUMPY\1\0"), p.unlink())),
                  "is no array file that can be read"),
    "cut image": (cut("rgb/frame_2.png"), "rgb/frame_2.png is damaged: the file ends early"),
}  # fmt: skip


def fails(root: Path, damage: Damage, says: str) -> None:
    use(root)  # whole before it is broken
    damage(root)
    with pytest.raises(UserError) as caught:
        use(root)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert str(root) in message


@pytest.mark.parametrize(("damage", "says"), BAD_MM5.values(), ids=BAD_MM5.keys())
def test_broken_mm5_is_one_clear_line(mm5_copy: Path, damage: Damage, says: str):
    fails(mm5_copy, damage, says)


@pytest.mark.parametrize(("damage", "says"), BAD_FOLDER.values(), ids=BAD_FOLDER.keys())
def test_broken_folder_is_one_clear_line(folder_copy: Path, damage: Damage, says: str):
    fails(folder_copy, damage, says)


TOLERATED: dict[str, tuple[str, Damage]] = {
    "alpha channel": ("rgb/frame_0.png", lambda p: cv2.imwrite(str(p), np.dstack([COLOURS, COLOURS[:, :, 0]]))),
    "1-channel colour": ("rgb/frame_0.png", lambda p: write(p, COLOURS[:, :, 0])),
    "JPEG named PNG": ("rgb/frame_0.png", lambda p: p.write_bytes(cv2.imencode(".jpg", COLOURS)[1].tobytes())),
    "white frame": ("rgb/frame_0.png", lambda p: write(p, FRAMED)),
    "constant depth": ("depth/frame_0.png", lambda p: write(p, np.full((H, W), 800, np.uint16))),
    "half the depth missing": ("depth/frame_0.png", lambda p: write(p, np.where(LEVELS % 2, 700, 0).astype(np.uint16))),
    "no depth in a frame": ("depth/frame_0.png", lambda p: write(p, np.zeros((H, W), np.uint16))),
    "depth of 65535": ("depth/frame_0.png", lambda p: write(p, np.full((H, W), 65535, np.uint16))),
    "depth of three channels": ("depth/frame_0.png", lambda p: write(p, np.dstack([LEVELS] * 3))),
    "label of three channels": ("label/frame_0.png", lambda p: write(p, np.dstack([(LEVELS % 3).astype(np.uint8)] * 3))),
    "16-bit label": ("label/frame_0.png", lambda p: write(p, (LEVELS % 3).astype(np.uint16))),
    "label all void": ("label/frame_0.png", lambda p: write(p, np.full((H, W), 255, np.uint8))),
    "missing partner": ("depth/frame_0.png", Path.unlink),
    "toml with a byte order mark": ("dataset.toml", lambda p: p.write_bytes(b"\xef\xbb\xbf" + p.read_bytes())),
}  # fmt: skip


@pytest.mark.parametrize(("path", "change"), TOLERATED.values(), ids=TOLERATED.keys())
def test_odd_but_readable(folder_copy: Path, path: str, change: Damage):
    change(folder_copy / path)
    use(folder_copy)


def test_a_file_that_may_not_be_read(tiny_mm5: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    data = open_dataset(tiny_mm5)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"RGB1/1\.png cannot be read: Permission denied"):
        data.read("1", 1)


def test_a_folder_that_may_not_be_read(tiny_mm5: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        open_dataset(tiny_mm5)


def test_paths_that_are_no_data(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing here")
    for path, says in (
        (tmp_path / "nowhere", "does not exist. Make data with `rgbd data synth`"),
        (tmp_path / "empty", "is an empty folder"),
        (tmp_path / "notes.txt", "is a file of no known kind"),
        (tmp_path, "holds no data set that is known (empty, notes.txt)"),
    ):
        with pytest.raises(UserError) as caught:
            open_dataset(path)
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"depth": "D_FocsN"}, "Did you mean 'D_FocusN'?"),
        ({"depth": "D_Focus"}, "has no depth folder D_Focus; there is D16, D, D_FocusN"),
        ({"labels": "10"}, "unknown label set of MM5 '10'"),
        ({"void": 0}, "has no option 'void'; it takes depth, labels"),
    ],
)
def test_options_that_do_not_exist(tiny_mm5: Path, options: dict[str, object], says: str):
    with pytest.raises(UserError) as caught:
        open_dataset(tiny_mm5, **options)
    assert says in str(caught.value)


def test_16_bit_levels_are_refused(mm5_copy: Path):
    write(mm5_copy / "D" / "1.png", LEVELS)
    with pytest.raises(UserError, match=r"D/1\.png holds uint16 values where 8-bit levels are expected"):
        open_dataset(mm5_copy, depth="D").read("1", 1)


@pytest.mark.parametrize("fixture", ["tiny_mm5", "tiny_folder"])
def test_things_that_are_not_there(fixture: str, request: pytest.FixtureRequest):
    data = open_dataset(request.getfixturevalue(fixture))
    with pytest.raises(UserError, match="no scene 'x'"):
        data.read("x", 1)
    with pytest.raises(UserError, match="has no lighting 9"):
        data.read(data.scenes[0], 9)
    with pytest.raises(UserError, match=r"unknown split 'tset'.*Did you mean 'test'"):
        data.split("tset", "grouped")
    with pytest.raises(UserError, match=r"unknown kind of split 'group'.*Did you mean 'grouped'"):
        data.split("test", "group")
