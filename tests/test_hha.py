import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from rgbd_lib.datasets import hha
from rgbd_lib.errors import UserError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "hha_reference.json").read_text())
CAMERA = np.array(GOLDEN["K"])


def room() -> np.ndarray:
    """The golden scene: a wavy wall, a floor and a box in front, in metres."""
    y, x = np.mgrid[0:60, 0:80]
    wall = 3 + 0.2 * x / 80 + 0.05 * np.sin(x / 9)
    floor = 0.6 * 65 / np.maximum(y - 31.7, 1e-3)
    depth = np.where(y > 31.7, np.minimum(wall, floor), wall)
    depth[20:35, 30:45] = 1.9 + 0.01 * x[20:35, 30:45]
    return depth.round(4)


def holes() -> np.ndarray:
    missing = np.zeros((60, 80), bool)
    missing[5:9, 10:20] = missing[40:44, 60:66] = True
    return missing


def wall(tilt: float) -> np.ndarray:
    """Depth of one plane through (0, 0, 2 m), turned about the vertical by ``tilt`` degrees."""
    x = (np.arange(1, 81) - CAMERA[0, 2]) / CAMERA[0, 0]
    return np.broadcast_to(2 / (1 - np.tan(np.radians(tilt)) * x), (60, 80)).copy()


@pytest.mark.parametrize(("case", "missing"), [("complete", None), ("missing", holes())])
def test_equals_the_reference_encoder(case, missing):
    assert room().ravel()[GOLDEN["depth"]["index"]] == pytest.approx(GOLDEN["depth"]["value"])
    picture, golden = hha.encode(room(), CAMERA, missing), GOLDEN["outputs"][case]
    np.testing.assert_array_equal(picture.ravel()[golden["index"]], golden["value"])
    assert picture.mean() == pytest.approx(golden["mean"], abs=1e-9)
    assert picture.std(dtype=np.float64) == pytest.approx(golden["std"], abs=1e-9)


@pytest.mark.parametrize("half", [3, 10])
def test_normals_equal_a_least_squares_fit_per_window(half):
    depth, trusted = room() * 100, ~holes()
    fast = hha.normals(depth, CAMERA, trusted, half)
    for row, column in [(0, 0), (7, 14), (30, 37), (45, 60), (59, 79), (42, 62)]:
        rows = slice(max(row - half, 0), row + half + 1)
        columns = slice(max(column - half, 0), column + half + 1)
        y, x = np.mgrid[0:60, 0:80]
        keep = trusted[rows, columns]
        p = ((x[rows, columns] + 1 - CAMERA[0, 2]) / CAMERA[0, 0])[keep]
        q = ((y[rows, columns] + 1 - CAMERA[1, 2]) / CAMERA[1, 1])[keep]
        rays = np.stack([p, q, np.ones_like(p)], axis=1)
        slow = np.linalg.lstsq(rays, 1 / depth[rows, columns][keep], rcond=None)[0]
        slow /= np.linalg.norm(slow)
        here = [(column + 1 - CAMERA[0, 2]) / CAMERA[0, 0], (row + 1 - CAMERA[1, 2]) / CAMERA[1, 1], 1]
        slow *= 1 if slow @ here >= 0 else -1
        np.testing.assert_allclose(fast[row, column], slow, atol=1e-8)


@pytest.mark.parametrize("tilt", [-40, 0, 25])
def test_normal_of_a_plane_is_its_normal_everywhere(tilt):
    normal = hha.normals(wall(tilt) * 100, CAMERA, np.ones((60, 80), bool), 3)
    expected = [-np.sin(np.radians(tilt)), 0, np.cos(np.radians(tilt))]
    np.testing.assert_allclose(normal, np.broadcast_to(expected, normal.shape), atol=1e-9)


def test_a_line_of_pixels_is_no_plane():
    trusted = np.zeros((60, 80), bool)
    trusted[:, 40] = True
    assert np.isnan(hha.normals(room() * 100, CAMERA, trusted, 3)).all()
    trusted[10, 41] = True  # a third direction: the windows that see it have a plane
    assert np.isfinite(hha.normals(room() * 100, CAMERA, trusted, 3)[10, 40]).all()


def test_gravity_is_found_when_the_camera_is_tilted():
    true = np.array([0.1, 0.95, 0.29]) / np.linalg.norm([0.1, 0.95, 0.29])
    side = np.cross(true, [0, 0, 1.0])
    side /= np.linalg.norm(side)
    seen = np.concatenate([np.tile(true, (300, 1)), np.tile(side, (500, 1)), np.full((5, 3), np.nan)])
    np.testing.assert_allclose(hha.gravity(seen), true, atol=1e-9)


