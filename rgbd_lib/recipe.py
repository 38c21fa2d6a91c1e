"""How a run trains: the profile's budget plus the choices that are equal for all methods."""

import ast
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.profiles import profile


@dataclass(frozen=True)
class Recipe:
    """Everything about training that is not the method. Reasons stand beside the values."""

    size: tuple[int, int]
    crop: tuple[float, float, float, float]
    width: float
    epochs: int
    batch: int
    lr: float
    scenes: int | None
    loss: str = "dice+ce"  # the profile says which, and why
    prior: bool = (
        True  # classifiers start at the class frequencies: rare classes are learnt many epochs earlier
    )
    weight_decay: float = 1e-4
    warmup: float = 0.05  # share of all steps; AdamW's first estimates are noise
    clip: float = 1.0  # gradient norm; attention methods spike early without it
    ema: float = 0.0  # decay of averaged weights; 0 = off
    val_lights: int = 2  # lightings per validation scene: enough to select, a quarter of the cost of eight
    augment: bool = True
    modality_dropout: float = 0.0  # chance that a training sample loses one of its sensors
    corruption: str = "none"  # a training-time corruption from rgbd_lib.corruptions, or "none"
    precision: str = "auto"  # "auto" lets the machine decide; a forced value makes another run
    sync_bn: bool = False  # batch-norm statistics over all processes

    @classmethod
    def of(cls, profile_name: str, settings: Mapping[str, object] = ()) -> "Recipe":
        """Return the profile's recipe with some values replaced; unknown names are errors."""
        values = asdict(profile(profile_name))
        known = {f.name: f for f in fields(cls)}
        values = {k: v for k, v in values.items() if k in known}
        for key, value in dict(settings).items():
            if key not in known:
                raise unknown("setting", key, known)
            values[key] = convert(key, value, values.get(key, known[key].default))
        recipe = cls(**values)
        recipe.check()
        return recipe

    def check(self) -> None:
        """Refuse values that would only fail after an hour."""
        for key in ("epochs", "batch", "lr", "width"):
            if not getattr(self, key) > 0:
                raise UserError(f"setting {key}={getattr(self, key)} must be greater than 0")
        if min(self.size) < 32:
            raise UserError(f"setting size={self.size} is too small: height and width must be 32 or more")
        for key in ("warmup", "ema", "modality_dropout"):
            if not 0 <= getattr(self, key) < 1:
                raise UserError(f"setting {key}={getattr(self, key)} must lie in [0, 1)")


def parse_value(text: object) -> object:
    """Read a command-line value as the Python literal it looks like, else as text."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def convert(key: str, value: object, like: object) -> object:
    """Return the value in the type of the present one; "240x320" is a size."""
    if key == "size" and isinstance(value, str):
        value = value.lower().replace("x", ",")
    value = parse_value(value)
    if isinstance(like, tuple):
        value = tuple(value) if isinstance(value, (list, tuple)) else value
    elif isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if like is not None and type(value) is not type(like) and not (key == "scenes" and value is None):
        raise UserError(f"setting {key}={value!r}: a {type(like).__name__} is needed, like {like!r}")
    return value
