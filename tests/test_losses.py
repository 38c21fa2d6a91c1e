"""Facts about the task losses: golden numbers, slow second implementations, ignored pixels."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rgbd_lib import losses
from rgbd_lib.errors import UserError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "mm5_losses.json").read_text())["cases"]
NAMES = ("dice+ce", "ce", "weighted-ce", "ohem", "lovasz")


def golden_case(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The rule by which the record's inputs were made."""
    kind, classes = name.split("_")
    logits = np.random.default_rng(10_000).standard_normal((2, int(classes), 24, 40)).astype(np.float32)
    target = np.random.default_rng(777).integers(0, int(classes), (2, 24, 40))
    if kind == "sparse":
        target[target > 8 if int(classes) > 9 else target > 5] = 0
    return torch.from_numpy(logits * (4 if kind == "sharp" else 1)), torch.from_numpy(target)


def make(name: str, classes: int) -> losses.Loss:
    weights = torch.linspace(0.5, 2, classes) if name == "weighted-ce" else None
    return losses.task_loss(name, classes, weights)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(2, 5, 9, 7, generator=generator)
    label = torch.randint(0, 5, (2, 9, 7), generator=generator)
    label[:, 2:5] = 255
    return logits, label


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_agrees_with_the_studys_own_numbers(name):
    record = GOLDEN[name]
    logits, label = golden_case(name)
    with torch.no_grad():
        assert float(losses.dice_cross_entropy(logits, label, 0.3)) == pytest.approx(
            record["combined_0.3"], rel=1e-6
        )
        assert float(losses.dice(logits, label)) == pytest.approx(record["dice"], rel=1e-6)
        assert float(losses.cross_entropy(logits, label)) == pytest.approx(record["ce"], rel=1e-6)
    logits.requires_grad_()
    loss = losses.task_loss("dice+ce", logits.shape[1])(logits, label)
    assert loss.item() == pytest.approx(record["combined_0.5"], rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    want = record["grad_combined"]
    got = gradient.flatten()[want["index"]].double()
    np.testing.assert_allclose(got, want["value"], atol=1e-5 * want["std"], rtol=1e-4)


def slow_dice(logits, label):
    """The formula with one-hot labels, image by image, over the labelled pixels alone."""
    total = 0
    for z, y in zip(logits, label, strict=True):
        seen = y != 255
        p, t = z.softmax(0)[:, seen], F.one_hot(y[seen], len(z)).T
        total += (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()
    return total / len(logits)


def test_fused_loss_and_gradient_equal_the_formula_on_labelled_pixels(batch):
    logits, label = batch
    logits = logits.double().requires_grad_()
    want = 0.5 * slow_dice(logits, label) + 0.5 * F.cross_entropy(logits, label, ignore_index=255)
    got = losses.dice_cross_entropy(logits, label)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    (want_grad,), (got_grad,) = torch.autograd.grad(want, logits), torch.autograd.grad(3 * got, logits)
    torch.testing.assert_close(got_grad, 3 * want_grad, rtol=1e-4, atol=1e-8)
    assert got_grad[:, :, 2:5].abs().max() == 0


def test_cross_entropies_agree_with_torch(batch):
    logits, label = batch
    weight = torch.tensor([0.5, 1.0, 0.1, 3.0, 0.0])
    for given, loss in (
        (None, losses.task_loss("ce", 5)),
        (weight, losses.task_loss("weighted-ce", 5, weight)),
    ):
        want = F.cross_entropy(logits, label, weight=given, ignore_index=255)
        torch.testing.assert_close(loss(logits, label), want)


def test_small_class_weights_do_not_change_the_scale(batch):
    logits, label = batch
    tiny = losses.task_loss("weighted-ce", 5, torch.full((5,), 1e-4))
    torch.testing.assert_close(tiny(logits, label), losses.cross_entropy(logits, label))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_learn_gives_zero_without_nan(name, batch):
    logits = batch[0].clone().requires_grad_()
    loss = make(name, 5)(logits, torch.full((2, 9, 7), 255))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_say(name, batch):
    logits, label = batch
    other = logits.clone()
    other[:, :, 2:5] = 100 * torch.randn(2, 5, 3, 7, generator=torch.Generator().manual_seed(2))
    loss = make(name, 5)
    torch.testing.assert_close(loss(other, label), loss(logits, label))
    other.requires_grad_()
    loss(other, label).backward()
    assert other.grad[:, :, 2:5].abs().max() == 0
    assert other.grad.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_descends_to_zero_at_the_truth(name, batch):
    _, label = batch
    right = 40.0 * F.one_hot(label.masked_fill(label == 255, 0), 5).permute(0, 3, 1, 2)
    loss = make(name, 5)
    assert float(loss(right, label)) == pytest.approx(0, abs=1e-5)
    assert float(loss(-right, label)) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_logits_are_computed_in_float32(name, batch):
    logits, label = batch
    half = logits.bfloat16()
    loss = make(name, 5)
    want = loss(half.float(), label)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = loss(half, label)
    assert got.dtype == torch.float32
    assert float(got) == float(want)


def test_memory_layout_does_not_matter(batch):
    logits, label = batch
    other = logits.contiguous(memory_format=torch.channels_last)
    for name in NAMES:
        torch.testing.assert_close(make(name, 5)(other, label), make(name, 5)(logits, label))


def test_ohem_is_the_mean_over_the_hard_pixels():
    confidence = torch.tensor([0.9, 0.69, 0.5, 0.1, 0.71, 0.95] + [0.99] * 10)
    logits = torch.stack([confidence.log(), (1 - confidence).log()])[None, :, None]
    label = torch.zeros(1, 1, 16, dtype=torch.long)
    want = -confidence[1:4].log().mean()
    torch.testing.assert_close(losses.ohem(logits, label), want)
    # where nothing is hard, the worst sixteenth of the pixels is kept: one here
    easy = logits[..., 4:].repeat(1, 1, 1, 2)[..., :16]
    torch.testing.assert_close(losses.ohem(easy, label), -torch.tensor(0.71).log())


def test_lovasz_of_a_hard_prediction_is_one_minus_iou():
    generator = torch.Generator().manual_seed(3)
    label, guess = torch.randint(0, 3, (2, 1, 6, 5), generator=generator)
    logits = 60.0 * F.one_hot(guess, 4).permute(0, 3, 1, 2)  # class 3 is absent and not predicted
    ious = [((label == k) & (guess == k)).sum() / ((label == k) | (guess == k)).sum() for k in range(3)]
    torch.testing.assert_close(losses.lovasz(logits, label), 1 - torch.stack(ious).mean())


def test_balanced_weights_equalise_what_classes_contribute():
    counts = torch.tensor([1000, 10, 0, 100])
    weights = losses.balanced_weights(counts)
    assert weights[2] == 0
    contribution = (weights * counts)[counts > 0]
    torch.testing.assert_close(contribution, torch.full((3,), 100.0))


def test_wrong_requests_name_the_way_out():
    with pytest.raises(UserError, match="Did you mean 'dice\\+ce'"):
        losses.task_loss("dice-ce", 3)
    with pytest.raises(UserError, match="2 class weights for 3 classes"):
        losses.task_loss("weighted-ce", 3, [1.0, 2.0])
    with pytest.raises(UserError, match="0 class weights for 3 classes"):
        losses.task_loss("weighted-ce", 3)
    with pytest.raises(UserError, match="use 'weighted-ce'"):
        losses.task_loss("ce", 3, [1.0, 2.0, 3.0])


def test_uniform_guess_costs_log_of_the_classes():
    label = torch.randint(0, 7, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    assert float(losses.cross_entropy(torch.zeros(1, 7, 8, 8), label)) == pytest.approx(math.log(7))
