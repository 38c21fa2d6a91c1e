"""Folder layouts in which the field passes NYUv2 and SUN RGB-D around, and how each is recognised.

Every family is one record: folders, list files, what a line of a list looks like, which label value is void, how
many depth counts make a metre. ``detect`` compares folder names and the first line of the list with the records
and says what it decided; ``open`` checks the decision against the files before anything is trained on.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rgbd_lib.datasets import images, indoor, layout_lists, listed
from rgbd_lib.datasets.layout_lists import NAMES, RGB_LABEL_DEPTH, THREE_LISTS
from rgbd_lib.datasets.listed import ListedDataset
from rgbd_lib.errors import UserError, unknown


@dataclass(frozen=True)
class Layout:
    """How one family of repositories stores the data."""

    family: str
    data: str  # "nyuv2" or "sunrgbd"
    rgb: str
    depths: tuple[
        tuple[str, str], ...
    ]  # what depth=... may be, and its folder; the first that is there is read
    label: str
    lines: str = NAMES
    lists: tuple[str, str] = ("train.txt", "test.txt")
    void: int = 0  # 0: stored 0 is void and 1 is the first class; 255: stored 0 is the first class
    factor: float | str | None = (
        None  # counts per metre of 16-bit depth, "packed", or None: as the values look
    )
    base: int | None = None  # the number in the name of official frame 1
    needs: tuple[str, ...] = ()  # a folder that tells it from its neighbour
    halves: tuple[str, str] = ("", "")  # folders of the train and of the test frames
    label13: str = ""  # folder of ready-made 13-class labels
    crops_depth: bool = False  # depth is the full frame, colour and label are its middle
    bare: bool = False  # the folder names are proof enough, the lists may be missing

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the sub-folders that must be there, but for depth, of which there may be several kinds."""
        return tuple(folder for folder in (self.rgb, self.label, *self.needs) if folder)


_DEPTH, _DEPTH_OR_HHA = (("filled", "Depth"),), (("filled", "Depth"), ("hha", "HHA"))
LAYOUTS = (
    Layout(
        "CEN, TokenFusion, GeminiFusion", "nyuv2", "rgb", (("filled", "depth"),), "masks",
        lines=RGB_LABEL_DEPTH, lists=("train.txt", "val.txt"), void=255, factor=5000.0, base=1, crops_depth=True,
        bare=True,
    ),
    Layout("GeminiFusion", "sunrgbd", "RGB", _DEPTH, "labels", lines=RGB_LABEL_DEPTH),
    Layout("SA-Gate, CMX, PrimKD", "nyuv2", "RGB", _DEPTH_OR_HHA, "Label", base=0, needs=("HHA",)),
    Layout("PrimKD", "sunrgbd", "RGB", _DEPTH_OR_HHA, "labels", needs=("HHA",)),
    Layout("DFormer", "nyuv2", "RGB", _DEPTH, "Label"),
    Layout("DFormer", "sunrgbd", "RGB", _DEPTH, "labels"),
    Layout(
        "ESANet, EMSANet", "nyuv2", "rgb", (("filled", "depth"), ("raw", "depth_raw")), "labels_40",
        factor=1000.0, base=1, halves=("train", "test"), label13="labels_13", bare=True,
    ),
    Layout("ESANet", "sunrgbd", "", (("filled", ""),), "", lines=THREE_LISTS, factor=listed.PACKED),
    Layout("FuseNet port", "sunrgbd", "images-224", (("filled", "depth-inpaint-u8-224"),), "seglabel-224", bare=True),
)  # fmt: skip


def find(path: Path) -> Layout | None:
    """Return the layout that a folder has, or None; one that describes itself (dataset.toml) is not guessed at."""
    if not path.is_dir() or (path / "dataset.toml").is_file():
        return None
    return next((layout for layout in (*LAYOUTS, *_generic(path)) if _fits(path, layout)), None)


def detect(path: Path) -> str | None:
    """Say which family's layout a folder has and by what it was recognised, or return None."""
    layout = find(path)
    return None if layout is None else _sentence(path, layout)


def open(
    path: Path,
    *,
    classes: int | str | None = None,
    depth: str | None = None,
    depth_factor: float | str | None = None,
    void: int | None = None,
    data: str | None = None,
) -> ListedDataset:
    """Open a folder in one of the layouts; an option that is None is decided from the layout and the files.

    ``classes`` 40 (SUN RGB-D: 37) or 13; ``depth`` "filled", "raw" or "hha" where the folder has them;
    ``depth_factor`` counts per metre or "packed"; ``void`` 0 or 255; ``data`` "nyuv2" or "sunrgbd".
    """
    layout = find(path)
    if layout is None:
        raise UserError(
            f"{path} has no known indoor layout: {'; '.join(_wanted(known) for known in LAYOUTS)}"
        )
    layout, names, stored = _with_classes(path, layout, classes, data)
    there = _depths(path, layout)
    if depth is not None and depth not in there:
        raise unknown("depth", depth, there)
    choice = depth or next(iter(there))

    entries, sources = {}, []
    for i, part in enumerate(("train", "test")):
        folders = [Path(layout.halves[i], folder) for folder in (layout.rgb, there[choice], layout.label)]
        entries[part], files = layout_lists.entries(path, layout.lines, layout.lists[i], folders)
        listed.require(part, entries[part], files[0])
        sources += files
    rule = _depth_rule(layout, entries["train"][0].depth, choice, depth_factor)
    labels = _label_rule(layout, entries["train"], stored, len(names), void)
    dataset = ListedDataset(
        data=layout.data,
        entries=entries,
        sources=sources,
        depth_rule=rule,
        crops_depth=layout.crops_depth,
        name="-".join([layout.data, *_unusual(len(names), choice, depth_factor, void)]),
        root=path,
        decision=f"{_sentence(path, layout)}; {_words(labels)}; depth: {rule.text}{_numbering(layout, entries)}",
        rule=labels,
        classes=names,
    )
    if void is None and labels.void != layout.void:
        dataset.note(
            f"labels are read as {_words(labels)} for their values, unlike the rest of {layout.family}"
        )
    return dataset


