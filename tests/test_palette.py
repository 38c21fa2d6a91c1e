"""Class colours that the eye can tell apart."""

import numpy as np

from rgbd_lib.palette import BACKGROUND, IGNORED, class_colours, lab

CLASSES = 32
APART = 22  # CIE76; twice what two flat areas side by side need


def test_lab_agrees_with_known_colours():
    known = {
        (255, 255, 255): (100, 0, 0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 255): (32.30, 79.19, -107.86),
    }
    for colour, place in known.items():
        np.testing.assert_allclose(lab(colour), place, atol=0.05)


def test_the_classes_are_far_apart_from_each_other_and_from_what_is_no_class():
    table = class_colours()
    shown = lab(np.vstack([table[:CLASSES], table[255]]))
    distance = np.linalg.norm(shown[:, None] - shown, axis=-1)
    assert distance[~np.eye(len(shown), dtype=bool)].min() > APART


def test_no_two_of_all_colours_are_equal():
    assert len(np.unique(class_colours(), axis=0)) == 256
    assert tuple(class_colours()[0]) == BACKGROUND
    assert tuple(class_colours()[255]) == IGNORED


def test_lightness_stays_visible_on_black_and_on_paper():
    light = lab(class_colours()[1:CLASSES])[:, 0]
    assert light.min() >= 42
    assert light.max() <= 93
