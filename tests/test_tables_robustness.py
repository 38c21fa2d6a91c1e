"""Tables of the suite, from runs whose counts are made: who is in which table, and what the numbers are."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rgbd_lib import corruptions, dimmer, examples, headline, methods, metrics, tables_robustness
from rgbd_lib.errors import UserError
from rgbd_lib.examples import Examples
from rgbd_lib.plots import catalogue, lighting, suite
from rgbd_lib.plots import examples as pictures
from rgbd_lib.plots.style import CAPTIONS, Figure, new, use_style
from rgbd_lib.records import plain as is_plain
from rgbd_lib.statistics import Results

SUITE = tuple(s.name for s in corruptions.SUITE)
LIGHTS = ("light 1", "light 3")
EXPOSURES = tuple(map(dimmer.name, dimmer.STOPS))


class Made:
    """A record whose share of right pixels is given for every condition."""

    def __init__(self, folder: Path, method: str, share: dict[str, float], **parameters: object) -> None:
        self.folder = folder / f"{method}-{len(list(folder.iterdir()))}"
        self.folder.mkdir()
        for conditions in ("suite", "dimmed"):
            (self.folder / f"{conditions}-best.npz").touch()
        self.share = share
        usual = {"profile": "smoke", "method": method, "seed": 0, "lighting": "mixed", "init": "random"}
        usual |= {"split": "grouped", "options": {}, "settings": {}}
        data = {"name": "made", "identity": "0123456789", "synthetic": True, "background": 0}
        self.info = {"parameters": usual | parameters, "data": data}

    def scores(self, conditions: str = "lightings", weights: str = "best") -> SimpleNamespace:
        names = {"suite": SUITE, "dimmed": EXPOSURES}.get(conditions, LIGHTS)
        right = np.array([round(100 * self.share.get(n, 0.8)) for n in names])
        matrices = np.stack([[[r, 100 - r], [100 - r, r]] for r in right])
        table = pd.DataFrame({"condition": names, "miou": metrics.miou(matrices)})
        return SimpleNamespace(conditions=names, matrices=np.stack([matrices] * 3), table=lambda: table)


def tables(records: list[Made]) -> dict[str, pd.DataFrame]:
    """Return the tables of some records."""
    return tables_robustness.tables(records, stored_of(records))


def stored_of(records: list[Made]) -> Results:
    """Return the matrices of their plain runs."""
    plain: dict[str, list[Made]] = {}
    for record in filter(is_plain, records):
        plain.setdefault(record.info["parameters"]["method"], []).append(record)
    return Results(
        {name: np.stack([r.scores().matrices for r in found]) for name, found in plain.items()},
        "smoke",
        "made 01234567",
        True,
        0,
        {name: tuple(r.info["parameters"]["seed"] for r in found) for name, found in plain.items()},
    )


def iou(share: float) -> float:
    return share / (2 - share)


@pytest.fixture
def made(tmp_path: Path) -> list[Made]:
    """Two plain runs, one hardened, and two that are neither."""
    return [
        Made(tmp_path, "rgb", {"light 1": 0.2}),
        Made(tmp_path, "mid", {"depth_off": 0.3, "light 1": 0.6, "−8 stops": 0.4}),
        Made(
            tmp_path,
            "mid",
            {"clean": 0.7, "depth_off": 0.6, "light 1": 0.6},
            settings={"modality_dropout": 0.3},
        ),
        Made(tmp_path, "mid", {}, settings={"lr": 0.1}),
        Made(tmp_path, "mid", {}, lighting="3"),
    ]


def test_a_method_with_a_seed_that_waits_for_its_test_stays_out(made, tmp_path):
    late = Made(tmp_path, "mid", {}, seed=1)
    for name in ("suite", "dimmed"):
        (late.folder / f"{name}-best.npz").unlink()
    found = tables([*made, late])
    assert list(found["robustness"].method) == ["rgb"]
    assert set(found["dimmed"].method) == {"rgb"}
    alone = tables([*made[1:], late])  # better than no table
    assert list(alone["robustness"].method) == ["mid"]


def test_rows_of_runs_that_are_elsewhere_stay(made, tmp_path):
    """Tables made of some records beside the tables of all are the tables of all."""
    made.append(Made(tmp_path, "early", {"clean": 0.5, "holes 3": 0.4}))
    whole = tables(made)
    for here in ([made[0]], made[1:3], made[3:]):
        found = tables_robustness.tables(here, stored_of(made), whole)
        assert set(found) == set(whole)
        for name, table in whole.items():
            by = [
                c for c in ("method", "trained_on", "variant", "condition", "exposure", "score") if c in table
            ]
            pair = [t.sort_values(by).reset_index(drop=True) for t in (found[name][list(table)], table)]
            pd.testing.assert_frame_equal(*pair, rtol=2e-6)


def test_a_method_without_stored_matrices_is_not_in_the_closing_table(made):
    """It had an interval once; now the others have all their seeds and it does not."""
    whole, rgb = tables(made), stored_of(made[:1])
    found = tables_robustness.tables([], rgb, whole)
    assert list(found["robustness"].method) == ["rgb"]
    nobody = Results({}, "smoke", "made 01234567", True, 0, {})
    assert "robustness" not in tables_robustness.tables([], nobody, whole)
    assert set(found["suite"].method) == {"rgb", "mid"}  # what was measured stays


def test_the_closing_table_has_every_score_with_its_interval(made):
    table = tables(made)["robustness"].set_index("method")
    assert list(table.index) == ["rgb", "mid"]
    assert table.loc["rgb", "worst"] == pytest.approx(iou(0.2))
    assert table.loc["rgb", "lightings"] == pytest.approx((iou(0.2) + iou(0.8)) / 2)
    assert table.loc["mid", "depth_off"] == pytest.approx(iou(0.3), rel=1e-5)  # six digits, as in suite.csv
    for score in headline.UNDER:
        assert table.loc["mid", f"{score}_low"] == pytest.approx(
            table.loc["mid", score], rel=1e-5
        )  # equal scenes


def test_hardening_is_priced_against_the_plain_run_alone(made):
    table = tables(made)["hardening"].set_index("score")
    assert set(table.variant) == {"modality_dropout=0.3"}
    assert table.loc["clean", "difference"] == pytest.approx(iou(0.7) - iou(0.8))
    assert table.loc["worst_condition", "difference"] == pytest.approx(iou(0.6) - iou(0.3))
    assert table.loc["rgb_off", "difference"] == pytest.approx(0)


def test_the_dimmer_has_a_row_per_plain_method_and_exposure(made):
    table = tables(made)["dimmed"].set_index(["method", "exposure"])
    assert len(table) == 2 * len(dimmer.STOPS)
    assert table.loc[("mid", -8.0), "miou"] == pytest.approx(iou(0.4))
    assert table.loc[("mid", 2.0), "miou"] == pytest.approx(iou(0.8)) == table.loc[("rgb", -8.0), "low"]
    assert table.seeds.eq(1).all()


def test_the_dimmer_is_drawn_from_bright_to_dark_over_its_baselines(stored):
    figure = suite.dimmer("smoke")
    axes = figure.drawing.axes[0]
    assert axes.get_title() == "Mid fusion"
    left, right = axes.get_xlim()
    assert (left, right) == (2, -8)
    assert [len(line.get_xdata()) for line in axes.lines][:3] == [8, 0, 8]  # RGB, no depth run, the method
    assert 100 * iou(0.4) == pytest.approx(axes.lines[2].get_ydata()[-1])


def test_without_evaluations_there_are_no_tables(made):
    for record in made:
        for path in record.folder.glob("*-best.npz"):
            path.unlink()
    assert tables(made) == {}


@pytest.fixture
def stored(made, tmp_path, monkeypatch) -> Path:
    """The tables of these runs where figures look for them."""
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "results"))
    folder = tmp_path / "results" / "smoke"
    folder.mkdir(parents=True)
    for name, table in tables(made).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame({"method": sorted(methods.names())}).to_csv(folder / "methods.csv", index=False)
    return folder


def test_the_closing_table_in_words(stored):
    table = headline.robustness("smoke")
    assert list(table.columns) == list(headline.UNDER.values())
    value = f"{100 * iou(0.3):.1f}"
    assert table.loc["Mid fusion", "depth off"] == f"{value} ({value} to {value})"
    assert "Synthetic data, profile smoke, 1 seed, 3 test scenes." in headline.robustness_markdown("smoke")


@pytest.mark.parametrize(
    "draw", [suite.overview, suite.every_condition, suite.retention, suite.dimmer, suite.price]
)
def test_figures_of_the_suite_are_the_same_bytes_twice(stored, draw, tmp_path):
    found = []
    for part in "ab":
        with use_style():
            figure = draw("smoke")
            figure.save(tmp_path / part, "figure")
        assert figure.alt
        assert "Synthetic data, profile smoke" in figure.caption
        found.append((tmp_path / part / "figure.png").read_bytes())
    assert found[0] == found[1]


def test_the_map_shows_what_the_table_says(stored):
    with use_style():
        axes = suite.every_condition("smoke").drawing.axes[0]
    values = axes.images[0].get_array()
    assert values[SUITE.index("depth_off"), 1] == pytest.approx(100 * iou(0.3))


def test_the_matrix_frames_the_light_of_the_training(stored):
    rows = [
        {"trained_on": t, "condition": c, "miou": m}
        for t, c, m in (
            ("1", "light 1", 0.5),
            ("1", "light 3", 0.2),
            ("3", "light 1", 0.1),
            ("3", "light 3", 0.6),
        )
    ]
    fixed = {"profile": "smoke", "data": "made", "synthetic": True, "method": "mid", "seed": 0, "variant": ""}
    pd.DataFrame(rows).assign(**fixed).to_csv(stored / "lightings.csv", index=False)
    with use_style():
        axes = lighting.matrix("smoke").drawing.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[50, 20], [10, 60]])
    assert [(round(p.get_x() + 0.46), round(p.get_y() + 0.44)) for p in axes.patches] == [(0, 0), (1, 1)]


# -- the stored scene -----------------------------------------------------------------------------


def scene() -> Examples:
    about = {
        "profile": "smoke",
        "data": "made",
        "synthetic": True,
        "seed": 0,
        "scene": "7",
        "good": 1,
        "bad": 0,
    }
    about |= {"classes": ["Background", "Cup"], "conditions": list(LIGHTS), "metric": True}
    label = np.zeros((8, 10), np.uint8)
    label[2:6, 2:6] = 1
    depth = np.full((8, 10), 0.75, np.float32)
    depth[0] = np.nan
    pictures = np.arange(2 * 8 * 10 * 3, dtype=np.uint8).reshape(2, 8, 10, 3)
    wrong = np.zeros_like(label)
    return Examples(about, pictures, pictures, depth, label, {"rgb": np.stack([wrong, label])})


def test_a_stored_scene_comes_back_as_it_was(stored):
    scene().save(stored / examples.FILE)
    back = examples.load("smoke")
    assert back.about == scene().about
    for name in ("thumbnails", "rgb", "depth", "label"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scene(), name))
    np.testing.assert_array_equal(back.predictions["rgb"], scene().predictions["rgb"])


def test_mistakes_are_drawn_where_they_are(stored):
    scene().save(stored / examples.FILE)
    with use_style():
        good, bad = pictures.good("smoke"), pictures.bad("smoke")
    found = [f.drawing.axes[7].images[0].get_array() for f in (good, bad)]
    np.testing.assert_array_equal(found[0], scene().label)  # nothing found: every object pixel is wrong
    assert not found[1].any()
    assert "under light 3, the best" in good.caption
    assert "under light 1, the worst" in bad.caption


def test_a_figure_that_cannot_be_made_any_more_is_removed(tmp_path, monkeypatch, capsys):
    def drawn(profile: str) -> Figure:
        return Figure(new(1.0)[0], f"A caption, {profile}.", "An empty frame.")

    def lacking(profile: str) -> Figure:
        raise UserError("its table is gone")

    monkeypatch.setattr(catalogue, "FIGURES", {"kept": drawn, "lost": drawn})
    catalogue.write_all("quick", tmp_path)
    assert set(json.loads((tmp_path / CAPTIONS).read_text())) == {"kept", "lost"}
    monkeypatch.setattr(catalogue, "FIGURES", {"kept": drawn, "lost": lacking})
    assert all(path.stem == "kept" for path in catalogue.write_all("quick", tmp_path))
    assert {path.stem for path in tmp_path.iterdir()} == {"kept", "captions"}
    assert set(json.loads((tmp_path / CAPTIONS).read_text())) == {"kept"}
    assert "no figure lost: its table is gone" in capsys.readouterr().out


def test_every_figure_of_the_catalogue_has_its_own_name():
    assert len(set(catalogue.FIGURES.values())) == len(catalogue.FIGURES)
