"""SUN RGB-D re-packed into numbered files.

Colour and depth of train and test frames are numbered from 1 in folders of their own, labels through all frames
with the test frames first: test frame n has label n, **training frame n has label n + 5050**. Some loaders fall
back from one numbering to the other without a word; here a label that is missing is an error.
"""

import re
from pathlib import Path

from rgbd_lib.datasets import indoor, listed
from rgbd_lib.datasets.listed import Entry, ListedDataset
from rgbd_lib.errors import UserError

OFFSET = {"test": 0, "train": 5050}
_WORDS = {"rgb": ("image", "rgb"), "depth": ("depth",)}


def detect(path: Path) -> str | None:
    """Say why a folder is the re-packed SUN RGB-D, or return None."""
    folders = _folders(path)
    if folders is None:
        return None
    return f"SUN RGB-D, re-packed: numbered frames in {', '.join(folder.name for folder in folders.values())}"


def open(path: Path, classes: int | str = 37, depth_factor: float | str | None = None) -> ListedDataset:
    """Open the folder. Depth is packed or 10,000 counts per metre, as the values look, unless ``depth_factor`` says."""
    folders = _folders(path)
    if folders is None:
        raise UserError(
            f"{path} is not the re-packed SUN RGB-D: folders of train and test images, depth and labels"
        )
    names = indoor.class_names("sunrgbd", classes)
    labels = _numbered(folders["label"])
    entries = {part: _entries(part, folders, labels) for part in ("train", "test")}
    rule = listed.depth_rule(entries["train"][0].depth, depth_factor)
    unusual = (["13"] if len(names) == 13 else []) + ([f"depth{depth_factor}"] if depth_factor else [])
    return ListedDataset(
        data="sunrgbd",
        entries=entries,
        sources=(),
        depth_rule=rule,
        name="-".join(["sunrgbd", *unusual]),
        root=path,
        decision=f"{detect(path)}; label of training frame n is n + {OFFSET['train']}; depth: {rule.text}",
        rule=indoor.LabelRule(void=0, stored=37, classes=len(names)),
        classes=names,
    )


def _folders(path: Path) -> dict[str, Path] | None:
    """Return the folders by what their names say."""
    found: dict[str, Path] = {}
    for folder in sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []:
        name = folder.name.lower().replace("sunrgbd", "")
        if "label" in name and "13" not in name:
            found.setdefault("label", folder)
            continue
        for part in ("train", "test"):
            for kind, words in _WORDS.items():
                if part in name and any(word in name for word in words):
                    found.setdefault(f"{part} {kind}", folder)
    return found if len(found) == 5 else None


def _entries(part: str, folders: dict[str, Path], labels: dict[int, Path]) -> list[Entry]:
    rgb, depth = (_numbered(folders[f"{part} {kind}"]) for kind in ("rgb", "depth"))
    alone = sorted(rgb.keys() ^ depth.keys())
    if alone:
        have, lack = ("rgb", "depth") if alone[0] in rgb else ("depth", "rgb")
        raise UserError(
            f"{folders[f'{part} {have}']} has frame {alone[0]}, {folders[f'{part} {lack}']} has not "
            f"({len(alone)} frames are in one of them only)"
        )
    entries = []
    for number in sorted(rgb):
        label = labels.get(number + OFFSET[part])
        if label is None:
            raise UserError(
                f"{folders['label']} has no label {number + OFFSET[part]}, which belongs to {part} frame {number} "
                f"({rgb[number].name}); labels are numbered through, test frames first"
            )
        entries.append(Entry(f"{part}-{number}", rgb[number], depth[number], label))
    return entries


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the files of a folder by the number that ends their name."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        number = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or number is None:
            continue
        if int(number[1]) in found:
            raise UserError(f"{folder}: {found[int(number[1])].name} and {path.name} have the same number")
        found[int(number[1])] = path
    return found
