"""Anybody's folder: what dataset.toml says is what the frames hold."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from make_data import LIGHTS, TOML, make_folder, scene, write

from rgbd_lib.datasets import folder_toml
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.datasets.folder import Folder
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError


def opened(root: Path, extra: str = "", toml: str = TOML, **options: object) -> Folder:
    return open_dataset(make_folder(root, toml=toml + extra, **options))


def test_frames_are_what_was_written(tiny_folder: Path):
    data = open_dataset(tiny_folder)
    albedo, depth, label, _ = scene(4, (1, 2))
    frame = data.read("frame_4", 1)
    np.testing.assert_array_equal(frame.rgb, (albedo * LIGHTS[3]).clip(0, 255).astype(np.uint8))
    np.testing.assert_array_equal(frame.depth, depth)
    np.testing.assert_array_equal(frame.valid, depth > 0)
    np.testing.assert_array_equal(frame.label, label)
    assert data.classes == ("nothing", "cup", "plate")
    assert (data.background, data.lightings, data.depth_kind.to_metres) == (0, (1,), 0.001)
    assert "background 'nothing'" in data.decision
    assert "0.001 m per count" in data.decision


def test_an_offset_makes_zero_void(tmp_path: Path):
    toml = TOML.replace('"nothing", ', "").replace('background = "nothing"', "")
    data = opened(tmp_path / "a", "[label]\noffset = 1", toml)
    label = scene(0, (1, 2))[2]
    np.testing.assert_array_equal(data.read("frame_0", 1).label, np.array([IGNORE, 0, 1], np.uint8)[label])
    assert data.background is None


def test_every_value_below_the_offset_is_void(folder_copy: Path):
    write(folder_copy / "label" / "frame_0.png", np.tile(np.arange(6, dtype=np.uint8), (48, 11))[:, :64])
    (folder_copy / "dataset.toml").write_text(TOML + "[label]\noffset = 3")
    assert [*open_dataset(folder_copy).read("frame_0", 1).label[0, :6]] == [IGNORE, IGNORE, IGNORE, 0, 1, 2]


def test_void_values_and_border(tmp_path: Path):
    data = opened(tmp_path / "a", "[label]\nignore = [2, 255]\nborder = 3")
    label = scene(1, (1, 2))[2]
    found = data.read("frame_1", 1).label
    np.testing.assert_array_equal(found[3:-3, 3:-3], np.array([0, 1, IGNORE], np.uint8)[label][3:-3, 3:-3])
    found[3:-3, 3:-3] = IGNORE
    assert (found == IGNORE).all()


def test_a_border_that_covers_everything_leaves_nothing(tmp_path: Path):
    data = opened(tmp_path / "a", "[label]\nborder = 30")
    assert (data.read("frame_1", 1).label == IGNORE).all()


def test_depth_values_that_mean_nothing(tmp_path: Path):
    root = make_folder(tmp_path / "a")
    depth = np.full((48, 64), 900, np.uint16)
    depth[0], depth[1], depth[2] = 65535, 0, 4000
    write(root / "depth" / "frame_0.png", depth)
    valid = open_dataset(root).read("frame_0", 1).valid
    assert [*valid[:4, 0]] == [False, False, True, True]
    (root / "dataset.toml").write_text(TOML + "missing = [0, 4000]")
    frame = open_dataset(root).read("frame_0", 1)
    assert [*frame.depth[:4, 0]] == [65535, 0, 0, 900]


def test_depth_without_metres_is_levels_and_may_start_at_zero(tmp_path: Path):
    toml = TOML.replace("metres_per_count = 0.001", "missing = [255]")
    root = make_folder(tmp_path / "a", toml=toml)
    for path in (root / "depth").iterdir():
        level = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
        level[0] = 255
        write(path, level)
    data = open_dataset(root)
    assert (data.depth_kind.unit, data.depth_kind.to_metres) == ("level", None)
    frame = data.read("frame_0", 1)
    assert [*frame.depth[1, :4]] == [1, 1, 2, 3]  # 0 is reserved for missing
    assert frame.valid[1:].all()
    assert not frame.valid[0].any()


def test_depth_with_fractions_becomes_millimetres(tmp_path: Path):
    root = make_folder(tmp_path / "a", scenes=2, toml=TOML.replace("0.001", "1.0"))
    metres = np.full((48, 64), 1.2345, np.float32)
    metres[0, :6] = np.nan, np.inf, -np.inf, -1, 0, 70
    for n in range(2):
        (root / "depth" / f"frame_{n}.png").unlink()
        np.save(root / "depth" / f"frame_{n}.npy", metres)
    data = open_dataset(root)
    frame = data.read("frame_0", 1)
    assert [*frame.depth[0, :7]] == [0, 0, 0, 0, 0, 65535, 1234]
    np.testing.assert_array_equal(frame.valid, frame.depth > 0)
    assert data.depth_kind.to_metres == 0.001


def test_lightings_are_numbered_folders(tmp_path: Path):
    data = opened(tmp_path / "a", lightings=(1, 3, 5))
    assert data.lightings == (1, 3, 5)
    means = [data.read_rgb("frame_2", light).mean() for light in data.lightings]
    assert means == sorted(means)
    np.testing.assert_array_equal(data.read("frame_2", 5).rgb, data.read_rgb("frame_2", 5))


def test_folders_may_have_other_names_and_capitals(folder_copy: Path):
    for old, new in (("rgb", "Color"), ("depth", "DEPTH"), ("label", "masks")):
        (folder_copy / old).rename(folder_copy / new)
    with (folder_copy / "dataset.toml").open("a") as file:
        file.write('[folders]\nrgb = "Color"\nlabel = "masks"\n')
    assert open_dataset(folder_copy).read("frame_5", 1).valid.any()


def test_lists_are_the_official_split(folder_copy: Path):
    (folder_copy / "train.txt").write_text(
        "# mine\nrgb/frame_0.png\r\nframe_1  # good\n\n'frame_2'\nframe_3.png"
    )
    (folder_copy / "test.txt").write_text("label\\frame_5.png\n")
    data = open_dataset(folder_copy)
    assert data.split("test") == ("frame_5",)
    assert set(data.split("train")) | set(data.split("val")) == {f"frame_{n}" for n in range(4)}
    assert not set(data.split("train")) & set(data.split("val"))
    assert data.split("val")
    assert data.split("test", "grouped") == ("frame_5",)  # no runs are known: the lists are believed
    (folder_copy / "val.txt").write_text("frame_4")
    data = open_dataset(folder_copy)
    assert data.split("train") == ("frame_0", "frame_1", "frame_2", "frame_3")
    assert data.split("val") == ("frame_4",)


def test_runs_come_from_names(tmp_path: Path):
    root = make_folder(tmp_path / "a", scenes=12, toml=TOML + "[splits]\nrun_pattern = '(.*)_[0-9]+'")
    for folder in ("rgb", "depth", "label"):
        for n in range(12):
            (root / folder / f"frame_{n}.png").rename(root / folder / f"kitchen{n // 3}_{n}.png")
    data = open_dataset(root)
    assert data.groups["kitchen2_7"] == "kitchen2"
    runs = [{data.groups[s] for s in data.split(name, "grouped")} for name in ("train", "test", "val")]
    assert sum(map(len, runs)) == len(set().union(*runs)) == 4
    assert all(runs)


def test_names_without_partners_are_left_out(folder_copy: Path):
    (folder_copy / "depth" / "frame_1.png").unlink()
    (folder_copy / "rgb" / "extra.png").write_bytes(b"never read")
    (folder_copy / "rgb" / "Thumbs.db").write_bytes(b"")
    (folder_copy / "rgb" / ".hidden.png").write_bytes(b"")
    data = open_dataset(folder_copy)
    assert data.scenes == ("frame_0", "frame_2", "frame_3", "frame_4", "frame_5")
    assert data.skipped == {
        "frame_1": "no file 'frame_1' in depth",
        "extra": "no file 'extra' in depth, label",
    }


def test_names_are_ordered_as_people_count(tmp_path: Path):
    assert opened(tmp_path / "a", scenes=11).scenes == tuple(f"frame_{n}" for n in range(11))


def test_it_fits_the_cache(tiny_folder: Path, tmp_path: Path):
    data = open_dataset(tiny_folder)
    cache = open_cache(data, (24, 32), folder=tmp_path, progress=False)
    assert cache.rgb.shape == (6, 1, 24, 32, 3)
    assert set(np.unique(cache.label)) == {0, 1, 2}


def test_a_palette_label_is_read_by_index(folder_copy: Path):
    from PIL import Image

    label = scene(0, (1, 2))[2]
    image = Image.fromarray(label, "L").convert("P")
    image.putdata(label.ravel().tolist())
    image.putpalette([128, 0, 0, 0, 128, 0, 0, 0, 128])
    image.save(folder_copy / "label" / "frame_0.png")
    assert cv2.imread(str(folder_copy / "label" / "frame_0.png"), cv2.IMREAD_UNCHANGED).ndim == 3
    np.testing.assert_array_equal(open_dataset(folder_copy).read("frame_0", 1).label, label)


def test_the_wrong_offset_is_told_by_the_values(tmp_path: Path):
    data = opened(tmp_path / "a", offset=1)  # stored 1..3, described as 0..2
    with pytest.raises(UserError, match=r"label/frame_0.png holds label 3, .*check label.offset"):
        data.read("frame_0", 1)


def test_the_documented_example_is_valid_and_no_key_is_undocumented(tmp_path: Path):
    page = (Path(__file__).parent.parent / "docs" / "your_data.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    (tmp_path / "dataset.toml").write_text("\n".join(blocks))
    told = folder_toml.read(tmp_path / "dataset.toml")
    assert (told.background, told.metres_per_count, told.missing) == (0, 0.001, (0, 65535))
    assert told.run_pattern.match("kitchen3_0012")[1] == "kitchen3"
    (tmp_path / "dataset.toml").write_text('name = "a"\nclasses = ["a", "b"]\n')
    least = folder_toml.read(tmp_path / "dataset.toml")
    assert (least.missing, least.ignore, least.offset) == (told.missing, told.ignore, told.offset)
    rows = {row.split("|")[1] for row in page.splitlines() if row.startswith("| `")}
    for section, keys in folder_toml.KEYS.items():
        for key in keys:
            assert any(
                f"`{section}.{key}`" in row or f"`.{key}`" in row or f"`{key}`" in row for row in rows
            ), key
