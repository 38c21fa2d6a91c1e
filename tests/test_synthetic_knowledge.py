"""What can be known from which modality: a small forest on object features must find exactly what was built in."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from rgbd_lib.datasets.synthetic import CLASSES, KINDS, LIGHTINGS, Plan, photograph, render_scene
from rgbd_lib.datasets.synthetic.scenes import generator
from rgbd_lib.datasets.synthetic.sensor import measure_depth

SCENES, EACH, SIZE = 30, 6, (120, 160)


def objects(kind: str, scenes: int = SCENES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class, colour features and depth features of every object in scenes that hold one kind only."""
    deck = np.random.default_rng(1).permutation(np.resize(KINDS[kind], scenes * EACH))
    rows = []
    for i in range(scenes):
        classes = tuple(int(c) for c in deck[i * EACH : (i + 1) * EACH])
        plan = Plan(scene=i + 1, run=i // 5, day=0, split="train", classes=classes)
        scene, linear = render_scene(plan, seed=3, size=SIZE)
        rgb = photograph(scene, linear, LIGHTINGS[2])
        depth = measure_depth(scene, linear, generator(3, "depth", i))
        for k, class_id in enumerate(classes):
            mask = linear.owner == k
            if mask.sum() > 20:
                rows.append((class_id, _colour(rgb[mask]), _shape(depth, mask)))
    ids, colour, shape = zip(*rows, strict=True)
    return np.array(ids), np.array(colour), np.array(shape)


def _colour(pixels: np.ndarray) -> np.ndarray:
    share = pixels / (pixels.sum(axis=1, keepdims=True) + 1.0)
    return np.concatenate(
        [np.percentile(pixels, (5, 20, 50, 80), axis=0).ravel(), share.std(0), pixels.std(0)]
    )


def _shape(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    good = mask & (depth > 0)
    y, x = np.nonzero(good)
    if y.size < 10:
        return np.zeros(12)
    bend = np.abs(np.diff(depth.astype(float), n=2, axis=1))[good[:, :-2] & good[:, 1:-1] & good[:, 2:]]
    rough = bend.mean() if bend.size else 0.0  # sensor noise, and with it the infrared reflectance
    z = depth[y, x].astype(float)
    spread = np.percentile(z, (2, 10, 25, 75, 90, 98)) - np.median(z)
    plane = np.stack([x, y, np.ones(x.size)], axis=1)
    rest = z - plane @ np.linalg.lstsq(plane, z, rcond=None)[0]
    size = mask.sum() * np.median(z) ** 2 / 1e6
    return np.array(
        [
            *spread,
            rough,
            np.abs(rest).mean(),
            y.size / mask.sum(),
            size,
            np.ptp(x) / (np.ptp(y) + 1),
            z.mean(),
        ]
    )


@pytest.fixture(scope="module")
def seen() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return {kind: objects(kind) for kind in ("apple", "grapes", "lemon", "carrot", "cup")}


def told(features: np.ndarray, answer: np.ndarray) -> float:
    """Return the share of objects that a forest tells right, each judged by one that never saw it."""
    forest = RandomForestClassifier(60, min_samples_leaf=2, random_state=0)
    return float((cross_val_predict(forest, features, answer, cv=5) == answer).mean())


def by_chance(answer: np.ndarray) -> float:
    """Return the most that guessing reaches: the largest share, and three standard errors."""
    share = max(np.mean(answer == a) for a in np.unique(answer))
    return float(share + 3 * np.sqrt(share * (1 - share) / answer.size))


def named(ids: np.ndarray, word: str) -> np.ndarray:
    return np.array([word in CLASSES[i] for i in ids])


def only(data: tuple[np.ndarray, np.ndarray, np.ndarray], classes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    keep = np.isin(data[0], classes)
    return tuple(part[keep] for part in data)


def test_a_square_needs_both(seen):
    for kind, square in (("apple", (22, 23, 24, 26)), ("grapes", (20, 19, 16, 18))):
        ids, colour, shape = only(seen[kind], square)
        green, fake = named(ids, "Green"), named(ids, "Fake")
        assert told(colour, green) > 0.9
        assert told(shape, fake) > 0.9
        assert told(colour, fake) <= by_chance(fake)
        assert told(shape, green) <= by_chance(green)
        both = np.concatenate([colour, shape], axis=1)
        assert told(both, ids) > 0.9 > 0.7 > max(told(colour, ids), told(shape, ids))


def test_rot_is_colour_only(seen):
    ids, colour, shape = only(seen["lemon"], (1, 2))
    bad = named(ids, "Bad")
    assert told(colour, bad) > 0.9
    assert told(shape, bad) <= by_chance(bad)


def test_fakes_are_depth_only(seen):
    for kind, classes in (("lemon", (1, 3)), ("carrot", (30, 31))):
        ids, colour, shape = only(seen[kind], classes)
        fake = named(ids, "Fake")
        assert told(shape, fake) > 0.9
        assert told(colour, fake) <= by_chance(fake)


def test_hot_and_cold_cups_cannot_be_told(seen):
    ids, colour, shape = seen["cup"]
    hot = named(ids, "Hot")
    assert told(np.concatenate([colour, shape], axis=1), hot) <= by_chance(hot)


def rendered(*classes: int):
    return render_scene(Plan(scene=7, run=2, day=0, split="train", classes=classes), seed=11, size=(90, 120))


def test_geometry_and_infrared_do_not_look_at_the_class():
    good, other = rendered(1, 22, 16, 28, 15), rendered(2, 25, 21, 29, 14)
    for a, b in ((good[1].seen_z, other[1].seen_z), (good[1].owner, other[1].owner)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(good[0].infrared, other[0].infrared)
    depths = [measure_depth(*r, generator(0, "same")) for r in (good, other)]
    np.testing.assert_array_equal(*depths)
    assert np.abs(good[1].surface.albedo - other[1].surface.albedo).max() > 0.1


def test_a_fake_and_its_model_are_one_picture():
    real, fake = rendered(1, 30, 22, 20, 13), rendered(3, 31, 23, 19, 27)
    np.testing.assert_array_equal(*(photograph(*r, LIGHTINGS[3]) for r in (real, fake)))
    deep, flat = (measure_depth(*r, generator(0, "same")) for r in (real, fake))
    cup = real[1].owner == 4
    assert (
        deep[cup] == flat[cup]
    ).mean() > 0.9  # hot or cold: the same cup, but for edges with its neighbours
    assert (deep != flat)[(real[1].owner >= 0) & ~cup].mean() > 0.5
