import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fake_dataset
import numpy as np
import pytest

from rgbd_lib.datasets import cache as caching
from rgbd_lib.datasets import fingerprint, resize
from rgbd_lib.datasets.batches import Batches
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError

SIZE = (12, 16)


@pytest.fixture
def data(tmp_path):
    return fake_dataset.make(tmp_path / "data")


def cache_folders(folder: Path) -> list[str]:
    """Names of what looks like a cache, partial builds excluded."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.endswith(".partial"))


# resizing


@pytest.mark.parametrize("size", [(12, 16), (7, 5), (24, 32), (48, 40)])
@pytest.mark.parametrize("crop", [(0.0, 0.0, 1.0, 1.0), (0.3, 0.03, 0.9, 0.97)])
def test_nearest_takes_the_value_under_the_pixel_centre(data, size, crop):
    frame = data.read("1", 1)
    small = resize.frame(frame, size, crop)
    height, width = frame.depth.shape
    top, bottom = round(crop[0] * height), round(crop[2] * height)
    left, right = round(crop[1] * width), round(crop[3] * width)
    for i in range(size[0]):
        for j in range(size[1]):
            y = top + int((i + 0.5) * (bottom - top) / size[0])
            x = left + int((j + 0.5) * (right - left) / size[1])
            assert small.depth[i, j] == frame.depth[y, x]
            assert small.label[i, j] == frame.label[y, x]
            assert small.valid[i, j] == frame.valid[y, x]


def test_colour_is_the_mean_of_the_area():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    blocks = rgb.reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize.colour(rgb, (6, 8), (0, 0, 1, 1)) - blocks).max() <= 0.5


def test_colour_and_label_stay_on_top_of_each_other():
    mask = np.zeros((90, 120), np.uint8)
    mask[30:57, 48:81] = 1
    rgb = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    small = resize.nearest(mask, (31, 37), (0, 0, 1, 1))
    weight = resize.colour(rgb, (31, 37), (0, 0, 1, 1))[..., 0] / 255
    for axis, length in ((0, 31), (1, 37)):
        positions = np.arange(length)
        centre = [(m.sum(1 - axis) * positions).sum() / m.sum() for m in (small, weight)]
        assert abs(centre[0] - centre[1]) < 0.3


# what is stored


def test_cache_holds_the_resized_frames(data, tmp_path):
    cache = open_cache(data, SIZE, (0.1, 0, 1, 0.9), tmp_path / "cache", progress=False)
    assert cache.rgb.shape == (5, 3, 12, 16, 3)
    assert (cache.depth.dtype, cache.valid.dtype, cache.label.dtype) == (np.uint16, np.bool_, np.uint8)
    for position, scene in enumerate(data.scenes):
        for light in data.lightings:
            frame = resize.frame(data.read(scene, light), SIZE, (0.1, 0, 1, 0.9))
            assert np.array_equal(cache.rgb[position, light - 1], frame.rgb)
            assert np.array_equal(cache.depth[position], frame.depth)
            assert np.array_equal(cache.valid[position], frame.valid)
            assert np.array_equal(cache.label[position], frame.label)


def test_a_reader_s_frames_arrive_in_training_batches(tiny_mm5, tmp_path):
    data = open_dataset(tiny_mm5)
    cache = open_cache(data, (24, 32), folder=tmp_path, progress=False)
    for sample in Batches(cache, range(8), range(8), batch=3, seed=1).epoch(0):
        for i, (position, light) in enumerate(zip(sample.scene, sample.lighting, strict=True)):
            frame = data.read(data.scenes[position], data.lightings[light])
            frame = resize.frame(frame, (24, 32), (0, 0, 1, 1))
            assert np.array_equal((sample.rgb[i] * 255).round().permute(1, 2, 0).numpy(), frame.rgb)
            np.testing.assert_allclose(sample.depth[i, 0].numpy(), frame.depth * data.depth_kind.to_metres)
            assert np.array_equal(sample.valid[i, 0].numpy(), frame.valid)
            assert np.array_equal(sample.label[i].numpy(), frame.label)


def test_no_value_is_invented(data, tmp_path):
    cache = open_cache(data, (17, 13), folder=tmp_path / "cache", progress=False)
    for position, scene in enumerate(data.scenes):
        frame = data.read(scene, 1)
        assert set(np.unique(cache.depth[position])) <= set(np.unique(frame.depth))
        assert set(np.unique(cache.label[position])) <= set(np.unique(frame.label))


def test_scenes_and_positions(data, tmp_path):
    cache = open_cache(data, SIZE, folder=tmp_path, scenes=("4", "2", "4"), progress=False)
    assert cache.scenes == ("4", "2")
    assert cache.index(["2", "4", "2"]).tolist() == [1, 0, 1]
    assert np.array_equal(cache.label[0], resize.nearest(data.read("4", 1).label, SIZE, (0, 0, 1, 1)))
    with pytest.raises(UserError, match="scene '3' is not among the 2 cached"):
        cache.index(["3"])


def test_cached_arrays_cannot_be_written(data, tmp_path):
    cache = open_cache(data, SIZE, folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="read-only"):
        cache.label[0] = 0


# when it is built


def test_second_open_reads_no_image_and_no_content(data, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", 0)
    first = open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    decoded = len(data.decoded)
    assert decoded == 5 * 3
    monkeypatch.setattr(fingerprint, "_content", lambda path: pytest.fail(f"{path} was read again"))
    second = open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert len(data.decoded) == decoded
    assert second.identity == first.identity


def test_a_file_as_young_as_its_digest_is_not_remembered(data, tmp_path):
    open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    (memo,) = (tmp_path / "cache").glob("*.hashes.json")
    assert json.loads(memo.read_text()) == {}  # it could change once more within the clock's tick


def test_changed_content_of_equal_size_and_time_is_decoded_again(data, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", 0)
    old = open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    path = data.root / "3.npz"
    before = path.stat()
    fake_dataset.write_scene(data.root, "3", seed=77)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    new = open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert new.identity != old.identity
    assert not np.array_equal(new.label[2], old.label[2])  # the old arrays stay readable for who holds them
    assert len(cache_folders(tmp_path / "cache")) == 1  # and their folder is gone


def test_touched_files_of_equal_content_are_not_decoded_again(data, tmp_path):
    open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    decoded = len(data.decoded)
    for path in data.files():
        os.utime(path)
    open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert len(data.decoded) == decoded


def test_views_of_one_data_set_live_side_by_side(data, tmp_path):
    views = [{}, {"crop": (0.5, 0, 1, 1)}, {"scenes": ("1", "2")}]
    for _ in range(2):
        for view in views:
            open_cache(data, SIZE, folder=tmp_path / "cache", progress=False, **view)
    assert len(data.decoded) == 3 * (5 + 5 + 2)
    assert len(cache_folders(tmp_path / "cache")) == 3


def test_identity_is_of_content_and_meaning(data, tmp_path):
    here = open_cache(data, SIZE, folder=tmp_path / "a", progress=False).identity
    shutil.copytree(data.root, tmp_path / "elsewhere")
    copy = replace(data, root=tmp_path / "elsewhere")
    assert open_cache(copy, (6, 8), folder=tmp_path / "b", progress=False).identity == here
    merged = replace(data, classes=("background", "thing"))
    assert open_cache(merged, SIZE, folder=tmp_path / "a", progress=False).identity != here
    (copy.root / "5.npz").rename(copy.root / "6.npz")
    copy.scenes = ("1", "2", "3", "4", "6")
    assert open_cache(copy, SIZE, folder=tmp_path / "b", progress=False).identity != here


def test_a_mended_reader_decodes_again(data, tmp_path, monkeypatch):
    open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    decoded = len(data.decoded)
    monkeypatch.setattr(fingerprint.inspect, "getsource", lambda module: f"{module.__name__}: other code")
    open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert len(data.decoded) == 2 * decoded


def test_damaged_cache_is_built_again(data, tmp_path):
    whole = open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    expected = np.array(whole.rgb)
    os.truncate(whole.folder / "rgb.npy", 1000)
    assert np.array_equal(open_cache(data, SIZE, folder=tmp_path / "cache", progress=False).rgb, expected)


def test_files_that_change_while_they_are_read_are_refused(data, tmp_path):
    read = data.read

    def read_and_change(scene, lighting):
        os.utime(data.root / "5.npz", ns=(0, len(data.decoded)))
        return read(scene, lighting)

    data.read = read_and_change
    with pytest.raises(UserError, match="files changed while they were read"):
        open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert cache_folders(tmp_path / "cache") == []


# what can go wrong


def test_write_that_fails_half_way_names_the_folder_and_leaves_nothing(data, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))  # rgb.npy would have 8,768 bytes
    try:
        with pytest.raises(UserError, match=r"cache: the cache cannot be written .*RGBD_CACHE"):
            open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def test_too_little_room_is_said_before_decoding(data, tmp_path, monkeypatch):
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match="0 MB free"):
        open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert data.decoded == []


def test_folder_that_cannot_be_made(data, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"taken/cache: the cache cannot be written .*RGBD_CACHE"):
        open_cache(data, SIZE, folder=tmp_path / "taken" / "cache", progress=False)


def test_error_of_the_reader_arrives_and_leaves_nothing(data, tmp_path):
    (data.root / "2.npz").unlink()
    (data.root / "2.npz").write_bytes(b"no archive")
    data.read_rgb = lambda scene, lighting: (_ for _ in ()).throw(UserError("2.png is truncated"))
    with pytest.raises(UserError, match=r"2\.png is truncated"):
        open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 16)}, "size .* is not height,width"),
        ({"size": (12,)}, "size .* is not height,width"),
        ({"crop": (0.5, 0, 0.5, 1)}, "crop .* is not top,left,bottom,right"),
        ({"crop": (0, 0, 1, 1.2)}, "crop .* is not top,left,bottom,right"),
        ({"scenes": ()}, "no scenes to decode"),
        ({"scenes": ("1", "9")}, "no scene '9'; it has 5"),
    ],
)
def test_wrong_requests(data, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        open_cache(data, **({"size": SIZE} | change), folder=tmp_path / "cache", progress=False)


def test_vanished_file_is_named(data, tmp_path):
    gone = data.root / "gone.npz"
    data.files = lambda: [gone]
    with pytest.raises(UserError, match=r"gone\.npz cannot be read"):
        open_cache(data, SIZE, folder=tmp_path / "cache", progress=False)


# several processes

BUILDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import fake_dataset
from rgbd_lib.datasets.batches import Batches
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.datasets.open import open_dataset

data = fake_dataset.FakeDataset(Path({root!r}), tuple("12345"))
read, log, pause = data.read, open({log!r}, "a", buffering=1), {pause}

def slow(scene, lighting):
    log.write(f"{{scene}}/{{lighting}}\\n")
    time.sleep(pause if scene == "3" else 0.01)
    return read(scene, lighting)

data.read = slow
print("ready", flush=True)
sys.stdin.readline()
cache = open_cache(data, (12, 16), folder=Path({folder!r}), progress=False)
print(int(cache.rgb.sum(dtype=int)), flush=True)
"""


