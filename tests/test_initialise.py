"""Every encoder starts by one rule: He and a seed, ImageNet for all, or a file; or a clear refusal."""

import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from rgbd_lib.errors import UserError
from rgbd_lib.methods import build, get, names
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.initialise import WEIGHTS, encoders, initialise, start_at_prior


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Return weights as torchvision names them, with norms that have seen something."""
    draw = torch.Generator().manual_seed(seed)
    state = resnet18().state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.copy_(0.05 * torch.randn(value.shape, generator=draw) + (0.5 if value.ndim == 1 else 0))
    return state


@pytest.fixture
def cached(tmp_path, monkeypatch) -> dict[str, Tensor]:
    """Weights where torchvision keeps what it has fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / WEIGHTS.url.split("/")[-1]
    place.parent.mkdir(parents=True)
    torch.save(weights(), place)
    return weights()


def test_an_encoder_with_these_weights_is_torchvisions_resnet18():
    official = resnet18().eval()
    official.load_state_dict(weights())
    encoder = Encoder().eval()
    encoder.load_resnet18(weights())
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    x, expected = image, []
    for name, layer in official.named_children():
        x = layer(x) if name != "fc" else x
        if name in ("relu", "layer1", "layer2", "layer3", "layer4"):
            expected.append(x)
        if name == "layer4":
            break
    for found, wanted in zip(encoder(image), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", names())
def test_random_is_he_for_every_encoder(name):
    teachers = {t: build(t, 4, width=0.25) for t in get(name).requires}
    model = build(name, 4, width=0.25, teachers=teachers)
    found = list(encoders(model))
    assert found
    for encoder in found:
        for layer in encoder.modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
                few = 4 / layer.weight.numel() ** 0.5  # four times the deviation of an estimated deviation
                assert layer.weight.detach().std() == pytest.approx((2 / fan_out) ** 0.5, rel=few)


@pytest.mark.parametrize("name", ["early", "mid", "cen", "fusenet"])
def test_imagenet_fills_every_encoder(name, cached):
    model = build(name, 4, init="imagenet")
    kernel = cached["conv1.weight"]
    mean = kernel.mean(1, keepdim=True)
    expected = {1: mean, 3: kernel, 4: torch.cat([kernel, mean], 1)}
    for encoder in encoders(model):
        torch.testing.assert_close(encoder.stem[0].weight.data, expected[encoder.in_channels])
        own = encoder.state_dict()
        assert torch.equal(own["layer4.1.conv2.weight"], cached["layer4.1.conv2.weight"])
        for copy in ("layer2.0.bn1.", "layer2.0.bn1.of.0.", "layer2.0.bn1.of.1."):
            if copy + "weight" in own:  # private norms all start as the shared one
                assert torch.equal(own[copy + "weight"], cached["layer2.0.bn1.weight"])
                assert torch.equal(own[copy + "running_var"], cached["layer2.0.bn1.running_var"])


def test_an_encoder_that_ends_early_takes_what_it_needs(cached):
    model = build("mid", 4, init="imagenet", fuse_at=("layer1",))
    assert torch.equal(model.depth_encoder.layer1[0].conv1.weight, cached["layer1.0.conv1.weight"])
    build("fusenet", 4, init="imagenet", variant="SF2")
    build("concat", 4, init="imagenet", setting="common", place="early")


@pytest.mark.parametrize(("ending", "nested"), [("safetensors", False), ("pt", False), ("pt", True)])
def test_a_file_does_the_same(tmp_path, ending, nested):
    path, state = tmp_path / f"weights.{ending}", weights()
    if ending == "safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state} if nested else state, path)
    model = build("rgb", 4, init=str(path))
    assert torch.equal(model.encoder.layer3[1].bn2.bias, state["layer3.1.bn2.bias"])
    assert torch.equal(model.decoder.up4.up.weight, build("rgb", 4).decoder.up4.up.weight)  # seeded as ever


def test_pretrained_weights_need_full_width(cached):
    with pytest.raises(UserError, match=r"needs width=1: .*\(8, 8, 16, 32, 64\)"):
        build("mid", 4, width=0.125, init="imagenet")


def test_offline_without_a_cache_is_an_error_and_no_fallback(tmp_path, monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"resnet18-.*\.pth cannot be read .*no route to host.*init=random"):
        build("rgb", 4, init="imagenet")


def test_a_spoilt_cache_is_named(cached, tmp_path):
    place = next(tmp_path.rglob("*.pth"))
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(UserError, match=place.name):
        build("rgb", 4, init="imagenet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("layer2.0.conv1.weight"), r"missing layer2\.0\.conv1\.weight, unexpected nothing"),
        (lambda s: s.update({"neck.weight": torch.ones(1)}), r"missing nothing, unexpected neck\.weight"),
        (
            lambda s: s.update({"layer1.0.conv1.weight": torch.ones(2, 2, 3, 3)}),
            r"layer1\.0\.conv1\.weight.*\[2, 2, 3, 3\]",
        ),
        (lambda s: s.clear(), r"missing stem\.0\.weight.* more"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, said):
    state = weights()
    change(state)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(UserError, match=rf"odd\.pt .*{said}"):
        build("rgb", 4, init=str(tmp_path / "odd.pt"))


def test_unreadable_files_and_unknown_words_are_named(tmp_path):
    with pytest.raises(UserError, match="init 'imagnet' is neither random nor imagenet, nor a file"):
        build("rgb", 4, init="imagnet")
    for name, content in (("a.pt", b"nothing"), ("a.safetensors", b"nothing")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} cannot be read as a state dict"):
            build("rgb", 4, init=str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="holds a list"):
        build("rgb", 4, init=str(tmp_path / "list.pt"))


def test_an_encoder_of_ones_own_is_found_by_its_method():
    class Own(nn.Module):
        channels = (64, 64, 128, 256, 512)

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.loaded = nn.Conv2d(3, 64, 7), False

        def load_resnet18(self, state: dict[str, Tensor]) -> None:
            self.loaded = "conv1.weight" in state

    model = nn.Sequential(Own(), nn.ReLU())
    before = model[0].conv.weight.clone()
    initialise(model, "random")
    assert not torch.equal(before, model[0].conv.weight)
    assert not model[0].loaded


@pytest.mark.parametrize("name", ["rgb", "late", "gemini", "cen"])
def test_a_classifier_at_the_prior_answers_with_the_class_frequencies(name):
    """With the weights of the last layer at zero, only the prior is left: softmax gives it back."""
    model = build(name, 4, width=0.125).eval()
    shares = torch.tensor([0.7, 0.2, 0.1, 0.0])
    start_at_prior(model, shares)
    for decoder in (m for m in model.modules() if isinstance(m, Decoder)):
        for layer in (m for m in decoder.classify.modules() if isinstance(m, torch.nn.Conv2d)):
            torch.nn.init.zeros_(layer.weight)
    logits = model(torch.randn(1, 3, 32, 32), torch.randn(1, 1, 32, 32)).logits
    expected = shares.view(1, 4, 1, 1).expand_as(logits)
    torch.testing.assert_close(logits.softmax(1), expected, atol=1e-5, rtol=0)
