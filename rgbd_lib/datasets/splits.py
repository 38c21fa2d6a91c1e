"""Training, validation and test scenes that do not know each other.

Neighbouring captures show the same arrangement a few degrees further: whoever trains on one has seen the
other. Scenes of one capture run therefore stay together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Shares = Mapping[str, float]  # split -> share of the scenes, in order of importance
MANY = 300  # groups beyond which chance covers the classes well enough and looking for better takes long
_TRIALS = 64


@dataclass(frozen=True)
class Leakage:
    """How close the test scenes are to what a model was fitted to (training and validation)."""

    test: int  # test scenes
    neighbours: int  # of these, directly before or after a seen scene
    same_run: int  # of these, from a capture run of which scenes were seen

    def __str__(self) -> str:
        return (
            f"{self.neighbours} of {self.test} test scenes are direct neighbours of training or validation "
            f"scenes, {self.same_run} share a capture run with one"
        )


def leakage(
    seen: Iterable[str], test: Iterable[str], order: Sequence[str], groups: Mapping[str, str]
) -> Leakage:
    """Count test scenes next to a seen one in the order of capture, and those of a run that was seen."""
    seen, test = set(seen), list(test)
    position = {scene: i for i, scene in enumerate(order)}
    taken = {position[scene] for scene in seen}
    runs = {groups[scene] for scene in seen if scene in groups}
    near = sum(bool({position[scene] - 1, position[scene] + 1} & taken) for scene in test)
    return Leakage(len(test), near, sum(groups.get(scene) in runs for scene in test))


def content(
    scenes: Sequence[str], read: Callable[[str], np.ndarray], ignore: Iterable[int]
) -> dict[str, frozenset[int]]:
    """Return the label values that occur in each scene, without some; ``read`` gives a scene's label."""

    def seen(scene: str) -> frozenset[int]:
        return frozenset(np.flatnonzero(np.bincount(read(scene).ravel())).tolist()) - frozenset(ignore)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(scenes, pool.map(seen, scenes), strict=True))


def runs_by_change(scenes: Sequence[str], content: Mapping[str, frozenset[int]]) -> dict[str, str]:
    """Name capture runs: scenes with whole-number ids that follow each other and show the same classes.

    A run is called after its first scene.
    """
    groups: dict[str, str] = {}
    last = None
    for scene in sorted(scenes, key=int):
        follows = last is not None and int(scene) <= int(last) + 1 and content[scene] == content[last]
        groups[scene] = groups[last] if follows and last is not None else scene
        last = scene
    return groups


def divide(
    scenes: Sequence[str],
    groups: Mapping[str, str],
    content: Mapping[str, frozenset[int]],
    shares: Shares,
    seed: int = 0,
) -> dict[str, tuple[str, ...]]:
    """Divide scenes by whole groups, with every class in every split where there are groups enough.

    The rarest class is dealt first, each group to the split that lacks most of it; of many such deals with
    different ties the one with the fewest gaps, then the truest sizes, is returned. Same input, same result.
    """
    names = list(shares)
    members: dict[str, list[str]] = {}
    for scene in scenes:
        members.setdefault(groups.get(scene, scene), []).append(scene)
    classes = sorted(set().union(*(content.get(scene, frozenset()) for scene in scenes)))
    counts = np.array(  # group, class -> scenes; the last column counts all scenes
        [
            [sum(c in content.get(scene, ()) for scene in group) for c in classes] + [len(group)]
            for group in members.values()
        ]
    ).reshape(len(members), len(classes) + 1)
    share = np.array([shares[name] for name in names]) / sum(shares.values())
    wanted = share[:, None] * counts.sum(0)
    if len(members) > MANY:
        best = _shuffle(counts[:, -1], share, np.random.default_rng(seed))
    else:
        deals = (_deal(counts, wanted, np.random.default_rng([seed, trial])) for trial in range(_TRIALS))
        best = _improve(min(deals, key=lambda deal: _faults(deal, counts, wanted)), counts, wanted)
    place = {group: names[split] for group, split in zip(members, best, strict=True)}
    return {
        name: tuple(scene for scene in scenes if place[groups.get(scene, scene)] == name) for name in names
    }


def _shuffle(sizes: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the split of each group: a random order, cut at the shares."""
    order = rng.permutation(len(sizes))
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    deal = np.empty(len(sizes), int)
    deal[order] = np.searchsorted(np.cumsum(share)[:-1] * sizes.sum(), middle)
    return deal


def _deal(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the split of each group."""
    deal = np.full(len(counts), -1)
    need = wanted.copy()
    tie = rng.random(len(counts))
    while (open_ := deal < 0).any():
        left = (counts[open_] > 0).sum(0)  # groups that still hold a class; the column of sizes comes last
        rare = int(np.argmin(np.where(left > 0, left, len(counts) + 1)))
        holders = np.flatnonzero(open_ & (counts[:, rare] > 0))
        for group in sorted(holders, key=lambda g: (-counts[g, rare], tie[g])):
            split = max(range(len(need)), key=lambda s: (round(need[s, rare], 9), need[s, -1], wanted[s, -1]))
            deal[group] = split
            need[split] -= counts[group]
    return deal


def _improve(deal: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move single groups for as long as that mends something."""
    faults = _faults(deal, counts, wanted)
    while True:
        moves = [
            np.where(np.arange(len(deal)) == g, s, deal) for g in range(len(deal)) for s in range(len(wanted))
        ]
        best = min(moves, key=lambda move: _faults(move, counts, wanted))
        if _faults(best, counts, wanted) >= faults:
            return deal
        deal, faults = best, _faults(best, counts, wanted)


def _faults(deal: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> tuple[int, float]:
    """Return (classes that a split lacks, deviation of sizes): smaller is better."""
    have = np.stack([counts[deal == split].sum(0) for split in range(len(wanted))])
    gaps = int((have[:, :-1] == 0).sum() + (have[:, -1] == 0).sum() * counts.size)
    return gaps, float(np.abs(have[:, -1] - wanted[:, -1]).sum())


def gaps(
    splits: Mapping[str, Sequence[str]], content: Mapping[str, frozenset[int]]
) -> dict[str, tuple[int, ...]]:
    """Return the classes that occur in some split but not in this one, for every split."""
    have = {name: Counter(c for scene in ids for c in content.get(scene, ())) for name, ids in splits.items()}
    everything = set().union(*have.values())
    return {name: tuple(sorted(everything - set(found))) for name, found in have.items()}