def test_an_estimate_beyond_the_limit_gives_way_to_down():
    true = np.array([np.sin(np.radians(35)), np.cos(np.radians(35)), 0.0])
    seen = np.concatenate([np.tile(true, (300, 1)), np.tile([0.0, 0, 1], (300, 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(hha.gravity(seen, tilt_limit=36), true, atol=1e-9)
        np.testing.assert_allclose(hha.gravity(seen, tilt_limit=None), true, atol=1e-9)
    with pytest.warns(
        UserWarning, match="estimated gravity is 35 degrees from the picture's down, more than 34"
    ):
        np.testing.assert_array_equal(hha.gravity(seen, tilt_limit=34), hha.DOWN)


def test_one_bare_wall_does_not_turn_the_floor_sideways():
    with pytest.warns(UserWarning, match="Pass down"):
        picture = hha.encode(wall(25), CAMERA)
    np.testing.assert_array_equal(picture, hha.encode(wall(25), CAMERA, down=hha.DOWN))


def test_known_direction_replaces_the_estimate():
    right = hha.encode(room(), CAMERA, down=(0, 1, 0))
    upside = hha.encode(room(), CAMERA, down=(0, -1, 0))
    assert right[55, 10, 2] in (38, 39)  # the normal of the floor points along gravity
    assert upside[55, 10, 2] in (217, 218)
    assert right[2, 2, 2] in range(126, 131)  # a wall stands upright either way
    assert upside[2, 2, 2] in range(126, 131)
    np.testing.assert_array_equal(right, hha.encode(room(), CAMERA, down=(0, 7, 0)))  # length is no matter


def test_disparity_saturates_near_and_falls_with_depth():
    depth = np.array([[0.5, 1.0, 1.215, 2.0, 3.1, 8.0, 0.0, np.nan]]).repeat(8, axis=0)
    disparity = hha.encode(depth, CAMERA, down=(0, 1, 0))[0, :, 0]
    assert disparity.tolist() == [255, 255, 255, 155, 100, 39, 0, 0]


def test_unmeasured_pixels_are_zero_and_do_not_move_their_neighbours_far():
    depth = room()
    full = hha.encode(depth, CAMERA, down=(0, 1, 0)).astype(int)
    depth[holes()] = 0
    cut = hha.encode(depth, CAMERA, down=(0, 1, 0)).astype(int)
    assert (cut[holes()] == 0).all()
    np.testing.assert_array_equal(cut[~holes()][:, :2], full[~holes()][:, :2])
    near = cv2.dilate(holes().astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    np.testing.assert_array_equal(cut[~near], full[~near])
    assert not hha.encode(np.zeros((4, 5)), CAMERA).any()


def test_cache_computes_once_and_tells_contents_apart(tmp_path, monkeypatch):
    first = hha.cached(room(), CAMERA, tmp_path / "hha")
    np.testing.assert_array_equal(first, hha.encode(room(), CAMERA))
    (file,) = (tmp_path / "hha").iterdir()
    np.testing.assert_array_equal(cv2.imread(str(file))[..., ::-1], first)  # R, G, B for every viewer
    with monkeypatch.context() as patch:
        patch.setattr(hha, "encode", lambda *a, **k: pytest.fail("computed twice"))
        np.testing.assert_array_equal(hha.cached(room(), CAMERA, tmp_path / "hha"), first)
    hha.cached(room() + 0.001, CAMERA, tmp_path / "hha")
    hha.cached(room(), CAMERA + np.eye(3) * 1e-3, tmp_path / "hha")
    hha.cached(room(), CAMERA, tmp_path / "hha", holes())
    hha.cached(room(), CAMERA, tmp_path / "hha", down=(0, 1, 0))
    assert len(list((tmp_path / "hha").iterdir())) == 5


def test_damaged_cache_file_is_made_again(tmp_path):
    first = hha.cached(room(), CAMERA, tmp_path)
    (file,) = tmp_path.iterdir()
    for damage in (b"", file.read_bytes()[:40], b"no picture"):
        file.write_bytes(damage)
        np.testing.assert_array_equal(hha.cached(room(), CAMERA, tmp_path), first)
        assert [p.name for p in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": room() * 1000}, "must be in metres"),
        ({"depth": np.zeros((4, 5, 1))}, r"shape \(4, 5, 1\)"),
        ({"intrinsics": np.eye(4)}, "3x3 camera matrix"),
        ({"intrinsics": np.zeros((3, 3))}, "fx and fy above 0"),
        ({"missing": np.zeros((4, 5))}, r"mask of missing pixels has shape \(4, 5\)"),
        ({"down": (0, 0, 0)}, "not a direction"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(UserError, match=message):
        hha.encode(**{"depth": room(), "intrinsics": CAMERA} | change)


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: HHA pictures cannot be written"):
        hha.cached(room(), CAMERA, tmp_path / "file")
