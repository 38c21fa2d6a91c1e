"""Facts about PrimKD: golden losses, what the teacher may and may not do, what the student is left with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_rule import check, inputs
from torch.nn.functional import mse_loss

from rgbd_lib.errors import UserError
from rgbd_lib.losses import cross_entropy
from rgbd_lib.methods import Target, build
from rgbd_lib.methods.distillation import (
    DIRECTIONS,
    SELECTIONS,
    MaskedReconstruction,
    Standardise,
    examine,
    kl_divergence,
    listening,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "primkd_losses.json").read_text())
WIDTH = 0.125


def golden_terms(options: dict) -> dict[str, torch.Tensor]:
    """The published loss from our parts, on the record's inputs."""
    shape = [2, 40, 48, 64]
    student = inputs(1, shape).requires_grad_()
    label = torch.from_numpy(np.random.default_rng(777).integers(0, 40, (2, 48, 64)))
    if options.get("ignore", True):
        label[torch.from_numpy(np.random.default_rng(778).random((2, 48, 64)) < 0.1)] = 255
    kept = [int(name[-1]) - 1 for name in options.get("losses", ["loss1", "loss2", "loss3", "loss4"])]
    places = [0] * 4 if options.get("tie") else range(4)
    shapes = [GOLDEN["feature_shapes"][i] for i in places]
    own = [
        (inputs(10 + i, s) * GOLDEN["feature_scale"][i]).requires_grad_()
        for i, s in zip(places, shapes, strict=True)
    ]
    terms = torch.stack([mse_loss(own[i], inputs(20 + places[i], shapes[i])) for i in kept])
    direction = DIRECTIONS["teacher" if options.get("flag", 1) else "student"]
    kl = options.get("alpha", 1.0) * direction(student, inputs(0, shape))
    feature = options.get("beta", 0.1) * SELECTIONS[options.get("select", "max")](terms)
    ce = cross_entropy(student, label)
    total = ce + kl * options.get("single", 1) + feature
    return {
        "ce": ce,
        "kl_weighted": kl,
        "mse": terms,
        "feature": feature,
        "total": total,
        "in": [student, *own],
    }


@pytest.mark.parametrize("name", GOLDEN["losses"])
def test_losses_equal_the_golden_record(name):
    record = GOLDEN["losses"][name]
    found = golden_terms(record["options"])
    for key in ("ce", "kl_weighted", "mse", "feature", "total"):
        expected = torch.tensor(record[key])
        torch.testing.assert_close(found[key], expected, atol=1e-5, rtol=1e-5, msg=key)
    gradients = {key: value for key, value in GOLDEN["outputs"].items() if key.startswith(f"{name}/")}
    if gradients:
        found["total"].backward()
    for (key, value), x in zip(gradients.items(), found["in"], strict=False):
        gradient = torch.zeros_like(x) if x.grad is None else x.grad
        check(gradient, value, atol=1e-8 if key.endswith("logits") else 1e-7)


def test_divergence_is_zero_for_equals_positive_otherwise_and_has_a_direction():
    a, b = inputs(0, [1, 3, 4, 4]), inputs(1, [1, 3, 4, 4])
    assert kl_divergence(a, a + 7) < 1e-6  # scores are defined up to a constant
    there, back = kl_divergence(a, b), kl_divergence(b, a)
    assert min(there, back) > 0.01
    assert abs(there - back) > 1e-3
    valid = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert kl_divergence(a, b, valid) == 0  # nothing valid: nothing, not NaN
    valid[0, 0] = True
    torch.testing.assert_close(kl_divergence(a, b, valid), kl_divergence(a[..., :1, :], b[..., :1, :]))


def test_high_temperature_tends_to_half_the_squared_distance_of_scores():
    a, b = inputs(0, [1, 3, 4, 4]), inputs(1, [1, 3, 4, 4])
    centred = [x - x.mean(1, keepdim=True) for x in (a, b)]
    expected = (centred[0] - centred[1]).square().sum(1).mean() / (2 * 3)
    torch.testing.assert_close(kl_divergence(a, b, temperature=1000.0), expected, rtol=0.05, atol=0)


def test_standardise_knows_all_batches_so_far():
    scale = Standardise(3)
    batches = [inputs(i, [2, 3, 5, 4]) * (i + 1) + i for i in range(3)]
    for x in batches:
        scale.observe(x)
    values = torch.cat(batches).transpose(0, 1).flatten(1)
    std = values.std(1, correction=0)
    x = batches[0]
    expected = (x - values.mean(1)[:, None, None]) / (std[:, None, None] + 1e-3)
    torch.testing.assert_close(scale(x), expected)


def test_mask_hides_the_asked_share_of_places():
    torch.manual_seed(0)
    adapter = MaskedReconstruction(2, 2, keep=0.75)
    torch.nn.init.ones_(adapter.align.bias)
    torch.nn.init.zeros_(adapter.align.weight)
    adapter.fill = torch.nn.Identity()
    kept = adapter(torch.zeros(4, 2, 50, 50))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(kept[:, 0], kept[:, 1])  # a place is hidden in all channels
    assert kept.mean().item() == pytest.approx(0.75, abs=0.02)


@pytest.fixture
def teacher() -> torch.nn.Module:
    return build("rgb", 4, width=WIDTH, seed=7).eval()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, Target]:
    draw = torch.Generator().manual_seed(3)
    label = torch.randint(0, 4, (2, 45, 61), generator=draw)
    label[:, :9] = 255
    rgb, depth = (torch.randn(2, c, 45, 61, generator=draw) for c in (3, 1))
    return rgb, depth, Target(label, torch.zeros(2, dtype=torch.long))


