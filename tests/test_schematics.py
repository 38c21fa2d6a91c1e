"""The schematics say of every network what its code does."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rgbd_lib import methods
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.plots import Figure, plans, schematics

CLASSES, SIZE = 3, (64, 96)


def handed_to_decoder(model: nn.Module, rgb: Tensor, depth: Tensor) -> list[Tensor]:
    """Return what the decoder beside RGB is given for one image, from 1/4 to 1/32."""
    calls: list[tuple] = []
    hooks = [m.register_forward_pre_hook(lambda _, x: calls.append(x)) for m in decoders(model)]
    with torch.inference_mode():
        model(rgb, depth)
    for hook in hooks:
        hook.remove()
    bottleneck, skips = calls[0][:2]
    return [x[:1].clone() for x in (*skips[::-1], bottleneck)]  # two streams in one batch: RGB comes first


def decoders(model: nn.Module) -> list[nn.Module]:
    """Return the decoders of a network, not those of a teacher."""
    found = dict(model.named_modules())
    return [m for name, m in found.items() if isinstance(m, Decoder) and "teacher" not in name]


def built(name: str) -> nn.Module:
    """Return a small network whose zeros (gates, closed at the start) are opened."""
    model = methods.build(name, CLASSES, width=0.125).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng))
    return model


@pytest.mark.parametrize("name", methods.names())
def test_the_drawing_says_where_depth_reaches_the_decoder(name: str) -> None:
    model, rng = built(name), torch.Generator().manual_seed(1)
    rgb = torch.randn(1, 3, *SIZE, generator=rng)
    one, two = (torch.randn(1, 1, *SIZE, generator=rng) for _ in range(2))
    reached = [
        not torch.equal(a, b)
        for a, b in zip(handed_to_decoder(model, rgb, one), handed_to_decoder(model, rgb, two), strict=True)
    ]
    assert reached == [plans.plan(name).sees_depth(s) for s in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", methods.names())
def test_the_drawing_ends_depth_encoders_where_the_code_does(name: str) -> None:
    encoder = getattr(methods.build(name, CLASSES, width=0.125), "depth_encoder", None)
    if encoder is not None:
        assert plans.plan(name).depth_stages == encoder.count


def test_a_method_without_a_plan_is_drawn_from_its_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(plans.PLANS, "attention")
    assert set(plans.plan("attention").joints) == {3, 4}  # "1/16 skip and 1/32"
    monkeypatch.delitem(plans.PLANS, "sagate")
    assert set(plans.plan("sagate").joints) == {1, 2, 3, 4}  # "gated both ways at layer1..4"
    monkeypatch.delitem(plans.PLANS, "early")
    assert plans.plan("early").at_input


@pytest.mark.parametrize("name", ["rgb", "early", "mid", "late", "fusenet", "cmx", "primkd"])
def test_a_drawing_has_one_circle_per_joint_in_the_methods_colour(name: str) -> None:
    figure = schematics.draw(name)
    circles = [line for line in figure.drawing.axes[0].lines if line.get_marker() == "o"]
    what = plans.plan(name)
    assert len(circles) == len(what.joints) + bool(what.at_input) + what.two_decoders
    assert {c.get_color() for c in circles} <= {methods.get(name).color}
    assert methods.get(name).title in figure.alt


@pytest.mark.parametrize("draw", [schematics.anatomy, lambda: schematics.draw("cen")])
def test_nothing_is_cut_off_at_the_pages_edge(draw: Callable[[], Figure]) -> None:
    drawing = draw().drawing
    drawing.canvas.draw()
    window = drawing.axes[0].get_tightbbox()
    assert window.x0 >= 0
    assert window.x1 <= drawing.bbox.x1 + 1
