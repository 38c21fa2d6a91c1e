"""Published numbers as data: differences, sources, and claims that are answered from matrices."""

import numpy as np
import pandas as pd
import pytest

from rgbd_lib import literature
from rgbd_lib.errors import UserError
from rgbd_lib.plots import literature as plots
from rgbd_lib.statistics import Results


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return literature.read()


def results(**share: float) -> Results:
    """Return two seeds, four scenes, two lights, in which each row gets a share of two classes right."""
    made = {}
    for name, hit in share.items():
        scenes = [
            [[900, 100], [round(100 * (1 - hit - 0.01 * s)), round(100 * (hit + 0.01 * s))]] for s in range(4)
        ]
        made[name] = np.broadcast_to(np.array(scenes)[None, :, None], (2, 4, 2, 2, 2)).copy()
    return Results(made, profile="smoke", data="made", synthetic=True, background=0)


def test_every_row_names_its_source_and_lies_between_0_and_100(table):
    assert table.source.str.len().min() > 5
    for score in ("miou", "pixel_acc", "mean_acc"):
        assert table[score].dropna().between(1, 100).all()
    assert table[["kind", "family", "dataset", "method"]].notna().all().all()
    assert set(table.kind) == {"own", "listed", "rerun"}
    assert (table.claimed.notna() == table.claimed_source.notna()).all()


def test_each_study_has_one_rgb_row_per_data_set(table):
    rows = table[table.study.notna()]
    assert (rows.groupby(["study", "dataset"]).baseline.sum() == 1).all()
    assert rows[rows.baseline].modalities.eq("RGB").all()


def test_gains_are_differences_within_a_study(table):
    rows = literature.gains(table).set_index("method").gain
    assert rows["FuseNet-SF5"] == pytest.approx(37.29 - 32.47)
    assert rows["FuseNet baseline: RGB-D stacked"] == pytest.approx(31.95 - 32.47)  # stacking lost
    assert rows["CEN-RefineNet (single-scale)"] == pytest.approx(51.1 - 45.5)
    assert "CMX" not in rows  # its paper's RGB row is not in the table


def test_places_and_stages_are_complete(table):
    places = literature.by_place(table)
    assert len(places) == 3 * 4 * 2
    assert set(places.place) == set(literature.PLACES)
    stages = literature.stages(table)
    assert list(stages.index) == [1, 2, 3, 4, 5]
    assert stages.SF.idxmax() == 4
    assert (stages.SF > stages.DF).all()


def test_gap_of_a_rerun_is_signed(table):
    rows = literature.reruns(table)
    worst = rows.iloc[0]
    assert worst.gap == pytest.approx(32.87 - 54.1)
    assert rows.gap.is_monotonic_increasing


def test_scales_pair_rows_of_one_paper(table):
    found = literature.scale_gains(table).set_index(["method", "backbone", "dataset"]).gain
    assert found["CMX", "MiT-B2", "NYUv2"] == pytest.approx(0.3)
    assert found["CEN-RefineNet", "ResNet101", "NYUv2"] == pytest.approx(0.6)


def test_verdicts_follow_the_matrices(table):
    made = [literature.Claim("X", "up", "a", "b", 1.0), literature.Claim("X", "down", "b", "a", 1.0),
            literature.Claim("X", "same", "a", "c", 1.0)]  # fmt: skip
    found = literature.verdicts(made, [results(b=0.3), results(a=0.8, b=0.3, c=0.8)])
    assert list(found.verdict) == ["holds here", "turns round here", "cannot be told"]
    assert found.here[0] == pytest.approx(-found.here[1])
    assert (found.p_holm >= found.p).all()
    assert "**1** holds here" in literature.answer(found)


def test_claims_need_their_rows(table):
    claims = literature.claims(table)
    assert {c.paper for c in claims} == {"FuseNet", "CEN"}
    assert all(c.published > 0 for c in claims)  # each is what the paper's own table shows
    with pytest.raises(UserError, match="'fusenet' and 'rgb'"):
        literature.verdicts(claims, [results(a=0.5, b=0.5)])


def test_published_markers_are_hollow_and_ours_filled(table):
    own = results(**{n: 0.4 + 0.03 * i for i, n in enumerate(literature.MAIN)})
    left, right = plots.family_gains(table, own).drawing.axes
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert dots
    assert all(line.get_markerfacecolor() == "none" for line in dots)
    assert sum(len(line.get_xdata()) for line in dots) == len(literature.gains(table))
    assert not any(
        line.get_markerfacecolor() == "none" for line in right.lines if line.get_marker() != "None"
    )
    assert "synthetic" in right.get_title()


def test_figures_name_paper_table_and_protocol(table):
    ours = {"rgb": 0.3} | {f"concat {place}": 0.4 for place in literature.PLACES}
    assert "Wang et al. 2020" in plots.places(table, results(**ours)).caption
    assert "table 2" in plots.stages(table, results(rgb=0.3, SF5=0.4, SF1=0.4, DF5=0.5)).caption
    assert "results/literature.csv" in plots.gaps(table).caption
    assert "Hollow" in plots.by_year(table).caption