def start_builder(data, tmp_path: Path, pause: float) -> subprocess.Popen:
    """Start a process that waits for a line and then opens the cache, logging what it decodes."""
    paths = {"tests": str(Path(__file__).parent), "root": str(data.root)}
    paths |= {"log": str(tmp_path / "log"), "folder": str(tmp_path / "cache")}
    script = BUILDER.format(**paths, pause=pause)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def go(*builders: subprocess.Popen) -> None:
    for builder in builders:
        assert builder.stdout.readline() == "ready\n"
    for builder in builders:
        builder.stdin.write("\n")
        builder.stdin.flush()


def test_two_processes_at_once_build_once(data, tmp_path):
    builders = [start_builder(data, tmp_path, pause=0.3) for _ in range(2)]
    go(*builders)
    sums = [builder.communicate(timeout=60)[0] for builder in builders]
    assert sums[0] == sums[1] != ""
    assert sorted((tmp_path / "log").read_text().split()) == sorted(
        f"{scene}/{light}" for scene in data.scenes for light in data.lightings
    )


def test_killed_build_leaves_nothing_that_looks_complete(data, tmp_path):
    builder = start_builder(data, tmp_path, pause=60)
    go(builder)
    for _ in range(600):
        if "3/" in ((tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""):
            break
        signal.sigtimedwait([], 0.05)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    folder = tmp_path / "cache"
    assert cache_folders(folder) == []
    assert [p.name for p in folder.iterdir() if p.is_dir()] != []  # it was in the middle of a build
    cache = open_cache(data, SIZE, folder=folder, progress=False)  # the dead process holds no lock
    expected = open_cache(data, SIZE, folder=tmp_path / "fresh", progress=False)
    assert np.array_equal(cache.rgb, expected.rgb)
    assert [p.name for p in folder.iterdir() if p.is_dir()] == [cache.folder.name]
