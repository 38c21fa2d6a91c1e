"""Splits by capture run: nothing shared, every class everywhere, official sizes."""

import numpy as np
import pytest

from rgbd_lib.datasets import splits
from rgbd_lib.datasets.synthetic.design import design

SHARES = {"train": 203, "test": 76, "val": 45}


@pytest.fixture(scope="module")
def mm5_like() -> tuple[list[str], dict[str, str], dict[str, frozenset[int]]]:
    """324 scenes in runs as long as MM5's, with classes as the stand-in deals them."""
    plans = design(324, 0)
    scenes = [str(p.scene) for p in plans]
    return (
        scenes,
        {str(p.scene): str(p.run) for p in plans},
        {str(p.scene): frozenset(p.classes) for p in plans},
    )


def test_a_grouped_split_shares_no_run_and_lacks_no_class(mm5_like):
    scenes, groups, content = mm5_like
    found = splits.divide(scenes, groups, content, SHARES)
    assert sorted(s for ids in found.values() for s in ids) == sorted(scenes)
    runs = {name: {groups[s] for s in ids} for name, ids in found.items()}
    assert not runs["train"] & runs["test"]
    assert not runs["train"] & runs["val"]
    assert not runs["val"] & runs["test"]
    classes = {name: set().union(*(content[s] for s in ids)) for name, ids in found.items()}
    assert all(have == set(range(1, 32)) for have in classes.values())
    assert {name: len(ids) for name, ids in found.items()} == pytest.approx(SHARES, abs=3)


def test_a_split_is_the_same_every_time_and_another_for_another_seed(mm5_like):
    assert splits.divide(*mm5_like, SHARES) == splits.divide(*mm5_like, SHARES)
    assert splits.divide(*mm5_like, SHARES, seed=1) != splits.divide(*mm5_like, SHARES)


def test_a_class_in_two_runs_is_trained_and_tested():
    scenes = [str(i) for i in range(20)]
    content = {s: frozenset({1, 2} if s in ("3", "11") else {1}) for s in scenes}
    found = splits.divide(scenes, {}, content, SHARES)
    assert {name for name, ids in found.items() if {"3", "11"} & set(ids)} == {"train", "test"}


def test_many_groups_keep_the_shares():
    scenes = [str(i) for i in range(3000)]
    groups = {s: str(int(s) // 3) for s in scenes}
    found = splits.divide(scenes, groups, {}, SHARES)
    for name, share in SHARES.items():
        assert len(found[name]) / 3000 == pytest.approx(share / 324, abs=0.01)
    assert not {groups[s] for s in found["train"]} & {groups[s] for s in found["test"]}
    places = [int(s) for s in found["test"]]
    assert max(places) - min(places) > 2 * len(places)  # no block, which would be one day


def test_leakage_agrees_with_counting_by_hand():
    order = [str(i) for i in range(12)]
    groups = {s: str(int(s) // 4) for s in order}
    rng = np.random.default_rng(0)
    for _ in range(30):
        test = [s for s in order if rng.random() < 0.3]
        seen = [s for s in order if s not in test and rng.random() < 0.6]
        found = splits.leakage(seen, test, order, groups)
        near = [s for s in test if any(abs(int(s) - int(t)) == 1 for t in seen)]
        same = [s for s in test if any(int(s) // 4 == int(t) // 4 for t in seen)]
        assert found == splits.Leakage(len(test), len(near), len(same))


def test_runs_end_where_the_content_changes_or_an_id_is_missing():
    content = {"1": {1}, "2": {1}, "3": {1, 2}, "4": {1, 2}, "6": {1, 2}, "10": {1, 2}, "9": {1, 2}}
    found = splits.runs_by_change(list(content), {s: frozenset(c) for s, c in content.items()})
    assert found == {"1": "1", "2": "1", "3": "3", "4": "3", "6": "6", "9": "9", "10": "9"}


def test_gaps_name_what_a_split_lacks():
    content = {"a": frozenset({1, 2}), "b": frozenset({1}), "c": frozenset({3})}
    assert splits.gaps({"train": ["a"], "test": ["b", "c"]}, content) == {"train": (3,), "test": (2,)}
