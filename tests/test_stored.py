"""What is stored of runs comes back under any labels, with the seeds that can be compared."""

from types import SimpleNamespace

import numpy as np
import pytest

from rgbd_lib import lesson, runs, stored
from rgbd_lib.errors import UserError
from rgbd_lib.runs import Run

SCENES, LIGHTS = ("a", "b"), ("light 1", "light 3")


def record(method: str, mark: int, seed: int = 0, scenes=SCENES, data="01234567", **parameters):
    usual = {"profile": "laptop", "method": method, "seed": seed, "lighting": "mixed", "init": "random"}
    usual |= {"split": "grouped", "options": {}, "settings": {}}
    about = {"name": "made", "identity": data, "synthetic": True, "background": 0, "classes": ["x", "y"]}
    scores = SimpleNamespace(
        scenes=scenes, conditions=LIGHTS, matrices=np.full((len(scenes), 2, 2, 2), mark, np.int32)
    )
    return SimpleNamespace(info={"parameters": usual | parameters, "data": about}, scores=lambda *_: scores)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    place = tmp_path / "laptop"
    place.mkdir()
    stored.save(
        [
            record("rgb", 1),
            record("rgb", 2, seed=1),
            record("mid", 3),
            record("mid", 4, options={"fuse_at": ["stem"]}),
            record("mid", 5, seed=1, options={"fuse_at": ["stem"]}),
            record("mid", 6, lighting="all-but-1"),
            record("mid", 7, scenes=("b", "c"), options={"fuse_at": ["layer1"]}),
            record("mid", 8, data="76543210", options={"fuse_at": ["layer2"]}),
        ],
        place,
    )
    return place


def marks(results) -> dict:
    return {label: matrices[:, 0, 0, 0, 0].tolist() for label, matrices in results.matrices.items()}


def asked(**runs: tuple[str, dict]) -> dict[str, Run]:
    return {label: Run(method, "laptop", **changes) for label, (method, changes) in runs.items()}


def test_the_main_comparison_knows_nothing_of_variants(folder):
    results = stored.load("laptop")
    assert marks(results) == {"rgb": [1, 2], "mid": [3]}
    assert results.seeds == {"rgb": (0, 1), "mid": (0,)}


def test_runs_come_back_by_label_with_the_seeds_that_all_have(folder):
    stem, rgb = ("mid", {"options": {"fuse_at": ["stem"]}}), ("rgb", {})
    both = stored.load_runs("laptop", asked(early=stem, colour=rgb))
    assert marks(both) == {"early": [4, 5], "colour": [1, 2]}
    assert both.seeds["colour"] == (0, 1)
    three = stored.load_runs(
        "laptop", asked(early=stem, plain=("mid", {}), dark=("mid", {"lighting": "all-but-1"}))
    )
    assert marks(three) == {"early": [4], "plain": [3], "dark": [6]}
    assert (three.profile, three.synthetic) == ("laptop", True)


@pytest.mark.parametrize("place", ["layer1", "layer2", "layer4"])
def test_other_scenes_other_data_and_what_was_never_trained_are_not_there(folder, place):
    assert stored.load_runs("laptop", asked(x=("mid", {"options": {"fuse_at": [place]}}))) is None
    assert stored.load_runs("full", asked(x=("mid", {}))) is None


def test_variants_alone_are_nothing_to_compare(tmp_path):
    with pytest.raises(UserError, match="nothing to compare"):
        stored.save([record("rgb", 1, lighting="3")], tmp_path)


def test_a_sweep_is_read_before_it_is_trained(folder, monkeypatch):
    def made(run, quiet):
        assert (run.profile, run.seed) == ("quick", 0)
        return record(run.method, 9, lighting=run.lighting, options=run.options)

    monkeypatch.setattr(runs, "get", made)
    wanted = {"plain": ("mid", {}), "stem": ("mid", {"options": {"fuse_at": ["stem"]}})}
    assert marks(lesson.sweep("quick", 0, wanted)) == {"plain": [3], "stem": [4]}
    never = wanted | {"top": ("mid", {"options": {"fuse_at": ["layer4"]}})}
    assert marks(lesson.sweep("quick", 0, never)) == {"plain": [9], "stem": [9], "top": [9]}
    assert marks(lesson.sweep("quick", 0, wanted, data="elsewhere")) == {"plain": [9], "stem": [9]}
