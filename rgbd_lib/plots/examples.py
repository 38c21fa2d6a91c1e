"""One test scene, every method: what goes in, what should come out, what does, and where it is wrong."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from rgbd_lib import examples, methods
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.examples import Examples
from rgbd_lib.palette import class_colours
from rgbd_lib.plots.card import ERRORS, MISSING, bare, depth_map
from rgbd_lib.plots.style import Figure, new, ordered, title

COLUMNS = 3  # methods beside each other; each has a picture and its mistakes
TRUTH = ("RGB", "depth", "truth")


def grid(profile: str, lighting: str = "good") -> Figure:
    """RGB, depth and truth above, then prediction and error map of every method, under the "good" or "bad" light."""
    found = examples.load(profile)
    which = ("good", "bad").index(lighting)
    names = [n for n in ordered(list(found.predictions)) if methods.get(n).family != "control"]
    rows = 1 + -(-len(names) // COLUMNS)
    height, width = found.label.shape
    tall = 8.6 / (2 * COLUMNS) * height / width + 0.24
    drawing, axes = new(tall * rows + 0.8, nrows=rows, ncols=2 * COLUMNS, squeeze=False)
    for one in axes.flat:
        one.set_visible(False)
    inputs(axes[0, :3], found, which)
    for i, name in enumerate(names):
        pair = axes[1 + i // COLUMNS, 2 * (i % COLUMNS) : 2 * (i % COLUMNS) + 2]
        answer(pair, found.label, found.predictions[name][which], title(name))
    bare(axes)
    legend(drawing, found, names, which)
    light = found.about["conditions"][found.about[lighting]]
    return Figure(
        drawing,
        f"Scene {found.about['scene']}, the test scene of median score, under {light}, the {WORDS[lighting]} of the "
        f"lightings for all methods together; beside each answer its mistakes in red. {about(found)}",
        f"Colour image, depth and truth, then for each of {len(names)} methods its prediction and a map of wrong pixels.",
    )


WORDS = {"good": "best", "bad": "worst"}


def about(found: Examples) -> str:
    """Return the end of a caption."""
    kind = "Synthetic data" if found.about["synthetic"] else f"Data: {found.about['data']}"
    return f"{kind}, profile {found.about['profile']}, seed {found.about['seed']}."


def inputs(row: np.ndarray, found: Examples, which: int) -> None:
    """Draw what every method gets and what it should say."""
    pictures = (found.rgb[which], found.depth, class_colours()[found.label])
    for axes, picture, text in zip(row, pictures, TRUTH, strict=True):
        axes.set_visible(True)
        axes.imshow(picture, cmap=depth_map(), interpolation="nearest")
        axes.set_title(text, fontsize=9)


def answer(pair: np.ndarray, label: np.ndarray, prediction: np.ndarray, text: str) -> None:
    """Draw one method's classes, and where they are wrong."""
    wrong = np.where(label == IGNORE, 2, (label != prediction).astype(int))
    left, right = pair
    left.imshow(class_colours()[prediction], interpolation="nearest")
    right.imshow(wrong, cmap=ERRORS, vmin=0, vmax=2, interpolation="nearest")
    left.set_title(text, fontsize=8)
    right.set_title(f"{np.mean(wrong[label != IGNORE] == 1):.1%} wrong", fontsize=8)
    for axes in pair:
        axes.set_visible(True)


def legend(drawing, found: Examples, names: list[str], which: int) -> None:
    """Name the classes that can be seen, and what was not measured."""
    maps = [found.label, *(found.predictions[n][which] for n in names)]
    seen = np.unique(np.concatenate([m.ravel() for m in maps]))
    words = {int(k): "no label" if k == IGNORE else found.about["classes"][k] for k in seen}
    patches = [Patch(color=class_colours()[k] / 255, label=word) for k, word in words.items()]
    patches.append(Patch(color=MISSING, label="depth missing"))
    drawing.legend(handles=patches, loc="outside lower center", ncols=7, fontsize=7)
    width, height = drawing.get_size_inches()
    drawing.set_size_inches(width, height + 0.17 * -(-len(patches) // 7))


def good(profile: str) -> Figure:
    """Every method under the lighting that is best for all."""
    return grid(profile, "good")


def bad(profile: str) -> Figure:
    """Every method under the lighting that is worst for all."""
    return grid(profile, "bad")


def strip(axes: Axes, found: Examples, conditions: list[str]) -> None:
    """Put a thumbnail left of each row of a map whose rows are these conditions."""
    known = found.about["conditions"]
    for y, name in enumerate(conditions):
        if name in known:
            place = axes.inset_axes((-0.135, 1 - (y + 0.96) / len(conditions), 0.12, 0.92 / len(conditions)))
            place.imshow(found.thumbnails[known.index(name)], aspect="auto")
            bare(np.array([place]))
