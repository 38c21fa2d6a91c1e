"""MM5's layout: raw values, versions of the labels, depth products, splits."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_data import make_mm5, scene, write, write_list

from rgbd_lib.datasets import images, mm5, mm5_tables
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.mm5_tables import CLASSES, COLLAPSE, COLLAPSED
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError


def test_frames_are_what_was_written(tiny_mm5: Path):
    data = open_dataset(tiny_mm5)
    _, depth, label, _ = scene(3, (4, 5, 6))
    for light in data.lightings:
        frame = data.read("3", light)
        expected = cv2.imread(str(tiny_mm5 / f"RGB{light}" / "3.png"))[:, :, ::-1]
        np.testing.assert_array_equal(frame.rgb, expected)
        np.testing.assert_array_equal(data.read_rgb("3", light), expected)
    np.testing.assert_array_equal(frame.depth, depth)
    np.testing.assert_array_equal(frame.valid, depth > 0)
    np.testing.assert_array_equal(frame.label, label)
    assert [a.dtype for a in (frame.rgb, frame.depth, frame.valid, frame.label)] == [
        np.uint8,
        np.uint16,
        np.bool_,
        np.uint8,
    ]
    assert (frame.depth == 0).any()


def test_it_says_what_it_is(tiny_mm5: Path, mm5_copy: Path):
    data = open_dataset(tiny_mm5)
    assert (data.name, data.synthetic, data.background) == ("mm5-synthetic", True, 0)
    assert "32-class" in data.decision
    assert "synthetic" in data.decision
    (mm5_copy / "synthetic.json").unlink()
    real = open_dataset(mm5_copy)
    assert (real.name, real.synthetic) == ("mm5", False)
    assert real.depth_kind.to_metres == 0.001


def test_opening_decodes_nothing(tiny_mm5: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "_decode", lambda *_: pytest.fail("decoded"))
    data = open_dataset(tiny_mm5)
    assert len(data.files()) == 8 * (8 + 2) + 1
    assert all(path.is_file() for path in data.files())


def test_it_travels_to_other_processes(tiny_mm5: Path):
    data = open_dataset(tiny_mm5, labels="9")
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.read("5", 8).label, data.read("5", 8).label)
    assert again.split("test", "grouped") == data.split("test", "grouped")


def test_an_unpacked_archive_is_found_below(tmp_path: Path):
    make_mm5(tmp_path / "mm5" / ".unpacking.partial" / "X", scenes=2)
    assert mm5.detect(tmp_path / "mm5") is None
    root = make_mm5(tmp_path / "mm5" / "MM5_ALIGNED", scenes=4)
    assert open_dataset(tmp_path / "mm5").root == root


# labels


def test_the_collapsed_map_is_the_published_one():
    groups = {
        "Lemon": [1, 2, 3, 10],
        "Mandarin": [6, 7, 8, 11, 12],
        "Tableware": [4, 5, 9, 13, 27],
        "Onion": [14, 15],
        "Grapes": [16, 17, 18, 19, 20, 21],
        "Apple": [22, 23, 24, 25, 26],
        "Pear": [28, 29],
        "Carrot": [30, 31],
    }
    assert [*groups] == list(COLLAPSED[1:])
    for new, old in enumerate(groups.values(), start=1):
        assert [k for k, c in enumerate(COLLAPSE) if c == new] == old


def test_nine_classes_are_a_function_of_thirty_two(tiny_mm5: Path):
    fine, coarse = open_dataset(tiny_mm5), open_dataset(tiny_mm5, labels="9")
    for name in fine.scenes:
        np.testing.assert_array_equal(
            np.array(COLLAPSE)[fine.read(name, 1).label], coarse.read(name, 1).label
        )
    assert coarse.classes == COLLAPSED
    assert coarse.split("train", "grouped") == fine.split("train", "grouped")


def _older(root: Path, withdrawn: dict[str, str]) -> dict[str, int]:
    """Rewrite labels and mapping as an earlier version had them: withdrawn class -> the one before it."""
    names = list(CLASSES)
    for name, after in withdrawn.items():
        names.insert(names.index(after) + 1, name)
    for path in (root / "ANNO_CLASS").iterdir():
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        write(path, np.array([names.index(name) for name in CLASSES], np.uint8)[label])
    mapping = {name: k for k, name in enumerate(names) if k}
    (root / "label_mapping.csv").write_text(
        "ID,Label Name\n" + "".join(f"{k},{n}\n" for n, k in mapping.items())
    )
    return mapping


@pytest.mark.parametrize(
    "withdrawn",
    [
        {"Lemon Sliced": "Lemon Half", "Mandarin Sliced": "Mandarin Half"},
        {"Mandarin Sliced": "Mandarin Half"},
    ],
    ids=["34", "33"],
)
def test_older_labels_are_understood_by_name(tmp_path: Path, withdrawn: dict[str, str]):
    root = make_mm5(tmp_path / "old", scenes=14)
    new = [open_dataset(root).read(str(n), 1).label for n in range(1, 15)]
    mapping = _older(root, withdrawn)
    data = open_dataset(root)
    assert data.version.classes == 32 + len(withdrawn)
    assert {12, 13, 14, 15, 21} <= set(np.unique(new))  # ids that moved
    for n, label in enumerate(new, start=1):
        np.testing.assert_array_equal(data.read(str(n), 1).label, label)
    path = root / "ANNO_CLASS" / "1.png"
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    stored[:4] = mapping["Mandarin Sliced"]
    write(path, stored)
    assert (data.read("1", 1).label[:4] == IGNORE).all()
    assert (data.read("1", 1).label[4:] == new[0][4:]).all()


def test_all_mapping_files_say_the_same(mm5_copy: Path):
    csv, names = mm5_copy / "label_mapping.csv", mm5_copy / "classes.txt"
    by_csv = mm5_tables.read_labels(mm5_copy).table()
    table = csv.read_text()
    glued = json.dumps({name: k for k, name in enumerate(CLASSES)})
    for text in (glued + table, glued + "\n" + table, table.replace(",", ' , "').replace("\n", '"\n'), glued):
        csv.write_text(text)
        np.testing.assert_array_equal(mm5_tables.read_labels(mm5_copy).table(), by_csv)
    csv.write_text(table.replace(",", ";").replace("Lemon Bad", "lemon_bad "))
    np.testing.assert_array_equal(mm5_tables.read_labels(mm5_copy).table(), by_csv)
    csv.unlink()
    found = mm5_tables.read_labels(mm5_copy)
    assert found.source == "classes.txt"
    np.testing.assert_array_equal(found.table(), by_csv)
    names.unlink()
    (mm5_copy / "label_mapping.json").write_text(glued)
    np.testing.assert_array_equal(mm5_tables.read_labels(mm5_copy).table(), by_csv)


def test_labels_of_three_channels_and_255(mm5_copy: Path):
    label = np.zeros((48, 64), np.uint8)
    label[5:9] = 31
    label[9:12] = 255
    write(mm5_copy / "ANNO_CLASS" / "1.png", np.dstack([label] * 3))
    np.testing.assert_array_equal(open_dataset(mm5_copy).read("1", 1).label, label)


# depth


@pytest.mark.parametrize("kind", ["D16", "D", "D_FocusN"])
def test_validity_is_what_was_measured_whatever_the_product(tiny_mm5: Path, kind: str):
    data = open_dataset(tiny_mm5, depth=kind)
    frame = data.read("2", 1)
    measured = cv2.imread(str(tiny_mm5 / "D16" / "2.png"), cv2.IMREAD_UNCHANGED) > 0
    np.testing.assert_array_equal(frame.valid, measured)
    stored = cv2.imread(str(tiny_mm5 / kind / "2.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(frame.depth, stored)
    assert (frame.depth[~measured] > 0).all() == (
        kind == "D_FocusN"
    )  # filled-in values are kept as published


def test_a_filled_in_product_has_no_zero(mm5_copy: Path):
    level = np.full((48, 64), 90, np.uint8)
    level[0] = 0  # nearest of all, not missing
    write(mm5_copy / "D_FocusN" / "1.png", level)
    write(mm5_copy / "D16" / "1.png", np.full((48, 64), 700, np.uint16))
    frame = open_dataset(mm5_copy, depth="D_FocusN").read("1", 1)
    assert frame.valid.all()
    assert frame.depth.min() == 1


def test_validity_comes_from_the_8_bit_depth_where_there_is_no_other(mm5_copy: Path):
    for path in (mm5_copy / "D16").iterdir():
        path.unlink()
    (mm5_copy / "D16").rmdir()
    data = open_dataset(mm5_copy, depth="D_FocusN")
    np.testing.assert_array_equal(data.read("2", 1).valid, cv2.imread(str(mm5_copy / "D" / "2.png"), -1) > 0)
    assert not data.notes
    for path in (mm5_copy / "D").iterdir():
        path.unlink()
    (mm5_copy / "D").rmdir()
    data = open_dataset(mm5_copy, depth="D_FocusN")
    assert data.read("2", 1).valid.all()
    assert "what D_FocusN has filled in cannot be told" in data.notes[0]


def test_the_largest_count_is_missing(mm5_copy: Path):
    depth = np.full((48, 64), 800, np.uint16)
    depth[:7] = 65535
    write(mm5_copy / "D16" / "1.png", depth)
    frame = open_dataset(mm5_copy).read("1", 1)
    assert not frame.valid[:7].any()
    assert (frame.depth[:7] == 0).all()
    assert frame.valid[7:].all()


def test_published_statistics_belong_to_their_product(tiny_mm5: Path):
    kind = open_dataset(tiny_mm5, depth="D_FocusN").depth_kind
    assert (kind.unit, kind.to_metres, kind.mean, kind.std) == ("level", None, 138.94, 56.24)
    assert open_dataset(tiny_mm5).depth_kind.mean is None


# scenes and splits


def test_official_test_is_the_evaluation_list_and_val_comes_from_training(tiny_mm5: Path):
    data = open_dataset(tiny_mm5)
    found = {name: data.split(name) for name in ("train", "val", "test")}
    assert found["test"] == ("4", "8")
    assert set(found["train"]) | set(found["val"]) == {"1", "2", "3", "5", "6", "7"}
    assert found["val"]
    assert not {data.groups[s] for s in found["train"]} & {data.groups[s] for s in found["val"]}


def test_recorded_runs_are_believed_and_real_ones_follow_the_labels(mm5_copy: Path):
    assert open_dataset(mm5_copy).groups["2"] == open_dataset(mm5_copy).groups["1"] == "0"
    (mm5_copy / "synthetic.json").unlink()
    data = open_dataset(mm5_copy)
    assert data.groups == {str(n): str(n - (n - 1) % 2) for n in range(1, 9)}
    assert data.content["3"] == {4, 5, 6}
    runs = [{data.groups[s] for s in data.split(name, "grouped")} for name in ("train", "val", "test")]
    assert sum(map(len, runs)) == len(set().union(*runs)) == 4


def test_lists_with_quirks_are_read(mm5_copy: Path):
    write_list(mm5_copy / "train_dataset.csv", [1, "ID", 2, " 3 ", '"5"', "6.0", 1, "07"])
    text = (mm5_copy / "train_dataset.csv").read_text()
    (mm5_copy / "train_dataset.csv").write_text("\ufeff" + text.replace('"Lemon,Apple"', '"Lemon,Apple', 1))
    (mm5_copy / "eval_dataset.csv").write_text("Sequence;ID;Category\n286;4;Fruit\n;;\n290;8;Fruit\n")
    data = open_dataset(mm5_copy)
    assert data.official == {"train": ("1", "2", "3", "5", "6", "7"), "test": ("4", "8")}


def test_incomplete_scenes_are_left_out_and_named(mm5_copy: Path):
    (mm5_copy / "RGB5" / "6.png").unlink()
    (mm5_copy / "ANNO_CLASS" / "1.png").unlink()
    data = open_dataset(mm5_copy)
    assert data.scenes == ("2", "3", "4", "5", "7", "8")
    assert data.skipped["6"].endswith("RGB5/6.png is missing")
    assert data.skipped["1"].endswith("ANNO_CLASS/1.png is missing")
    assert "6" not in data.split("train") + data.split("val")
    with pytest.raises(UserError, match=r"no scene '6' .*RGB5/6\.png is missing"):
        data.read("6", 1)


def test_fewer_lightings_and_no_lists(tmp_path: Path):
    root = make_mm5(tmp_path / "some", scenes=6, lightings=(1, 3, 8))
    for name in ("train_dataset.csv", "eval_dataset.csv"):
        (root / name).unlink()
    data = open_dataset(root)
    assert data.lightings == (1, 3, 8)
    assert len(data.scenes) == 6
    assert sum(len(data.split(name, "grouped")) for name in ("train", "val", "test")) == 6
    with pytest.raises(UserError, match="Use the split 'grouped'"):
        data.split("train")
