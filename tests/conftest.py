"""Data that several test files read. Whoever changes it works on a copy."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

# One thread, here and in every process that a test starts: made data are tiny, the study trains like that, sums have
# one order, and some of the processor library's kernels crash with several threads on images of a few pixels.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from make_data import make_folder, make_mm5

from rgbd_lib import material, runs
from tests.fake_dataset import FakeDataset
from tests.study_fixtures import PARTS, learnable

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_mm5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scenes of 48x64 under all eight lightings in MM5's layout, marked synthetic. Read only."""
    return make_mm5(tmp_path_factory.mktemp("tiny") / "mm5")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes as rgb/, depth/, label/ with a dataset.toml. Read only."""
    return make_folder(tmp_path_factory.mktemp("tiny") / "kitchen")


@pytest.fixture(scope="session")
def learnable_data(tmp_path_factory: pytest.TempPathFactory) -> FakeDataset:
    """Ten scenes that a small network learns in seconds, in three splits."""
    data = learnable(tmp_path_factory.mktemp("learnable") / "data")
    data.split = lambda name, kind="official": data.scenes[PARTS[name]]
    return data


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of one test file go, so that its tests share them."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run_home(
    learnable_data: FakeDataset, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeDataset]:
    """Runs read the made data, whatever path they are given, and are recorded in a folder of the test's."""
    monkeypatch.setenv("RGBD_RESULTS", str(run_folder / "results"))
    monkeypatch.setenv("RGBD_CACHE", str(run_folder / "cache"))
    monkeypatch.setattr(material, "open_dataset", lambda path: learnable_data)
    runs._materials.cache_clear()
    yield learnable_data
    runs._materials.cache_clear()


@pytest.fixture
def mm5_copy(tiny_mm5: Path, tmp_path: Path) -> Path:
    """A copy of ``tiny_mm5`` to break."""
    return Path(shutil.copytree(tiny_mm5, tmp_path / "mm5"))


@pytest.fixture
def folder_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of ``tiny_folder`` to break."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "kitchen"))


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """A function that replaces text in a file, and fails where there is nothing to replace."""

    def replace(path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return replace
