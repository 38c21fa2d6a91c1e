"""One word per picture: what image classification would make of scenes full of things."""

import numpy as np
import pandas as pd

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.material import Material

THUMBNAIL = (12, 20)


def words(material: Material) -> pd.DataFrame:
    """Return one row per scene: the class with most pixels, its share of the image, and how many classes there are."""
    rows = []
    for label in material.cache.label:
        counts = np.bincount(label[label != IGNORE], minlength=material.classes)
        if material.dataset.background is not None:
            counts[material.dataset.background] = 0
        rows.append((int(counts.argmax()), counts.max() / label.size, int((counts > 0).sum())))
    return pd.DataFrame(rows, columns=["word", "share", "classes"])


def thumbnails(pictures: np.ndarray, size: tuple[int, int] = THUMBNAIL) -> np.ndarray:
    """Return S,N: every picture S,H,W(,C) averaged to a few cells, without its mean, to length 1."""
    height, width = pictures.shape[1:3]
    rows, columns = (
        np.linspace(0, full, n + 1).astype(int)[:-1] for full, n in zip((height, width), size, strict=True)
    )
    small = np.add.reduceat(np.add.reduceat(pictures.astype(np.float64), rows, axis=1), columns, axis=2)
    flat = small.reshape(len(small), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def nearest_word(seen: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return for each asked thumbnail the word of the seen one that is most like it."""
    return known[(asked @ seen.T).argmax(1)]


def accuracies(material: Material, lighting: int = 0) -> pd.Series:
    """Return the share of test scenes that are named rightly: by the commonest word, by colour, by depth."""
    train, test = (material.splits[name] for name in ("train", "test"))
    word = words(material).word.to_numpy()
    commonest = np.bincount(word[train]).argmax()
    found = {"the commonest word": np.full(len(test), commonest)}
    depth = np.where(material.cache.valid, material.cache.depth, 0)
    for name, pictures in (
        ("nearest picture", material.cache.rgb[:, lighting]),
        ("nearest depth image", depth),
    ):
        small = thumbnails(pictures)
        found[name] = nearest_word(small[train], word[train], small[test])
    return pd.Series({name: float((guess == word[test]).mean()) for name, guess in found.items()})
