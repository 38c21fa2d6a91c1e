"""What every registered method promises. A new file in ``rgbd_lib/methods`` is tested here without being named."""

import copy
import re
import sys

import pytest
import torch
from matplotlib.markers import MarkerStyle
from small_models import CLASSES, awake, images, logits, make, target, train_loss
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.evaluation import shared_depth
from rgbd_lib.methods import Output, build, get, names

SIZES = [(33, 47), (32, 64)]
MISSING = -2.7  # raw depth 0 after normalisation

# What these methods are made not to do, and why.
DEAF_TO_DEPTH = {"rgb", "rgb_twice", "rgb_wide", "depth_zero"}
DEAF_TO_RGB = {"depth"}
SEES_NEIGHBOURS = {"depth_shuffled"}  # takes its depth from another image of the batch
WITHOUT_SIGNAL = {"depth_zero"}  # its depth encoder is given nothing that could teach it
TO_REACH_ALL = {"primkd": {"select": "mean"}}  # its default pulls the worst stage alone
NOT_EXPORTED: dict[str, str] = {}  # name -> why ``torch.export`` cannot take it

every_method = pytest.mark.parametrize("name", names())


def tensors_held(model: nn.Module) -> set[str]:
    """Return where the modules hold tensors that are neither parameters nor buffers."""
    return {
        f"{name}.{key}"
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if any(isinstance(v, Tensor) for v in (value if isinstance(value, (list, tuple)) else [value]))
    }


@every_method
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_scores_have_the_size_of_the_input_and_nothing_is_explained_unasked(name, size):
    model, (rgb, depth) = make(name).eval(), images(1, size)
    with torch.no_grad():
        output = model(rgb, depth)
    assert isinstance(output, Output)
    assert output.explain == {}
    assert output.extra_loss is None
    for scores in (output.logits, *output.branches.values()):
        assert scores.shape == (1, CLASSES, *size)
        assert scores.isfinite().all()


@every_method
def test_explaining_changes_no_score(name):
    model, (rgb, depth) = awake(make(name)).eval(), images()
    with torch.no_grad():
        plain, explained = model(rgb, depth), model(rgb, depth, explain=True)
    torch.testing.assert_close(explained.logits, plain.logits)
    assert all(isinstance(x, Tensor) and x.isfinite().all() for x in explained.explain.values())


@every_method
def test_gradients_reach_every_parameter(name):
    model = awake(make(name, **TO_REACH_ALL.get(name, {})))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for seed in range(4):  # where something is dropped at random, it is not always the same
            train_loss(model, *images(2, (64, 64), seed), target()).backward()
    for key, p in model.named_parameters():
        assert p.requires_grad, f"{key} is frozen"
        assert p.grad is not None, f"{key} gets no gradient"
        assert p.grad.isfinite().all(), key
        assert p.grad.any() or name in WITHOUT_SIGNAL, f"{key} learns nothing"


@every_method
def test_one_image_can_be_trained_on(name):
    assert train_loss(make(name), *images(1, (64, 64)), target(1)).isfinite()


@every_method
def test_extra_loss_exists_in_training_alone(name):
    model, (rgb, depth) = make(name), images(2, (64, 64))
    extra = model.train()(rgb, depth, target()).extra_loss
    assert extra is None or (extra.shape == () and extra.requires_grad)
    assert model.eval()(rgb, depth, target()).extra_loss is None


@every_method
def test_double_precision_agrees(name):
    model, (rgb, depth) = awake(make(name)), images()
    single = logits(model, rgb, depth)
    double = logits(model.double(), rgb.double(), depth.double())
    torch.testing.assert_close(single.double(), double, atol=1e-4 * double.std().item(), rtol=0)


@every_method
def test_bfloat16_agrees(name):
    model, (rgb, depth) = awake(make(name)), images()
    exact = logits(model, rgb, depth)
    with torch.autocast("cpu", torch.bfloat16):
        rough = logits(model, rgb, depth).float()
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.std()


@every_method
def test_channels_last_agrees(name):
    model, (rgb, depth) = awake(make(name)), images()
    expected = logits(model, rgb, depth)
    model.to(memory_format=torch.channels_last)
    found = logits(model, *(x.to(memory_format=torch.channels_last) for x in (rgb, depth)))
    torch.testing.assert_close(found, expected, atol=1e-5 * expected.std().item(), rtol=1e-5)