def primkd(teacher: torch.nn.Module | None = None, **options: object) -> torch.nn.Module:
    teachers = {"rgb": teacher} if teacher else None
    return build("primkd", 4, **({"width": WIDTH, "student": "fusenet", "teachers": teachers} | options))


def test_identical_student_pays_nothing(teacher, batch):
    model = primkd(teacher, student="rgb", stages=(1, 2, 3, 4), standardise=False).train()
    model.student.load_state_dict(teacher.state_dict())
    for adapter in model.adapters.values():
        torch.nn.init.dirac_(adapter.weight)
        torch.nn.init.zeros_(adapter.bias)
    model.student.eval()  # the same statistics in every norm
    assert model(*batch).extra_loss.abs() < 1e-6
    with torch.no_grad():
        model.student.decoder.classify.bias[0] += 1
    assert model(*batch).extra_loss > 1e-2


def test_teacher_is_neither_trained_nor_saved_nor_changed(teacher, batch):
    given = {name: value.clone() for name, value in teacher.state_dict().items()}
    model = primkd(teacher.train()).train()  # handed over as training left it
    assert model.state_dict().keys() == primkd().state_dict().keys()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: p.detach().clone() for name, p in model.student.named_parameters()}
    model(*batch).extra_loss.backward()
    optimizer.step()
    changed = [name for name, p in model.student.named_parameters() if not torch.equal(p, before[name])]
    assert len(changed) > 0.9 * len(before)  # all but the biases in front of a norm
    inner = model._teacher[0]
    assert not any(m.training for m in inner.modules())
    for state in (teacher.state_dict(), inner.state_dict()):
        assert all(torch.equal(value, given[name]) for name, value in state.items())
    assert all(p.requires_grad for p in teacher.parameters())  # the caller's own module is left alone


def test_teacher_follows_the_model_to_another_type(teacher, batch):
    model = primkd(teacher).double().train()
    rgb, depth, target = batch
    assert model(rgb.double(), depth.double(), target).extra_loss.isfinite()
    assert next(model._teacher[0].parameters()).dtype == torch.float64


def test_student_starts_and_ends_as_it_would_alone(teacher, batch):
    rgb, depth, _ = batch
    alone, model = build("fusenet", 4, width=WIDTH, seed=5).eval(), primkd(teacher, seed=5).eval()
    assert torch.equal(model(rgb, depth).logits, alone(rgb, depth).logits)
    assert torch.equal(model.student(rgb, depth).logits, alone(rgb, depth).logits)


def test_without_teacher_it_scores_but_does_not_train(batch):
    model = primkd()
    assert model.eval()(*batch).extra_loss is None
    with pytest.raises(UserError, match="trained rgb run"):
        model.train()(*batch)


def test_only_the_worst_stage_is_pulled(teacher, batch):
    model = primkd(teacher, alpha=0.0).train()
    out = model(*batch, explain=True)
    distances = out.explain["feature_distances"]
    torch.testing.assert_close(out.extra_loss, 0.1 * distances.max())
    out.extra_loss.backward()
    pulled = [a.weight.grad.abs().sum() > 0 for a in model.adapters.values()]
    assert pulled == [i == int(distances.argmax()) for i in range(4)]


def test_ignored_pixels_do_not_distil_unless_asked(teacher, batch):
    rgb, depth, target = batch
    model = primkd(teacher, beta=0.0).train()
    model.student.eval()  # its norms must not see the change either
    logits, told = model.student(rgb, depth).logits, teacher(rgb, depth).logits
    some, every = (model(rgb, depth, target).extra_loss, kl_divergence(told, logits))
    torch.testing.assert_close(some, kl_divergence(told, logits, target.label != 255))
    assert abs(some - every) > 1e-5
    model.count_ignored = True
    torch.testing.assert_close(model(rgb, depth, target).extra_loss, every)


def test_only_stages_that_fuse_are_distilled():
    assert list(primkd(student="mid").adapters) == ["2", "4"]  # its other skips are RGB's alone
    assert list(primkd(student_options={"variant": "SF2"}).adapters) == ["1", "2", "3", "4"]  # sums flow on
    assert not primkd(student="late").adapters  # two decoders share no map
    assert not primkd(student="rgb").adapters
    widths, fused, classes = examine(build("gemini", 4, width=WIDTH))
    assert (widths, fused, classes) == ({1: 16, 2: 32, 3: 64, 4: 128}, (1, 2, 3, 4), 4)  # two streams each


def test_listening_leaves_nothing_behind(teacher, batch):
    rgb, depth, _ = batch
    with listening(teacher, 2) as heard:
        teacher(rgb, depth)
    x = teacher.encoder(rgb)
    assert all(torch.equal(a, b) for a, b in zip(heard, x[1:], strict=True))
    assert not teacher.decoder._forward_pre_hooks
    heard.clear()
    teacher(rgb, depth)
    assert not heard


def test_misfits_are_named_before_training():
    for wrong, text in ((build("rgb", 9, width=WIDTH), "9 classes"), (build("rgb", 4, width=0.25), "width")):
        with pytest.raises(UserError, match=text):
            primkd(wrong)
    for options in ({"direction": "up"}, {"select": "median"}, {"reconstruct": "gan"}):
        with pytest.raises(UserError, match="Known: "):
            primkd(**options)
    with pytest.raises(UserError, match="teacher of its own"):
        primkd(student="primkd")
    with pytest.raises(UserError, match=r"stages \(0,\)"):
        primkd(stages=(0,))
