"""One rule of initialisation for every encoder of every method.

An encoder is a module with a method ``load_resnet18(state)``, like ``encoder.Encoder``: that is all a new method's
own encoder needs to be found here. Everything else (decoders, fusion operators) keeps what its file gave it.
Scales and shifts of norms are not touched by "random": a method may start them where it wants.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights

from rgbd_lib.errors import UserError
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import BASE_CHANNELS

WEIGHTS = ResNet18_Weights.IMAGENET1K_V1


def initialise(model: nn.Module, init: str) -> None:
    """Initialise all encoders alike: "random", "imagenet", or from a file with a ResNet18's state dict."""
    for encoder in encoders(model):
        he(encoder)
    if init == "random":
        return
    source, state = ("init 'imagenet'", imagenet()) if init == "imagenet" else (init, read(Path(init)))
    for encoder in encoders(model):
        if init == "imagenet" and encoder.channels != BASE_CHANNELS:
            raise UserError(
                f"init 'imagenet' needs width=1: its stages have {BASE_CHANNELS} channels, this encoder's "
                f"{encoder.channels}. Use init=random, or init=FILE with a ResNet18 of that width"
            )
        try:
            encoder.load_resnet18(state)
        except UserError as error:
            raise UserError(f"{source} {error}") from error


def encoders(model: nn.Module) -> Iterator[nn.Module]:
    """Return every encoder of a model, whatever method it belongs to."""
    return (module for module in model.modules() if hasattr(module, "load_resnet18"))


def he(encoder: nn.Module) -> None:
    """He initialisation: normal with variance 2 / fan-out."""
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def imagenet() -> dict[str, Tensor]:
    """Return torchvision's ResNet18 weights from its cache, fetched if they are not there yet."""
    try:
        return dict(WEIGHTS.get_state_dict(progress=False, check_hash=True))
    except (
        OSError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:  # offline, cut off, spoilt file
        place = Path(torch.hub.get_dir()) / "checkpoints" / Path(WEIGHTS.url).name
        raise UserError(
            f"init 'imagenet': {place} cannot be read and {WEIGHTS.url} cannot be fetched ({error}). "
            "Put the file there, or use init=FILE with a ResNet18's state dict, or init=random"
        ) from error


def read(path: Path) -> dict[str, Tensor]:
    """Return a state dict from safetensors or from what ``torch.save`` wrote; nothing in it is executed."""
    if not path.is_file():
        raise UserError(f"init '{path}' is neither random nor imagenet, nor a file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"init: {path} cannot be read as a state dict ({reason}). Save it with safetensors or torch.save"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"init: {path} holds a {type(state).__name__} and no state dict: names with tensors")
    return state


def start_at_prior(model: nn.Module, shares: Tensor) -> None:
    """Let every classifier begin at the class frequencies (Lin et al., ICCV 2017, sec. 4.1).

    From zero biases the first hundreds of steps only learn that most pixels are background.
    """
    bias = shares.clamp(min=1e-6).log()
    for decoder in (m for m in model.modules() if isinstance(m, Decoder)):
        for layer in (m for m in decoder.classify.modules() if isinstance(m, nn.Conv2d)):
            with torch.no_grad():
                layer.bias.copy_(bias)
