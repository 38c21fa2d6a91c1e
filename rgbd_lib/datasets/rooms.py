"""The part of a reader that NYUv2 and SUN RGB-D share, whatever they are stored in."""

import hashlib
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from rgbd_lib.datasets import indoor
from rgbd_lib.datasets.base import IGNORE, DepthKind, Frame
from rgbd_lib.errors import UserError, unknown

SPLITS = ("train", "val", "test")
KINDS = ("official", "grouped")  # the official lists share no place, so the two are the same here

_VALIDATION = 0.15  # share of the official training frames
_BLOCK = 10  # consecutive frames that count as one place where places are not known


class RoomDataset(ABC):
    """One image per scene, an official train and test list, validation cut out of train by place."""

    synthetic = False
    background: int | None = None
    lightings = (1,)
    crops_depth = False  # depth larger than the label is cut in the middle
    scene_names: tuple[str, ...] = ()  # names of the ids in scene_classes

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        decision: str,
        rule: indoor.LabelRule,
        classes: tuple[str, ...],
        depth_kind: DepthKind,
        lists: Mapping[str, Sequence[str]],
        places: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name  # says what was not read the usual way, so that results are not mixed up
        self.root = root
        self.decision = decision  # one sentence: what this is taken for
        self.notes: list[str] = []  # what is odd about the data, found so far
        self.rule, self.classes, self.depth_kind = rule, classes, depth_kind
        self.lists = {part: tuple(lists[part]) for part in ("train", "test")}
        check_lists(self.lists, root)
        self.scenes = tuple(sorted({s for part in self.lists.values() for s in part}, key=natural))
        self.places = dict(
            places or {s: p for part, ids in self.lists.items() for s, p in blocks(ids, part).items()}
        )
        self.groups = dict(groups or self.places)
        self._known = frozenset(self.scenes)

    @cached_property
    def scene_classes(self) -> dict[str, int]:
        """Return scene -> position in ``scene_names``; empty where the data has no scene classes."""
        return {}

    @abstractmethod
    def rgb(self, scene: str) -> np.ndarray:
        """Return H,W,3 uint8."""

    @abstractmethod
    def depth(self, scene: str) -> np.ndarray:
        """Return H,W uint16 counts in ``depth_kind``, at the stored size."""

    @abstractmethod
    def stored_label(self, scene: str) -> np.ndarray:
        """Return the label image as it is stored, before ``rule``."""

    @abstractmethod
    def where(self, scene: str, part: str) -> str:
        """Return what to name when "rgb", "depth" or "label" of a scene is wrong."""

    @abstractmethod
    def intrinsics(self, scene: str) -> np.ndarray | None:
        """Return the 3x3 camera matrix of a frame (pixels counted from 1), None where it is not known."""

    @abstractmethod
    def files(self) -> list[Path]:
        """Return every file whose content decides what ``read`` returns, sorted."""

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        """Return the scenes of "train", "val" or "test"; train and val together are the official train list."""
        if kind not in KINDS:
            raise unknown("kind of split", kind, KINDS)
        if name not in SPLITS:
            raise unknown("split", name, SPLITS)
        if name == "test":
            return self.lists["test"]
        held_out = self._validation()
        return tuple(scene for scene in self.lists["train"] if (scene in held_out) == (name == "val"))

    def read(self, scene: str, lighting: int = 1) -> Frame:
        """Return one frame; sizes, labels and depth are checked and a fault is named with its file."""
        rgb = self.read_rgb(scene, lighting)
        size = rgb.shape[:2]
        stored = self.stored_label(scene)
        if stored.shape != size:
            raise self._size_error(scene, "label", stored.shape, size)
        depth = self.depth(scene)
        if self.crops_depth and depth.shape != size and min(np.subtract(depth.shape, size)) >= 0:
            depth = indoor.crop_to(depth, size)
        if depth.shape != size:
            raise self._size_error(scene, "depth", depth.shape, size)
        label = self.rule.apply(stored, self.where(scene, "label"))
        label[indoor.white_border(rgb)] = IGNORE
        self._check_depth(scene, depth)
        return Frame(rgb, depth, depth > 0, label)

    def read_rgb(self, scene: str, lighting: int = 1) -> np.ndarray:
        """Return the colour image alone, H,W,3 uint8."""
        if scene not in self._known:
            raise UserError(
                f"{self.root}: no scene '{scene}'; it has {len(self.scenes)}, from '{self.scenes[0]}' on"
            )
        if lighting not in self.lightings:
            raise UserError(
                f"{self.root}: no lighting {lighting}; {self.name} has one image per scene, lighting 1"
            )
        return self.rgb(scene)

    def note(self, text: str) -> None:
        """Keep a remark about the data, once."""
        if text not in self.notes:
            self.notes.append(text)

    def _validation(self) -> frozenset[str]:
        """Take whole places out of the training list, in an order that only their names decide."""
        train = self.lists["train"]
        members: dict[str, list[str]] = {}
        for scene in train:
            members.setdefault(self.places[scene], []).append(scene)
        held_out: list[str] = []
        for place in sorted(members, key=lambda text: hashlib.blake2b(text.encode()).digest())[:-1]:
            if len(held_out) >= _VALIDATION * len(train):
                break
            held_out += members[place]
        return frozenset(held_out)

    def _check_depth(self, scene: str, depth: np.ndarray) -> None:
        """Refuse a frame without depth; remark on one that is not a room's, aloud the first time."""
        if not depth.any():
            raise UserError(
                f"{self.where(scene, 'depth')}: every pixel is 0, no depth was measured. "
                "Take the frame out of the list or copy the file again"
            )
        if self.depth_kind.to_metres is None:
            return
        median = indoor.implausible(depth * self.depth_kind.to_metres)
        if median is None:
            return
        text = (
            f"{self.where(scene, 'depth')}: median depth {median:.2f} m is outside 0.5..6 m; if others are too, "
            "set depth_factor to the counts per metre of these files"
        )
        if text not in self.notes and not any("median depth" in note for note in self.notes):
            warnings.warn(text, stacklevel=3)
        self.note(text)

    def _size_error(self, scene: str, part: str, found: tuple[int, ...], rgb: tuple[int, ...]) -> UserError:
        size, wanted = ("x".join(map(str, shape)) for shape in (found, rgb))
        return UserError(
            f"{self.where(scene, part)}: {part} is {size} pixels (rows x columns), "
            f"its colour image {self.where(scene, 'rgb')} is {wanted}; they must be equal"
        )


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts "9" before "10"."""
    return [(0, int(run), "") if run.isdigit() else (1, 0, run) for run in re.split(r"(\d+)", text) if run]


def blocks(scenes: Iterable[str], of: str) -> dict[str, str]:
    """Return a place for every scene: neighbours in the order of capture share one, as frames of a room do.

    ``of`` is the list they are from: the official lists share no room.
    """
    return {scene: f"{of}, block {i // _BLOCK + 1}" for i, scene in enumerate(sorted(scenes, key=natural))}


def check_lists(lists: Mapping[str, Sequence[str]], root: Path) -> None:
    """Refuse lists that are empty, name a scene twice or test on what was trained on."""
    for part, scenes in lists.items():
        if not scenes:
            raise UserError(f"{root}: the list of {part} frames is empty")
        if len(set(scenes)) < len(scenes):
            seen: set[str] = set()
            twice = next(scene for scene in scenes if scene in seen or seen.add(scene))
            raise UserError(f"{root}: frame '{twice}' is twice in the {part} list; remove one of them")
    both = set(lists["train"]) & set(lists["test"])
    if both:
        first = min(both, key=natural)
        raise UserError(
            f"{root}: frame '{first}' is in the train and in the test list ({len(both)} such frames)"
        )
