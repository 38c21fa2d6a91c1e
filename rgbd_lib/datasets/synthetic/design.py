"""Which objects lie in which scene: capture runs as in MM5, classes drawn so that none can be inferred.

MM5's 324 captures follow each other in runs that share their things. The table below gives, run by run, the class
set that its published training list implies. Here a run keeps the *kinds* of that list, while the class
within a kind (good, bad, fake; red, green; hot, cold) is dealt anew for every object from a shuffled balanced deck,
so that neither the run nor the company of an object says anything about its class.
"""

from dataclasses import dataclass

import numpy as np

from rgbd_lib.datasets.synthetic.classes import KIND_OF, KINDS

RUNS = (
    "1:1,2 11:1,2,3 14:1,2,3,4 16:1,2,3,4,5 20:1,2,3,5 24:6 29:6,7 41:6,7,8 47:4,6,7,8 50:1,2,3,4,6,7,8 "
    "52:1,2,3,4,6,7,8,9 56:1,2,3,6,7,8 64:1,5,10 65:1,10 68:1,3,10 71:3 76:10 79:1,10 80:10 83:11 89:11,12 "
    "92:1,6,10,11,12 95:1,4,6,9,10,11,12 99:1,4,6,9,10,11,12,13 100:1,4,9,10,11,12,13 102:1,2,3 104:2 107:14 "
    "119:14,15 122:15 135:16 140:16,17 149:18 152:16,18 155:5,16,18 161:19 163:20 171:21 176:19,21 179:19,20,21 "
    "182:19,20 186:18,19 188:17 194:17,21 197:16,18,19,20 200:22 206:22,23 209:24 221:25 231:24,25 233:23,24,25 "
    "239:24,25,26 243:24,26 245:22,23,24,26 248:5,22,23,24,26 253:4,5,22,23,24,26 254:4,5,13,22,23,24,26,27 "
    "260:13,22,23,27 263:13,27 265:13,27,28 268:13,27,28,29 272:27,28,29 275:28,29 276:27,28,29 277:27,28 280:27,29 "
    "287:27,28,29 289:14,15,24,27,28 296:27,30 304:27,31 310:27,30,31 313:30 316:30,31"
)
"""First id of each run and its classes."""

EVAL_IDS = (
    *(
        1,
        11,
        16,
        17,
        23,
        25,
        27,
        28,
        30,
        31,
        49,
        51,
        52,
        57,
        62,
        63,
        74,
        76,
        80,
        85,
        92,
        97,
        98,
        101,
        103,
        109,
    ),
    *(
        115,
        118,
        119,
        122,
        125,
        129,
        134,
        136,
        138,
        141,
        143,
        150,
        160,
        162,
        164,
        170,
        172,
        174,
        178,
        185,
        191,
        199,
    ),
    *(
        204,
        207,
        210,
        220,
        229,
        230,
        234,
        237,
        241,
        242,
        247,
        251,
        252,
        259,
        262,
        269,
        271,
        279,
        286,
        288,
        290,
        295,
    ),
    *(301, 302, 305, 312, 322, 324),
)
"""The ids that MM5's published training list leaves out, less one (75) that makes the training images 248."""

OFFICIAL = 324
DAYS = 8
MOST = 8  # objects on the turntable
LEAST_TRAIN, LEAST_EVAL = 8, 3  # of every class, at 324 scenes
LARGE = ("kettle", "bowl")
SINGLE = ("mirror", *LARGE)  # at most one of each in a scene


@dataclass(frozen=True)
class Plan:
    """What a scene must show: its place in the design and the class of every object."""

    scene: int  # 1, 2, ..: the file name
    run: int
    day: int
    split: str  # "train" or "eval"
    classes: tuple[int, ...]


def _run_table() -> list[tuple[int, tuple[str, ...]]]:
    rows = []
    for row in RUNS.split():
        first, ids = row.split(":")
        rows.append((int(first), tuple(KIND_OF[int(c)] for c in ids.split(","))))
    return rows


