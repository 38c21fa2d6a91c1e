"""The data set on disk: layout, determinism, resuming, refusals; and its statistics."""

import csv
import filecmp
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rgbd_lib.commands.data_synth import parse_size
from rgbd_lib.datasets.synthetic import CLASSES, COLOURS, PUBLISHED, SyntheticScenes, capture, design, write
from rgbd_lib.datasets.synthetic.products import focus_n, plain
from rgbd_lib.datasets.synthetic.scenes import VISIBLE
from rgbd_lib.datasets.synthetic.writer import FOLDERS
from rgbd_lib.errors import UserError

SCENES, SIZE = 3, (60, 80)


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def same(a: Path, b: Path) -> bool:
    names = files(a)
    return names == files(b) and filecmp.cmpfiles(a, b, names, shallow=False)[1:] == ([], [])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("synth") / "one", scenes=SCENES, size=SIZE, jobs=1, progress=False)


def test_layout_is_that_of_mm5(made):
    pictures = [f"{folder}/{i}.png" for folder in FOLDERS for i in range(1, SCENES + 1)]
    lists = ["train_dataset.csv", "eval_dataset.csv", "label_mapping.csv", "classes.txt"]
    assert files(made) == sorted([*pictures, *lists, "synthetic.json", "scenes.jsonl"])
    for folder in FOLDERS:
        picture = cv2.imread(str(made / folder / "2.png"), cv2.IMREAD_UNCHANGED)
        assert picture.shape[:2] == SIZE
        assert picture.dtype == (np.uint16 if folder == "D16" else np.uint8)
        assert (picture.ndim == 3) == (folder.startswith("RGB") or folder == "ANNO_VIS_CLASS")
    assert (made / "classes.txt").read_text().split("\n")[:-1] == list(CLASSES[1:])
    rows = [r for name in lists[:2] for r in csv.DictReader((made / name).open())]
    assert sorted(int(r["ID"]) for r in rows) == [1, 2, 3]
    assert list(rows[0]) == [
        "ID",
        "Sequence",
        "Category",
        "Subcategory",
        "Challenges",
        "Category_Subcategory",
    ]
    mapping = list(csv.DictReader((made / "label_mapping.csv").open()))
    assert [CLASSES[int(r["ID"])] for r in mapping] == [r["Label Name"] for r in mapping]


def test_marker_and_truth_describe_the_pictures(made):
    marker = json.loads((made / "synthetic.json").read_text())
    assert (marker["synthetic"], marker["complete"], marker["scenes"], marker["seed"]) == (
        True,
        True,
        SCENES,
        0,
    )
    assert sorted(i for ids in marker["runs"].values() for i in ids) == [1, 2, 3]
    for line in (made / "scenes.jsonl").read_text().splitlines():
        record = json.loads(line)
        label, instance, vis = (
            cv2.imread(str(made / f / f"{record['id']}.png"), cv2.IMREAD_UNCHANGED)
            for f in ("ANNO_CLASS", "ANNO_INST", "ANNO_VIS_CLASS")
        )
        for thing in record["objects"]:
            assert ((label == thing["class"]) & (instance == thing["instance"])).sum() == thing["pixels"] > 0
        assert ((label > 0) == (instance > 0)).all()
        np.testing.assert_array_equal(vis[..., ::-1], COLOURS[label])


def test_any_number_of_processes_writes_the_same_bytes(made, tmp_path):
    assert same(made, write(tmp_path / "two", scenes=SCENES, size=SIZE, jobs=2, progress=False))


def test_a_killed_run_continues(made, tmp_path, monkeypatch):
    from rgbd_lib.datasets.synthetic import writer

    done = []

    def dies_in_the_second(*args: object) -> None:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(original(*args))

    original = writer.write_scene
    monkeypatch.setattr(writer, "write_scene", dies_in_the_second)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        write(out, scenes=SCENES, size=SIZE, jobs=1, progress=False)
    assert not json.loads((out / "synthetic.json").read_text())["complete"]
    first = (out / "RGB3" / "1.png").stat().st_mtime_ns
    for folder in FOLDERS:  # every file is there, but without a record none is trusted
        (out / folder / "2.png").write_bytes(b"half a pict")
    monkeypatch.setattr(writer, "write_scene", original)
    write(out, scenes=SCENES, size=SIZE, jobs=1, progress=False)
    assert same(made, out)
    assert (out / "RGB3" / "1.png").stat().st_mtime_ns == first


