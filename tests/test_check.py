"""`data check`: numbers that agree with the files, faults that are named, exit codes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_data import make_folder, make_mm5, write
from typer.testing import CliRunner

from rgbd_lib.__main__ import app
from rgbd_lib.datasets.check import Report, check
from rgbd_lib.datasets.check_text import text
from rgbd_lib.datasets.open import open_dataset


def look(root: Path, **options: str) -> Report:
    return check(open_dataset(root, **options), progress=False)


def stack(folder: Path) -> np.ndarray:
    return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())])


def test_numbers_are_those_of_the_files(tiny_mm5: Path):
    report = look(tiny_mm5)
    labels, depth, colour = stack(tiny_mm5 / "ANNO_CLASS"), stack(tiny_mm5 / "D16"), stack(tiny_mm5 / "RGB6")
    assert not report.errors
    assert (report.scenes, report.runs, report.lightings) == (8, 4, tuple(range(1, 9)))
    assert report.folders["RGB4"] == report.folders["D_FocusN"] == 8
    assert report.stored["depth"] == {"48x64 16-bit grey": 8}
    for row in report.classes:
        assert row["pixels"] == pytest.approx((labels == row["id"]).mean())
        assert row["scenes"] == (labels == row["id"]).any(axis=(1, 2)).sum()
    assert report.depth["missing"] == pytest.approx((depth == 0).mean())
    assert report.depth["min"] == pytest.approx(depth[depth > 0].min() / 1000)
    assert report.depth["max"] == pytest.approx(depth.max() / 1000)
    assert report.depth["median"] == pytest.approx(np.median(depth[depth > 0]) / 1000, abs=0.001)
    pixels = colour[..., ::-1].reshape(-1, 3) / 255
    assert report.colour[6]["mean"] == pytest.approx(pixels.mean(0))
    assert report.colour[6]["std"] == pytest.approx(pixels.std(0))


def test_splits_show_their_leakage(tiny_mm5: Path):
    found = look(tiny_mm5).splits
    assert found["official"]["sizes"]["test"] == 2
    assert found["official"]["leakage"]["neighbours"] == 2
    assert found["official"]["leakage"]["same_run"] == 2
    assert found["grouped"]["leakage"]["same_run"] == 0
    assert "Lemon" in found["grouped"]["lacking"]["train"] + found["grouped"]["lacking"]["test"]


def test_every_fault_is_named_and_the_rest_is_still_read(mm5_copy: Path):
    for path in ("RGB1/1.png", "RGB5/2.png", "D16/3.png"):
        (mm5_copy / path).write_bytes((mm5_copy / path).read_bytes()[:-30])
    write(mm5_copy / "RGB7" / "4.png", np.zeros((24, 32, 3), np.uint8))
    (mm5_copy / "RGB2" / "5.png").unlink()
    report = look(mm5_copy)
    assert len(report.errors) == 4
    for name in ("RGB1/1.png", "RGB5/2.png", "D16/3.png"):
        assert any(name in error and "damaged" in error for error in report.errors)
    assert any("scene 4" in error and "lighting 7 is 24x32" in error for error in report.errors)
    assert any("1 scenes are left out" in note and "RGB2/5.png" in note for note in report.notes)
    assert report.stored["RGB7"]["24x32 8-bit colour"] == 1
    assert report.colour[3]


def test_odd_data_are_remarked_on(tmp_path: Path):
    root = make_folder(tmp_path / "a")
    write(root / "depth" / "frame_0.png", np.full((48, 64), 700, np.uint16))
    write(root / "depth" / "frame_1.png", np.zeros((48, 64), np.uint16))
    half = np.full((48, 64), 700, np.uint16)
    half[:30], half[40] = 0, 800
    write(root / "depth" / "frame_2.png", half)
    rgb = np.full((48, 64, 3), 90, np.uint8)
    rgb[[0, -1]], rgb[:, [0, -1]] = 255, 255
    write(root / "rgb" / "frame_3.png", rgb)
    write(root / "label" / "frame_4.png", np.full((48, 64), 255, np.uint8))
    notes = "\n".join(look(root).notes)
    assert "scene frame_0: depth is 700 everywhere" in notes
    assert "scene frame_1: no depth was measured at all" in notes
    assert "scene frame_2: depth is missing on 62% of the pixels" in notes
    assert "scene frame_3: a white frame" in notes
    (root / "dataset.toml").write_text((root / "dataset.toml").read_text().replace("0.001", "1"))
    notes = "\n".join(look(root).notes)
    assert "is the scale of 1 m per count right?" in notes


def test_inpainted_depth_still_counts_what_was_not_measured(tiny_mm5: Path):
    report = look(tiny_mm5, depth="D_FocusN")
    assert report.depth["missing"] == pytest.approx((stack(tiny_mm5 / "D16") == 0).mean())
    assert report.depth["unit"] == "level"


def test_the_command_prints_a_page_or_json(tiny_mm5: Path):
    page = CliRunner().invoke(app, ["data", "check", str(tiny_mm5)])
    assert page.exit_code == 0
    assert "synthetic: not measured data" in page.output
    assert "No errors: every file was read." in page.output
    found = CliRunner().invoke(app, ["data", "check", str(tiny_mm5), "--json", "--labels", "9"])
    report = json.loads(found.output)
    assert len(report["classes"]) == 9
    assert report["splits"]["grouped"]["leakage"]["same_run"] == 0


def test_errors_are_exit_code_2(mm5_copy: Path):
    (mm5_copy / "RGB1" / "1.png").write_bytes(b"")
    found = CliRunner().invoke(app, ["data", "check", str(mm5_copy)])
    assert found.exit_code == 2
    assert "RGB1/1.png is empty" in found.output


def test_a_page_of_many_errors_is_cut_and_json_is_not(tmp_path: Path):
    root = make_mm5(tmp_path / "a", scenes=4)
    for light in range(1, 9):
        for path in (root / f"RGB{light}").iterdir():
            path.write_bytes(b"")
    report = look(root)
    assert len(report.errors) == 32
    assert ".. and 12 more" in text(report)
    assert len(report.as_dict()["errors"]) == 32