@every_method
def test_a_dead_sensor_gives_numbers_and_gradients(name):
    model, (rgb, depth) = awake(make(name)), images(2, (64, 64))
    dead = torch.full_like(depth, MISSING)
    assert logits(model, rgb, dead).isfinite().all()
    assert logits(model, torch.zeros_like(rgb), dead).isfinite().all()
    train_loss(model, rgb, dead, target()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@every_method
def test_both_sensors_are_looked_at(name):
    model, (rgb, depth) = awake(make(name)), images()
    before = logits(model, rgb, depth)
    assert torch.equal(before, logits(model, rgb, depth + 1)) == (name in DEAF_TO_DEPTH)
    assert torch.equal(before, logits(model, rgb + 1, depth)) == (name in DEAF_TO_RGB)


@every_method
def test_an_image_does_not_depend_on_its_neighbours(name):
    model, (rgb, depth) = awake(make(name)), images(3)
    together = logits(model, rgb, depth)
    alone = torch.cat([logits(model, rgb[i : i + 1], depth[i : i + 1]) for i in range(3)])
    same = torch.allclose(together, alone, atol=1e-4 * together.std().item(), rtol=1e-4)
    assert same == (name not in SEES_NEIGHBOURS)


@every_method
def test_looking_once_at_a_shared_depth_changes_no_score(name):
    """Evaluation gives each scene under several lights, and lets a ``depth_encoder`` look once per scene."""
    model, (rgb, depth) = awake(make(name)), images(4)
    depth = depth[:2].repeat_interleave(2, dim=0)
    expected = logits(model, rgb, depth)
    with shared_depth(model, 2):
        found = logits(model, rgb, depth)
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.std().item(), rtol=1e-4)


@every_method
def test_a_seed_decides_every_weight_and_touches_nothing_else(name):
    before = torch.get_rng_state()
    first, again, other = make(name, seed=3), make(name, seed=3), make(name, seed=4)
    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weights = [m.state_dict() for m in (first, other)]
    convolutions = [k for k, v in weights[0].items() if v.ndim == 4]
    assert not any(torch.equal(weights[0][k], weights[1][k]) for k in convolutions)


@every_method
def test_a_training_step_is_deterministic_under_a_seed(name):
    gradients = []
    for _ in range(2):
        model = make(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            train_loss(model, *images(2, (64, 64)), target()).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@every_method
def test_nothing_of_the_data_stays(name):
    model, (rgb, depth) = make(name), images(2, (64, 64))
    held = tensors_held(model)
    before = logits(model, rgb, depth)
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.eval()(*images(1, (32, 64), seed=9), explain=True)
    assert torch.equal(before, logits(model, rgb, depth))
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    train_loss(model, rgb, depth, target())
    assert tensors_held(model) == held


@every_method
def test_it_can_be_exported(name):
    if name in NOT_EXPORTED:
        pytest.skip(NOT_EXPORTED[name])
    model, pair = make(name).eval(), images(1)
    exported = torch.export.export(model, pair).module()
    torch.testing.assert_close(exported(*pair).logits, model(*pair).logits)


@pytest.mark.parametrize("name", ["mid"])  # seconds each; export captures the others
def test_it_can_be_compiled_for_training_as_one_graph(name):
    model, pair, seen = make(name).train(), images(2, (64, 64)), target()
    expected = train_loss(copy.deepcopy(model), *pair, seen)
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    loss = train_loss(compiled, *pair, seen)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    torch._dynamo.reset()


@every_method
def test_it_says_what_it_is(name):
    info = get(name)
    assert re.fullmatch(r"#[0-9A-F]{6}", info.color)
    assert MarkerStyle(info.marker)
    assert all(other in names() for other in info.requires)
    lesson = sys.modules[info.module].__doc__
    assert all(part in lesson for part in ("\nIdea ", "\nPaper ", "\nHere "))
    twins = [n for n in names() if n != name and (get(n).color, get(n).title) == (info.color, info.title)]
    assert not twins


def test_colours_are_used_once():
    colours = [get(n).color for n in names()]
    assert len(set(colours)) == len(colours)


@every_method
def test_an_unknown_option_says_where_the_known_ones_are(name):
    with pytest.raises(UserError, match=get(name).module):
        make(name, no_such_option=1)


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(UserError, match=r"'atention'. Did you mean 'attention'\? Known: .*transformer"):
        build("atention", 3)
