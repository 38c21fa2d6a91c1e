"""What a network of one light is worth: which cells of the matrix are its own, and whose tables are read."""

import json
import re

import numpy as np
import pytest

from rgbd_lib import specialists, stored
from rgbd_lib.statistics import Results

LIGHTS = (1, 3, 5)


def answers(*right: float) -> np.ndarray:
    """Matrices 1,4,C,2,2 of a network that has this share of both classes right under each light."""
    return np.stack([[[100 * r, 100 * (1 - r)], [100 * (1 - r), 100 * r]] for r in right])[None, None].repeat(
        4, 1
    )


def results(**matrices: np.ndarray) -> Results:
    named = {name.replace("_", " "): m for name, m in matrices.items()}
    return Results(named, "laptop", "made 01234567", True, 0, dict.fromkeys(named, (0,)))


@pytest.fixture
def found() -> Results:
    return results(
        light_1=answers(0.9, 0.2, 0.3),
        light_3=answers(0.1, 0.8, 0.4),
        light_5=answers(0.5, 0.1, 0.7),
        mixed=answers(0.6, 0.61, 0.62),
    )


def right(matrices: np.ndarray) -> list[float]:
    return (np.trace(matrices[0, 0], axis1=-2, axis2=-1) / 200).round(2).tolist()


def test_own_light_is_the_diagonal_and_the_rest_is_the_rest(found):
    cut = specialists.parts(found, LIGHTS, LIGHTS)
    assert right(cut.matrices["own light"]) == [0.9, 0.8, 0.7]
    assert right(cut.matrices["other lights"]) == [0.2, 0.3, 0.1, 0.4, 0.5, 0.1]
    assert right(cut.matrices["mixed"]) == [0.6, 0.61, 0.62]
    assert cut.matrices["own light"].shape == cut.matrices["mixed"].shape  # what is paired must match


def test_some_lights_of_many_are_found_at_their_places(found):
    cut = specialists.parts(found, [5, 1], LIGHTS)
    assert right(cut.matrices["own light"]) == [0.7, 0.9]
    assert right(cut.matrices["mixed"]) == [0.62, 0.6]


def test_the_sentence_has_three_scores_with_intervals(found):
    said = specialists.sentence(specialists.parts(found, LIGHTS, LIGHTS), "mid")
    own, other, mixed = re.findall(r"\*\*(\d+\.\d \(\d+\.\d to \d+\.\d\))\*\*", said)
    # IoU of both classes is r / (2 - r) where r of each is right
    assert float(own.split()[0]) == pytest.approx(
        100 * np.mean([r / (2 - r) for r in (0.9, 0.8, 0.7)]), abs=0.06
    )
    assert float(other.split()[0]) < float(mixed.split()[0]) < float(own.split()[0])
    assert "Mid fusion" in said
    assert "profile laptop, 1 seed, 4 test scenes" in said


def test_several_methods_share_a_sentence(found):
    cut = specialists.parts(found, LIGHTS, LIGHTS)
    alone, said = specialists.sentence(cut, "mid"), specialists.sentences({"rgb": cut, "mid": cut})
    assert specialists.sentences({"mid": cut}) == alone
    numbers = re.findall(r"\*\*(\S+ \(\S+ to \S+\))\*\*", alone)
    assert re.findall(r"\*\*(\S+ \(\S+ to \S+\))\*\*", said) == 2 * numbers
    assert said.index("RGB only") < said.index("Mid fusion")
    assert said.count("profile laptop") == 1


@pytest.mark.parametrize("complete", [True, False])
def test_a_method_without_all_its_specialists_is_not_spoken_of(found, complete, tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    place = tmp_path / "laptop"
    place.mkdir()
    about = {"profile": "laptop", "data": found.data, "synthetic": True, "background": 0}
    np.savez(place / stored.MAIN, about=json.dumps(about), **{"mid/0": found.matrices["mixed"][0]})
    alone = [n for n in LIGHTS if complete or n != 3]
    runs = json.dumps([["mid", str(n), "", 0] for n in alone])
    arrays = {str(i): found.matrices[f"light {n}"][0] for i, n in enumerate(alone)}
    np.savez(place / stored.VARIANTS, runs=runs, **arrays)
    rows = "".join(f"light {n}\n" for n in LIGHTS)
    (place / "lightings.csv").write_text(f"condition\n{rows}", encoding="utf-8")
    said = specialists.stored_sentence()
    assert ("Mid fusion, trained under one light alone" in said) == complete
    assert ("is not known" in said) != complete
