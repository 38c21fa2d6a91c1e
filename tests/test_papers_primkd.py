"""Facts about CMX and PrimKD: rates, colour order, the lesson, masks, and the student that leaves."""

import numpy as np
import pytest
import torch
from paper_networks import images, made

from rgbd_lib import papers
from rgbd_lib.errors import UserError
from rgbd_lib.papers import mit
from rgbd_lib.papers.cmx import stream_rates
from rgbd_lib.papers.segformer import MEAN, STD, three_channels


def test_rates_of_stage_two_are_the_released_ones_or_each_blocks_own():
    rgb, other = stream_rates("mit_b2", 0.15, "released")  # 3, 4, 6, 3 blocks: rates 0, 0.01, ... 0.15
    assert rgb == pytest.approx([0, 0.01, 0.02, *[0.03] * 4, *np.arange(7, 16) / 100])
    assert other == pytest.approx([0, 0.01, 0.02, *[0.04] * 4, *np.arange(7, 16) / 100])
    for own in stream_rates("mit_b2", 0.15, "own"):
        assert own == pytest.approx(np.arange(16) / 100)
    with torch.device("meta"):
        model = papers.build("cmx-mit_b0", 3, drop_path=0.7)
    drops = {s: [b.drop_path.rate for b in getattr(model.backbone, f"{s}block2")] for s in ("", "extra_")}
    assert drops[""] == pytest.approx([0.2, 0.2])
    assert drops["extra_"] == pytest.approx([0.3, 0.3])


def test_dropped_paths_keep_the_mean():
    torch.manual_seed(0)
    drop = mit.DropPath(0.25).train()
    x = drop(torch.ones(4000, 3, 2))
    assert torch.equal(x, x[:, :1, :1].expand_as(x))  # whole samples
    assert x.unique().tolist() == pytest.approx([0, 4 / 3])
    assert x.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_the_released_colour_order_is_undone_exactly():
    image = torch.rand(1, 3, 4, 5)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    released = (image.flip(1) - mean) / std  # B, G, R under the statistics of R, G, B
    torch.testing.assert_close(three_channels((image - mean) / std, bgr=True), released)


@pytest.fixture(scope="module")
def lesson() -> tuple:
    student = made("primkd-mit_b0", embed=32, alpha=0.7, beta=0.3)
    teacher = made("segformer-mit_b0", embed=32)
    return student, teacher, images(2, 2, 3, 45, 52)


def test_the_lesson_is_the_published_one(lesson):
    student, teacher, (rgb, depth) = lesson
    with torch.no_grad():
        out = student(rgb, depth, teacher=teacher)
        s, t = out.logits.log_softmax(1), teacher(rgb).logits.log_softmax(1)
        divergence = (t.exp() * (t - s)).sum(1).mean()
        maps = zip(student.fused(rgb, depth), teacher.backbone(rgb), (1, 2, 3, 4), strict=True)
        errors = [((getattr(student.decode_head, f"align_loss{k}")(f) - g) ** 2).mean() for f, g, k in maps]
        assert out.extra_loss == pytest.approx((0.7 * divergence + 0.3 * max(errors)).item(), rel=1e-5)
        assert student(rgb, depth, False, teacher=teacher).extra_loss == pytest.approx(
            out.extra_loss.item(), rel=1e-5
        )
        assert student(rgb, depth).extra_loss is None


def test_only_the_worst_stage_learns_and_the_teacher_never(lesson):
    student, teacher, pair = lesson
    student(*pair, teacher=teacher).extra_loss.backward()
    heads = [getattr(student.decode_head, f"align_loss{k}").weight.grad.abs().sum() for k in (1, 2, 3, 4)]
    assert sum(g > 0 for g in heads) == 1
    assert all(p.grad is None for p in teacher.parameters())
    student.zero_grad()
    with pytest.raises(UserError, match="training mode"):
        student(*pair, teacher=teacher.train())
    teacher.eval()


def test_masks_keep_three_quarters_and_scores_do_not_see_them():
    model = made("primkd-mit_b0", branch="mask", embed=32)
    shown = []
    for k in (1, 2, 3, 4):
        getattr(model.decode_head, f"conv_loss{k}").register_forward_pre_hook(lambda _, x: shown.append(x[0]))
    torch.manual_seed(0)
    maps = [torch.randn(8, c, 12, 12) for c in (32, 64, 160, 256)]
    model.rebuild(maps)
    kept = torch.cat([(x != 0).all(1).flatten() for x in shown])
    assert torch.equal(kept, torch.cat([(x != 0).any(1).flatten() for x in shown]))  # all channels of a place
    assert kept.float().mean() == pytest.approx(0.75, abs=0.03)
    model.mask_always = False
    shown.clear()
    model.rebuild(maps)
    assert all((x != 0).all() for x in shown)
    torch.manual_seed(1)
    pair = images(2, 1, 3, 32, 32)
    assert torch.equal(model(*pair).logits, model(*pair).logits)


@pytest.mark.parametrize("branch", ["hint", "mask"])
def test_the_student_leaves_school_as_cmx(branch):
    model = made("primkd-mit_b0", branch=branch, embed=32, head_eps=0.1)
    plain = model.student()
    assert list(plain.state_dict()) == list(made("cmx-mit_b0", embed=32).state_dict())
    pair = images(2, 1, 3, 45, 52)
    with torch.no_grad():
        assert torch.equal(plain(*pair).logits, model(*pair).logits)
