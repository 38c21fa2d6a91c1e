"""A scene put together: camera, room, turntable, objects in their places, and the record of it all.

Random numbers come from one generator per purpose, seeded from (seed, purpose, run or scene, ..): any scene can be
made alone, at any image size, and what one thing draws cannot shift what another one does.
"""

from dataclasses import dataclass

import numpy as np

from rgbd_lib.datasets.synthetic import objects, room
from rgbd_lib.datasets.synthetic.camera import Camera
from rgbd_lib.datasets.synthetic.classes import CLASSES, FAKE, KIND_OF, KINDS
from rgbd_lib.datasets.synthetic.design import Plan
from rgbd_lib.datasets.synthetic.room import DISC_RADIUS
from rgbd_lib.datasets.synthetic.shapes import Convex, Pose, rotation
from rgbd_lib.datasets.synthetic.thing import Part, Thing

VISIBLE = 60 / (240 * 320)  # least visible share of the image of any object; half of it must be free as well
CHECK = (120, 160)  # size at which placement looks at occlusion, whatever the size of the picture
TRIES = 40
LAMP_HEAD = np.array([-0.47, 0.20, 0.165])
MIRROR = 4


@dataclass(frozen=True)
class Shade:
    """An ellipsoid that casts a shadow: world -> unit ball, and the parts that it must not darken."""

    inverse: np.ndarray
    centre: np.ndarray
    radius: float
    skip: tuple[int, int]