def test_a_complete_folder_is_left_alone_and_a_deleted_file_comes_back(tmp_path):
    out = write(tmp_path / "x", scenes=2, size=(24, 32), jobs=1, progress=False)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    write(out, scenes=2, size=(24, 32), jobs=1, progress=False)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    content = (out / "D" / "1.png").read_bytes()
    (out / "D" / "1.png").unlink()
    write(out, scenes=2, size=(24, 32), jobs=1, progress=False)
    assert (out / "D" / "1.png").read_bytes() == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "made with seed 0, not 1"),
        ({"scenes": 5}, "made with scenes 3, not 5"),
        ({"size": (48, 64)}, "made with size"),
        ({"seed": -1}, "negative"),
        ({"scenes": 0}, "cannot write 0 scenes"),
        ({"jobs": 0}, "0 processes"),
        ({"size": (8, 8)}, "out of range"),
    ],
)
def test_other_parameters_are_refused(made, options, words):
    with pytest.raises(UserError, match=words):
        write(made, **{"scenes": SCENES, "size": SIZE, "progress": False, **options})


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("!")
    with pytest.raises(UserError, match="not empty"):
        write(tmp_path, scenes=1)
    with pytest.raises(UserError, match="is a file"):
        write(tmp_path / "thesis.tex", scenes=1)
    (tmp_path / "synthetic.json").write_text("{ broken")
    with pytest.raises(UserError, match="cannot be read"):
        write(tmp_path, scenes=1)


def test_command_line(tmp_path):
    import typer

    from rgbd_lib.commands.data_synth import synth

    app = typer.Typer()
    app.command()(synth)
    out = tmp_path / "cli"
    done = CliRunner().invoke(app, ["--out", str(out), "--scenes", "1", "--size", "24x32", "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert (out / "RGB8" / "1.png").exists()
    assert parse_size("480x640") == (480, 640)
    with pytest.raises(UserError, match="big"):
        parse_size("big")


def test_stream_needs_no_disk_and_no_order():
    a, b = SyntheticScenes(5, size=(48, 64)), SyntheticScenes(5, size=(48, 64))
    late = a[41]
    b[40]
    np.testing.assert_array_equal(late.rgb, b[41].rgb)
    np.testing.assert_array_equal(late.depth, b[41].depth)
    assert late.rgb.shape == (8, 48, 64, 3)
    assert (late.valid == (late.depth > 0)).all()
    with pytest.raises(IndexError):
        a[-1]


@pytest.fixture(scope="module")
def sample() -> list:
    return [capture(p, 0, (120, 160)) for p in design(324, 0)[5::11]]


def test_statistics_are_near_the_published_ones(sample):
    rgb = np.stack([c.rgb for c in sample]).astype(np.float32) / 255  # N,8,H,W,3
    mean, std = rgb.mean(axis=(0, 2, 3)), rgb.std(axis=(0, 2, 3))
    assert np.abs(mean - PUBLISHED[:, 0]).max() < 0.035
    assert np.abs(std - PUBLISHED[:, 1]).max() < 0.12
    assert np.mean(np.abs(std - PUBLISHED[:, 1]) < 0.2 * PUBLISHED[:, 1] + 0.01) > 0.85


def test_every_lighting_is_another(sample):
    means = np.stack([c.rgb for c in sample]).mean(axis=(0, 2, 3))  # 8,3
    apart = np.abs(means[:, None] - means[None]).max(axis=2)[np.triu_indices(8, 1)]
    assert apart.min() > 5


def test_objects_are_visible_and_depth_has_holes(sample):
    least = VISIBLE * 120 * 160
    sizes = [o["pixels"] for c in sample for o in c.truth["objects"]]
    assert np.mean(np.array(sizes) >= least) > 0.97
    assert min(sizes) > 0.4 * least
    no_mirror = [c for c in sample if not c.truth["mirror"]]
    holes = np.mean([1 - c.valid.mean() for c in no_mirror])
    assert 0.04 < holes < 0.15
    valid = np.concatenate([c.depth[c.valid] for c in sample])
    assert 350 < valid.min() < 450
    assert 1350 < valid.max() <= 1500


def test_depth_pictures_follow_their_description(sample):
    depth = sample[0].depth
    d = plain(depth)
    assert ((d == 0) == (depth == 0)).all()
    values = depth[depth > 0]
    assert d[depth == values.max()].max() == 255  # far is bright
    n = focus_n(depth).astype(float)
    assert n.min() < n.max() <= 255
    high, low = n[(depth > 1300)].mean(), n[(depth > 0) & (depth < 500)].mean()
    assert high > low + 60
    assert (focus_n(np.zeros((30, 40), np.uint16)) == focus_n(np.zeros((30, 40), np.uint16))[0, 0]).all()
    assert np.isfinite(focus_n(np.full((30, 40), 700, np.uint16))).all()
