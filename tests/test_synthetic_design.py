"""Which classes lie where: counts, splits, runs and the ceilings that follow. Nothing is rendered."""

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize

from rgbd_lib.datasets.synthetic import CEILINGS, CLASSES, COLOURS, GROUPS, KINDS, ceiling, design
from rgbd_lib.datasets.synthetic.classes import cues
from rgbd_lib.datasets.synthetic.design import EVAL_IDS, endless


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_is_frequent_enough_in_both_parts(seed):
    plans = design(324, seed)
    for part, least, scenes in (("train", 8, 248), ("eval", 3, 76)):
        mine = [p for p in plans if p.split == part]
        assert len(mine) == scenes
        count = Counter(c for p in mine for c in p.classes)
        assert set(count) == set(range(1, 32))
        assert min(count.values()) >= least


def test_classes_of_a_kind_are_equally_frequent():
    for part in ("train", "eval"):
        count = Counter(c for p in design(324, 0) if p.split == part for c in p.classes)
        for ids in KINDS.values():
            assert np.ptp([count[c] for c in ids]) <= 1


def test_official_split_is_interleaved_within_runs():
    plans = design(324, 0)
    assert tuple(p.scene for p in plans if p.split == "eval") == EVAL_IDS
    train = {p.scene for p in plans if p.split == "train"}
    assert sum(i - 1 in train or i + 1 in train for i in EVAL_IDS) >= 75
    runs = [p.run for p in plans]
    assert runs == sorted(runs)
    assert max(runs) == 73
    trained = {p.run for p in plans if p.split == "train"}
    assert sum(p.run in trained for p in plans if p.split == "eval") >= 60


def test_class_is_dealt_independently_of_the_run():
    """Within a run the classes of a kind vary as in the deck: else a memorised background would name the class."""
    same = total = 0
    for seed in range(8):
        plans = design(324, seed)
        by_run: dict[int, list[int]] = {}
        for p in plans:
            by_run.setdefault(p.run, []).extend(c for c in p.classes if c in (30, 31))
        for ids in by_run.values():
            pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
            same, total = same + sum(a == b for a, b in pairs), total + len(pairs)
    assert same / total == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("scenes", "held_out"), [(1, 0), (2, 1), (12, 3), (100, 23), (648, 152)])
def test_other_sizes_keep_the_proportions(scenes, held_out):
    plans = design(scenes, 0)
    assert [p.scene for p in plans] == list(range(1, scenes + 1))
    assert sum(p.split == "eval" for p in plans) == held_out
    assert all(1 <= len(p.classes) <= 8 for p in plans)
    assert [p.run for p in plans] == sorted(p.run for p in plans)


def test_design_and_stream_depend_on_the_seed_alone():
    assert design(60, 4) == design(60, 4)
    assert design(60, 4) != design(60, 5)
    assert endless(17, 4) == endless(17, 4)
    assert len({endless(i, 4).classes for i in range(40)}) > 20


def test_ceiling_is_the_best_that_guessing_reaches():
    """Mean IoU of n equal classes that look alike, answered with probabilities p: maximise it by force."""
    for n in (2, 3):

        def minus_mean_iou(x: np.ndarray) -> float:
            p = np.abs(x) / np.abs(x).sum()
            return -float(np.mean(p / (1 + (n - 1) * p)))  # noqa: B023 - used within the loop

        found = -minimize(minus_mean_iou, np.linspace(0.5, 1, n), method="Nelder-Mead").fun
        assert 1 / (2 * n - 1) == pytest.approx(found, abs=1e-3)
    assert CEILINGS["apple square"] == pytest.approx({"rgb": 1 / 3, "depth": 1 / 3, "both": 1})
    assert CEILINGS["lemon"] == pytest.approx({"rgb": 5 / 9, "depth": 5 / 9, "both": 1})
    assert CEILINGS["cups"] == pytest.approx({"rgb": 1 / 3, "depth": 1 / 3, "both": 1 / 3})
    assert ceiling((28, 29), "depth") == pytest.approx(1 / 3)
    assert ceiling((28, 29), "rgb") == 1


def test_only_hot_and_cold_cups_share_both_cues():
    seen: dict[tuple[str, str], list[int]] = {}
    for c in range(1, 32):
        seen.setdefault(cues(c), []).append(c)
    assert [ids for ids in seen.values() if len(ids) > 1] == [[13, 27]]
    assert all(set(ids) <= set(range(1, 32)) for ids in GROUPS.values())


def test_names_and_colours():
    assert len(CLASSES) == len(COLOURS) == 32
    assert (CLASSES[0], CLASSES[9], CLASSES[19], CLASSES[27], CLASSES[31]) == (
        *("Background", "Kettle", "Grapes Blue Fake", "Cup Cold", "Carrot Fake"),
    )
    assert sorted(c for ids in KINDS.values() for c in ids) == list(range(1, 32))
    assert len({tuple(c) for c in COLOURS.tolist()}) == 32