def official_number(layout: Layout, scene: str) -> int | None:
    """Return the number of a frame in the official NYUv2 file, from 1; None where names do not tell."""
    return int(scene) - layout.base + 1 if layout.base is not None and scene.isdigit() else None


def _fits(path: Path, layout: Layout) -> bool:
    """Compare folder names (as they are spelt, on every system) and the first line of the training list."""
    if layout.lines == THREE_LISTS:
        return all(
            (path / f"{part}_{kind}.txt").is_file() for part in ("train", "test") for kind in ("rgb", "label")
        )
    for half in layout.halves:
        there = {entry.name for entry in (path / half).iterdir()} if (path / half).is_dir() else set()
        if not there.issuperset(layout.folders) or not there.intersection(
            folder for _, folder in layout.depths
        ):
            return False
    line = layout_lists.first_line(path / layout.lists[0])
    if line is None:
        return layout.bare
    return layout.bare or layout_lists.columns(line) in (
        (3,) if layout.lines == RGB_LABEL_DEPTH else (0, 1, 2)
    )


def _generic(path: Path) -> list[Layout]:
    """Return CMX's layout with its own folder names: colour, labels and the one folder that is neither."""
    names = {entry.name for entry in path.iterdir() if entry.is_dir()}
    others = sorted(names - {"RGB", "Label", "labels", "ColoredLabel"})
    label = next((name for name in ("Label", "labels") if name in names), None)
    if "RGB" not in names or label is None or len(others) != 1:
        return []
    data = "nyuv2" if label == "Label" else "sunrgbd"
    return [Layout("CMX", data, "RGB", (("hha" if others[0] == "HHA" else "filled", others[0]),), label)]


def _wanted(layout: Layout) -> str:
    folders = " ".join(f"{folder}/" for folder in (*layout.folders, layout.depths[0][1]) if folder != "/")
    return f"{layout.family} ({layout.data}): {folders.strip('/ ') + '/' if folders.strip('/ ') else 'train_rgb.txt'}"


def _sentence(path: Path, layout: Layout) -> str:
    folders = [*(layout.rgb, *_depths(path, layout).values(), layout.label)]
    by = (
        "lists of colour, depth and label files"
        if layout.lines == THREE_LISTS
        else "folders " + ", ".join(folders)
    )
    shape = f" and {layout.lines} in {layout.lists[0]}" if layout.lines != THREE_LISTS else ""
    return f"{path.name} is {layout.data} as {layout.family} store it, by its {by}{shape}"


def _numbering(layout: Layout, entries: dict[str, list[listed.Entry]]) -> str:
    scene = entries["train"][0].scene
    number = official_number(layout, scene)
    return "" if number is None else f"; '{scene}' is frame {number} of the official file"


def _depths(path: Path, layout: Layout) -> dict[str, str]:
    return {kind: folder for kind, folder in layout.depths if (path / layout.halves[0] / folder).is_dir()}


def _with_classes(
    path: Path, layout: Layout, classes: int | str | None, data: str | None
) -> tuple[Layout, tuple[str, ...], int]:
    """Return the layout with the data set and labels to read, the class names and how many classes are stored."""
    if data is not None:
        if data not in listed.COUNTS:
            raise unknown("data", data, listed.COUNTS)
        layout = replace(layout, data=data)
    stored = indoor.STORED[layout.data]
    names = indoor.class_names(layout.data, classes)
    if len(names) == 13 and layout.label13 and (path / layout.halves[0] / layout.label13).is_dir():
        return replace(layout, label=layout.label13), names, 13
    return layout, names, stored


def _depth_rule(layout: Layout, first: Path, choice: str, factor: float | str | None) -> listed.DepthRule:
    """Return the layout's rule, or the one asked for; a family's factor is not meant for 8-bit files."""
    if factor is None and (choice == "hha" or images.probe(first).bits != 8):
        factor = layout.factor
    return listed.depth_rule(first, factor, hha=choice == "hha", raw=choice == "raw")


def _label_rule(
    layout: Layout, entries: list[listed.Entry], stored: int, classes: int, void: int | None
) -> indoor.LabelRule:
    if void not in (None, 0, 255):
        raise UserError(f"void={void} is neither 0 (classes from 1) nor 255 (classes from 0)")
    if void is None:
        void = indoor.guess_void(listed.sample_labels(entries), stored, layout.void)
    return indoor.LabelRule(void, stored, classes)


def _words(rule: indoor.LabelRule) -> str:
    first = int(rule.void == 0)
    return f"labels {first}..{first + rule.stored - 1}, void {rule.void}"


def _unusual(classes: int, choice: str, factor: float | str | None, void: int | None) -> list[str]:
    """Return what the name must say, so that two ways of reading the same files stay apart."""
    said = [(classes == 13, "13"), (choice != "filled", choice), (factor is not None, f"depth{factor}")]
    return [text for true, text in [*said, (void is not None, f"void{void}")] if true]
