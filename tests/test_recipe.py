"""Settings are read in the type of what they replace; what cannot work is refused before training."""

import pytest

from rgbd_lib.commands.train import make_run
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import PROFILES
from rgbd_lib.recipe import Recipe
from rgbd_lib.runs import Run


def test_a_profile_fills_the_recipe():
    recipe = Recipe.of("quick")
    assert (recipe.size, recipe.epochs, recipe.lr) == (
        PROFILES["quick"].size,
        PROFILES["quick"].epochs,
        PROFILES["quick"].lr,
    )


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("size", "240x320", (240, 320)),
        ("size", "(64, 96)", (64, 96)),
        ("lr", "1e-3", 1e-3),
        ("lr", "1", 1.0),
        ("epochs", "3", 3),
        ("augment", "false", False),
        ("scenes", "none", None),
        ("loss", "ce", "ce"),
    ],
)
def test_command_line_text_becomes_a_value(key, text, value):
    assert getattr(Recipe.of("quick", {key: text}), key) == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": "3"}, "unknown setting 'epoch'. Did you mean 'epochs'"),
        ({"epochs": "many"}, "setting epochs='many': a int is needed"),
        ({"epochs": 0}, "epochs=0 must be greater than 0"),
        ({"lr": -1.0}, "lr=-1.0 must be greater than 0"),
        ({"size": "16x16"}, "height and width must be 32 or more"),
        ({"warmup": 1.5}, "warmup=1.5 must lie in [0, 1)"),
        ({"loss": 3}, "setting loss=3: a str is needed"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(UserError) as caught:
        Recipe.of("quick", settings)
    assert message in str(caught.value)


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(UserError, match="Known: frame, full, laptop, overnight, quick, smoke"):
        Recipe.of("fast")


def test_a_setting_typed_in_a_shell_is_the_same_run_as_one_set_in_python():
    pairs = ["modality_dropout=0.3", "size=64x96", "method.fuse_at=['layer2']"]
    typed = make_run("mid", "quick", 0, "mixed", "data", "grouped", "random", pairs)
    settings = {"modality_dropout": 0.3, "size": (64, 96)}
    assert typed == Run("mid", data="data", options={"fuse_at": ["layer2"]}, settings=settings)