@dataclass(frozen=True)
class Scene:
    """Everything that a picture is made from."""

    plan: Plan
    seed: int
    camera: Camera
    room: room.Room
    parts: tuple[Part, ...]
    owner: np.ndarray  # object of each part, -1 for furniture
    shades: tuple[Shade, ...]
    bulb: int | None  # the part that shines
    glass: int | None  # the part that mirrors
    classes: tuple[int, ...]  # of the objects
    instances: tuple[int, ...]  # within the class, from 1
    infrared: np.ndarray  # reflectance of each object, then cloth and furniture
    records: tuple[dict, ...]

    def __post_init__(self) -> None:
        assert len(self.parts) == len(self.owner)


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the generator for one purpose."""
    return np.random.default_rng([seed, *purpose.encode(), *numbers])


def assemble(plan: Plan, seed: int, size: tuple[int, int]) -> Scene:
    """Return the scene of a plan; only the camera depends on the size."""
    run = generator(seed, "run", plan.run)
    stage = room.Room.draw(run)
    height, distance = 0.172 + run.normal(0, 0.006), 0.625 + run.normal(0, 0.01)
    pitch, start, step = 0.166 + run.normal(0, 0.006), run.uniform(0, 2 * np.pi), run.uniform(0.3, 0.8)
    with_lamp = run.random() < 0.45
    head = LAMP_HEAD + run.normal(0, 0.012, 3)
    facing, away, aside = run.normal(-0.46, 0.05), run.normal(0.30, 0.015), run.normal(0.07, 0.02)
    stand = away * np.array([-np.sin(facing), np.cos(facing)]) + aside * np.array(
        [np.cos(facing), np.sin(facing)]
    )
    lean = run.uniform(0.01, 0.05)

    jitter = generator(seed, "jitter", plan.scene)
    origin = np.array(
        [jitter.normal(0, 0.008), -distance + jitter.normal(0, 0.008), height + jitter.normal(0, 0.004)]
    )
    camera = Camera.looking(origin, jitter.normal(0, 0.010), pitch + jitter.normal(0, 0.006), size)
    turn = start + step * plan.scene + jitter.normal(0, 0.1)

    things: list[tuple[int, Thing]] = [(-1, room.turntable(turn))]
    bulb = None
    if with_lamp:
        things.append((-1, room.desk_lamp(head, np.array([0.0, 0.0, 0.0]))))
        bulb = sum(len(t.parts) for _, t in things) - 1
    classes = plan.classes
    poses = _place(plan, seed, camera, turn)
    glass = None
    for k, class_id in enumerate(classes):
        if class_id == MIRROR:
            pose = Pose(rotation("z", facing) @ rotation("x", -lean), np.array([*stand, room.FLOOR]))
            glass = sum(len(t.parts) for _, t in things)
            things.append((k, room.mirror(pose, 0.46, 0.43, jitter.uniform(0, 30))))
            poses[k] = pose
        else:
            things.append((k, _make(plan, seed, k, poses[k])))
    parts, owner, shades = _flatten(things)
    infrared = generator(seed, "infrared", plan.scene).uniform(0.35, 0.95, len(classes))
    instances = tuple(classes[: k + 1].count(c) for k, c in enumerate(classes))
    records = tuple(
        {
            "class": c, "name": CLASSES[c], "kind": KIND_OF[c], "instance": instances[k], "fake": c in FAKE,
            "centre": [round(float(v), 5) for v in poses[k].centre], "infrared": round(float(infrared[k]), 4),
        }
        for k, c in enumerate(classes)
    )  # fmt: skip
    return Scene(
        plan, seed, camera, stage, parts, owner, shades, bulb, glass, classes, instances,
        np.append(infrared, [0.55, 0.70]), records,
    )  # fmt: skip


def _make(plan: Plan, seed: int, k: int, base: Pose) -> Thing:
    form, skin = (generator(seed, purpose, plan.scene, k) for purpose in ("form", "skin"))
    return objects.build(plan.classes[k], base, form, skin)


def _flatten(things: list[tuple[int, Thing]]) -> tuple[tuple[Part, ...], np.ndarray, tuple[Shade, ...]]:
    parts: list[Part] = []
    owner: list[int] = []
    shades: list[Shade] = []
    for k, thing in things:
        first = len(parts)
        parts += thing.parts
        owner += [k] * len(thing.parts)
        for pose, part in thing.shades:
            skip = (first, len(parts)) if part is None else (first + part, first + part + 1)
            shades.append(Shade(np.linalg.inv(pose.linear), pose.centre, pose.stretch, skip))
    return tuple(parts), np.array(owner), tuple(shades)


def _place(plan: Plan, seed: int, camera: Camera, turn: float) -> list[Pose]:
    """Return a pose per object such that none hides another: the first fair arrangement, or the best of many.

    A run has one arrangement; from scene to scene the turntable turns it. Where something gets hidden it is turned
    further, and in the end things are moved.
    """
    rng = generator(seed, "place", plan.scene)
    small = Camera(camera.origin, camera.axes, CHECK)
    best, best_score = [], -1.0
    for attempt in range(TRIES):
        poses = _arrange(plan, seed, turn, attempt // 8, rng)
        score = _clearest(plan, seed, small, poses)
        if score > best_score:
            best, best_score = poses, score
        if score >= 1:
            break
        turn = rng.uniform(0, 2 * np.pi)
    return best


def _arrange(plan: Plan, seed: int, turn: float, variant: int, rng: np.random.Generator) -> list[Pose]:
    """Return the run's arrangement turned by an angle, every object nudged a little."""
    kinds = [KIND_OF[c] for c in plan.classes]
    poses = [Pose(np.eye(3), np.zeros(3)) for _ in kinds]
    rotate = rotation("z", turn)[:2, :2]
    taken: list[tuple[np.ndarray, float]] = []
    order = sorted(range(len(kinds)), key=lambda k: -objects.REACH.get(kinds[k], 0.0))
    for k in order:
        if kinds[k] not in objects.REACH:
            continue
        reach, count = objects.REACH[kinds[k]], kinds[: k + 1].count(kinds[k])
        place = generator(seed, "spot", plan.run, list(KINDS).index(kinds[k]), count, variant)
        rho, angle = (
            np.sqrt(place.uniform(0, 1, 60)) * (DISC_RADIUS - 0.9 * reach),
            place.uniform(0, 2 * np.pi, 60),
        )
        spots = np.stack([rho * np.cos(angle), rho * np.sin(angle)], axis=1)
        gaps = [min((np.hypot(*(s - p)) / (reach + r) for p, r in taken), default=9) for s in spots]
        fair = np.flatnonzero(np.array(gaps) > 1.08)
        spot = spots[fair[0] if fair.size else int(np.argmax(gaps))]
        taken.append((spot, reach))
        poses[k] = Pose(np.eye(3), np.array([*(rotate @ spot + rng.uniform(-0.003, 0.003, 2)), 0.0]))
    return poses


def _clearest(plan: Plan, seed: int, camera: Camera, poses: list[Pose]) -> float:
    """Return how visible the worst object is, 1 = enough; judged on the shadow ellipsoids alone."""
    depth = np.full(CHECK, np.inf, np.float32)
    owner = np.full(CHECK, -1, np.int16)
    alone = {}
    for k, class_id in enumerate(plan.classes):
        if class_id == MIRROR:
            continue
        area = np.zeros(CHECK, bool)
        for pose, _ in _make(plan, seed, k, poses[k]).shades:
            box = camera.box(pose.centre, pose.stretch)
            hit = Convex(pose).meet(camera.origin, camera.rays(box)) if box else None
            if hit is None:
                continue
            z = np.full(depth[box].size, np.inf, np.float32)
            z[hit.index] = hit.t
            z = z.reshape(depth[box].shape)
            area[box] |= np.isfinite(z)
            nearer = z < depth[box]
            depth[box][nearer] = z[nearer]
            owner[box][nearer] = k
        alone[k] = max(int(area.sum()), 1)
    least = 1.2 * VISIBLE * depth.size
    seen = {k: int((owner == k).sum()) for k in alone}
    return min((min(seen[k] / least, seen[k] / (0.55 * alone[k]), 1.0) for k in alone), default=1.0)