def design(scenes: int, seed: int) -> list[Plan]:
    """Return the plans of all scenes: a pure function of its arguments, and nothing is rendered."""
    rng = np.random.default_rng([seed, 101])
    table = _run_table()
    firsts = np.array([first for first, _ in table])
    place = np.arange(scenes) * OFFICIAL // scenes + 1  # the official id that a scene stands for
    run = np.searchsorted(firsts, place, side="right") - 1
    split = _split(scenes)
    things = [_furnish(list(table[r][1]), rng) for r in run]
    _top_up(things, split, scenes, rng)
    classes = _deal(things, split, rng)
    number = {r: k + 1 for k, r in enumerate(dict.fromkeys(run.tolist()))}
    return [
        Plan(i + 1, number[int(run[i])], int((place[i] - 1) * DAYS // OFFICIAL), split[i], tuple(classes[i]))
        for i in range(scenes)
    ]


def endless(index: int, seed: int) -> Plan:
    """Return the plan of one scene of a stream without end: runs of six, classes drawn independently."""
    run = index // 6
    kinds = _run_table()[np.random.default_rng([seed, 102, run]).integers(len(_run_table()))][1]
    rng = np.random.default_rng([seed, 103, index])
    classes = tuple(int(rng.choice(KINDS[k])) for k in _furnish(list(kinds), rng))
    return Plan(index + 1, run + 1, run // 9, "train", classes)


def _split(scenes: int) -> list[str]:
    if scenes == OFFICIAL:
        return ["eval" if i + 1 in EVAL_IDS else "train" for i in range(scenes)]
    count = max(round(scenes * len(EVAL_IDS) / OFFICIAL), 1) if scenes > 1 else 0
    return ["eval" if (i + 1) * count // scenes > i * count // scenes else "train" for i in range(scenes)]


def _furnish(kinds: list[str], rng: np.random.Generator) -> list[str]:
    """Add a few more of the same kinds to sparse scenes; grapes and cups take more room."""
    spare = [k for k in kinds if k not in SINGLE]
    for _ in range(rng.integers(1, 4) if len(kinds) < 4 else rng.integers(0, 2)):
        if spare and len(kinds) < MOST:
            kinds.append(str(rng.choice(spare)))
    return kinds


def _top_up(things: list[list[str]], split: list[str], scenes: int, rng: np.random.Generator) -> None:
    """Put rare kinds into the emptiest scenes until every class can be dealt often enough."""
    for part, least in (("train", LEAST_TRAIN), ("eval", LEAST_EVAL)):
        mine = [t for t, s in zip(things, split, strict=True) if s == part]
        for kind, ids in KINDS.items():
            need = round(least * scenes / OFFICIAL) * len(ids)
            while sum(t.count(kind) for t in mine) < need:
                free = [t for t in mine if len(t) < MOST and not (kind in SINGLE and kind in t)]
                if kind in LARGE:
                    free = [t for t in free if not set(LARGE) & set(t)]
                if not free:
                    break
                order = rng.permutation(len(free))
                min((free[k] for k in order), key=len).append(kind)


def _deal(things: list[list[str]], split: list[str], rng: np.random.Generator) -> list[list[int]]:
    """Give every object a class from a shuffled deck that holds each class of its kind equally often."""
    classes = [[0] * len(t) for t in things]
    for part in ("train", "eval"):
        for kind, ids in KINDS.items():
            slots = [
                (i, k)
                for i, t in enumerate(things)
                if split[i] == part
                for k, name in enumerate(t)
                if name == kind
            ]
            rest = rng.permutation(ids)[: len(slots) % len(ids)]
            deck = rng.permutation(np.concatenate([np.tile(ids, len(slots) // len(ids)), rest]))
            for (i, k), class_id in zip(slots, deck, strict=True):
                classes[i][k] = int(class_id)
    return classes
