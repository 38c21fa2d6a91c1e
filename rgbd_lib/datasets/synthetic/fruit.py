"""Fruit and vegetables, each a function (class, place, form, skin) -> Thing; see objects.py for the two generators."""

import numpy as np

from rgbd_lib.datasets.synthetic import materials, profiles
from rgbd_lib.datasets.synthetic.classes import BAD, CLASSES, KIND_OF
from rgbd_lib.datasets.synthetic.materials import Material
from rgbd_lib.datasets.synthetic.shapes import Convex, Lathe, Pose, Profile, rotation
from rgbd_lib.datasets.synthetic.thing import Rng, Thing, vary


def _maybe_bad(class_id: int, skin_of: Material, linear: np.ndarray, skin: Rng) -> Material:
    """Return the material, rotten at two or three places that the camera can see if the class says so."""
    count = int(skin.integers(2, 4))
    world = np.array([[0.0], [-0.9], [0.55]]) + skin.normal(0, 0.5, (3, count))
    local = np.linalg.inv(linear) @ world
    size, offset = skin.uniform(0.07, 0.19), skin.uniform(0, 30)
    if class_id not in BAD:
        return skin_of
    return materials.mouldy(skin_of, local / np.linalg.norm(local, axis=0), size, offset)


def _turned(base: Pose, profile: Profile, linear: np.ndarray, x: float = 0.0, y: float = 0.0) -> Pose:
    return base.then(linear, (x, y, profiles.lift(profile, linear)))


def _stalk(thing: Thing, pose: Pose, at: float, length: float, width: float, lean: float) -> None:
    """Add a stem along the local z axis of pose, undoing its stretch."""
    scale = np.linalg.norm(pose.linear, axis=0)
    rod = rotation("y", lean) @ np.diag([width, width, length])
    linear = np.diag(1 / scale) @ rod
    thing.add(
        Lathe(pose.then(linear, (0, 0, at)), profiles.stalk(), samples=12),
        materials.plain((0.13, 0.08, 0.03)),
    )


def lemon(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a lemon on its side."""
    length, width = 0.038 * form.uniform(0.92, 1.10), 0.037 * form.uniform(0.93, 1.10)
    turn = rotation("z", form.uniform(0, 2 * np.pi)) @ rotation("y", np.pi / 2 + form.uniform(-0.25, 0.25))
    linear = turn @ np.diag([width, width, length])
    pose = _turned(base, profiles.lemon(), linear)
    colour = vary(skin, (0.66, 0.58, 0.035), 0.06)
    peel = materials.citrus(colour, skin.uniform(0, 30), colour * (0.75, 0.95, 0.9))
    thing = Thing()
    thing.add(Lathe(pose, profiles.lemon()), _maybe_bad(class_id, peel, pose.linear, skin))
    thing.cast(pose, (0.70, 0.70, 0.98))
    return thing


def mandarin(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a mandarin, tilted anyhow."""
    size, flat = 0.0315 * form.uniform(0.90, 1.12), form.uniform(0.90, 1.02)
    linear = profiles.tilted(form, 0.9) @ np.diag([size, size, size * flat])
    pose = _turned(base, profiles.mandarin(), linear)
    colour = vary(skin, (0.86, 0.255, 0.012), 0.07)
    peel = materials.citrus(colour, skin.uniform(0, 30), np.array([0.30, 0.26, 0.05]), gloss=0.34)
    thing = Thing()
    thing.add(Lathe(pose, profiles.mandarin()), _maybe_bad(class_id, peel, pose.linear, skin))
    button = pose.then(np.diag([0.13, 0.13, 0.06]), (0, 0, 0.76))
    thing.add(Convex(button), materials.plain((0.16, 0.17, 0.05)))
    thing.cast(pose, (0.99, 0.99, 0.83))
    return thing


def apple(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a red or green apple with its stem."""
    size, flat = 0.0365 * form.uniform(0.92, 1.08), form.uniform(0.93, 1.07)
    linear = profiles.tilted(form, 0.75) @ np.diag([size, size, size * flat])
    pose = _turned(base, profiles.apple(), linear)
    if "Green" in CLASSES[class_id]:
        colour, blush = vary(skin, (0.23, 0.48, 0.05), 0.07), vary(skin, (0.40, 0.56, 0.12))
    else:
        colour, blush = vary(skin, (0.50, 0.022, 0.02), 0.10), vary(skin, (0.72, 0.34, 0.06))
    peel = materials.apple(colour, blush, skin.uniform(0, 30), skin.uniform(0.35, 0.75))
    thing = Thing()
    thing.add(Lathe(pose, profiles.apple()), _maybe_bad(class_id, peel, pose.linear, skin))
    _stalk(thing, pose, 0.50, form.uniform(0.018, 0.026), 0.0013, form.uniform(-0.4, 0.4))
    thing.cast(pose, (0.97, 0.97, 0.87))
    return thing


def pear(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a pear, standing or lying."""
    size, width = 0.046 * form.uniform(0.92, 1.08), 0.047 * form.uniform(0.93, 1.07)
    lying, yaw, tilt = form.random() < 0.35, form.uniform(0, 2 * np.pi), form.uniform(0, 0.22)
    turn = rotation("z", yaw) @ rotation("x", 1.36 if lying else tilt)
    linear = turn @ np.diag([width, width, size])
    pose = _turned(base, profiles.pear(), linear)
    peel = materials.pear(vary(skin, (0.38, 0.46, 0.06), 0.08), skin.uniform(0, 30))
    thing = Thing()
    thing.add(Lathe(pose, profiles.pear()), _maybe_bad(class_id, peel, pose.linear, skin))
    _stalk(thing, pose, 0.94, 0.022, 0.0014, form.uniform(-0.5, 0.5))
    thing.cast(pose, (0.74, 0.74, 0.62), (0, 0, -0.34))
    thing.cast(pose, (0.36, 0.36, 0.60), (0, 0, 0.38))
    return thing


def onion(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a red or brown onion."""
    size, flat = 0.034 * form.uniform(0.90, 1.10), form.uniform(0.92, 1.08)
    linear = profiles.tilted(form, 0.55) @ np.diag([size, size, size * flat])
    pose = _turned(base, profiles.onion(), linear)
    if "Red" in CLASSES[class_id]:
        colour, dark = vary(skin, (0.24, 0.018, 0.065)), vary(skin, (0.10, 0.008, 0.035))
    else:
        colour, dark = vary(skin, (0.60, 0.27, 0.06)), vary(skin, (0.33, 0.12, 0.02))
    thing = Thing()
    thing.add(Lathe(pose, profiles.onion()), materials.onion(colour, dark, skin.uniform(0, 30)))
    thing.cast(pose, (0.98, 0.98, 0.86))
    return thing


def carrot(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a carrot lying across the view."""
    length, width = 0.068 * form.uniform(0.85, 1.10), 0.0165 * form.uniform(0.9, 1.15)
    yaw = form.uniform(-0.9, 0.9) + (np.pi if form.random() < 0.5 else 0)  # not end on: it would be a disc
    linear = rotation("z", yaw) @ rotation("y", np.pi / 2 - width / length) @ np.diag([width, width, length])
    pose = _turned(base, profiles.carrot(), linear)
    thing = Thing()
    thing.add(
        Lathe(pose, profiles.carrot()),
        materials.carrot(vary(skin, (0.80, 0.20, 0.018), 0.06), skin.uniform(0, 30)),
    )
    crown = pose.then(np.diag([0.45, 0.45, 0.07]), (0, 0, 1.0))
    thing.add(Convex(crown), materials.plain((0.16, 0.20, 0.03)))
    thing.cast(pose, (0.75, 0.75, 1.0))
    return thing


def grapes(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a heap of berries on a stem."""
    size, turn = 0.0118 * form.uniform(0.93, 1.08), base.then(rotation("z", form.uniform(0, 2 * np.pi)))
    places: list[np.ndarray] = []
    for layer, (count, spread) in enumerate(((9, (0.027, 0.017)), (5, (0.016, 0.009)), (1, (0.006, 0.004)))):
        for _ in range(count + int(form.integers(0, 3))):
            tries = form.normal(0, 1, (24, 2)).clip(-1.6, 1.6) * spread
            gap = [min((np.hypot(*(p[:2] - t)) for p in places if p[3] == layer), default=1) for t in tries]
            best = tries[int(np.argmax(np.minimum(gap, 1.75 * size)))]
            places.append(np.array([*best, size * (0.97 + 1.45 * layer), layer]))
    blue = "Blue" in CLASSES[class_id]
    rotten_share = skin.uniform(0.35, 0.55)
    thing = Thing()
    for x, y, z, _ in places:
        stretch = np.diag([1, 1, form.uniform(1.05, 1.22)]) * size
        pose = turn.then(profiles.tilted(form, 1.3) @ stretch, (x, y, z))
        rotten = bool(skin.random() < rotten_share) and class_id in BAD
        fresh = vary(skin, (0.022, 0.03, 0.13) if blue else (0.27, 0.45, 0.09), 0.14)
        brown = vary(skin, (0.17, 0.085, 0.03), 0.18)
        bloom = skin.uniform(0.35, 0.6) if blue else 0.06
        paint = materials.berry(brown if rotten else fresh, 0.15 if rotten else bloom, skin.uniform(0, 30))
        thing.add(Convex(pose), paint, shade=True)
    top = turn.then(rotation("y", 0.9) @ np.diag([0.0016, 0.0016, 0.05]), (0.004, 0, size * 3))
    thing.add(Lathe(top, profiles.stalk(), samples=12), materials.plain((0.18, 0.14, 0.05)))
    return thing


def half(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return half a lemon or mandarin, cut face towards the camera."""
    lemon = KIND_OF[class_id] == "lemon half"
    size = (0.0285 if lemon else 0.0325) * form.uniform(0.92, 1.08)
    # the cut looks up and towards the camera
    turn = rotation("z", form.uniform(-0.6, 0.6)) @ rotation("x", form.uniform(0.5, 1.15))
    linear = turn @ np.diag([size, size, size * (1.15 if lemon else 0.9)])
    pose = base.then(linear, (0, 0, size * 0.98))
    if lemon:
        colour, flesh = vary(skin, (0.66, 0.58, 0.035), 0.06), (0.64, 0.60, 0.14)
        peel = materials.citrus(colour, skin.uniform(0, 30), colour)
    else:
        colour, flesh = vary(skin, (0.86, 0.255, 0.012), 0.07), (0.86, 0.33, 0.03)
        peel = materials.citrus(colour, skin.uniform(0, 30), colour, gloss=0.34)
    cut = materials.cut_citrus(peel, vary(skin, flesh, 0.06), 9 if lemon else 10, skin.uniform())
    thing = Thing()
    thing.add(Convex(pose, planes=(((0.0, 0.0, 1.0), 0.05),)), cut)
    thing.cast(pose, (0.95, 0.95, 0.55), (0, 0, -0.45))
    return thing


def peel(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return two torn pieces of mandarin peel."""
    colour = vary(skin, (0.86, 0.255, 0.012), 0.07)
    rind = materials.peel(materials.citrus(colour, skin.uniform(0, 30), colour))
    thing = Thing()
    for sign in (-1, 1):
        size = 0.031 * form.uniform(0.92, 1.08)
        turn = rotation("z", form.uniform(-0.7, 0.7)) @ rotation("x", form.uniform(-0.2, 0.75))
        linear = turn @ np.diag([size, size, size * 0.85])
        pose = _turned(base, profiles.shell(0.09), linear, x=sign * 0.021, y=form.uniform(-0.008, 0.008))
        torn = []
        for angle in form.uniform(0, 2 * np.pi, 3):
            n = np.array([np.cos(angle), np.sin(angle), form.uniform(0.5, 1.2)])
            torn.append((tuple(n / np.linalg.norm(n)), float(form.uniform(0.25, 0.5))))
        thing.add(Lathe(pose, profiles.shell(0.09), tuple(torn), samples=40), rind)
        thing.cast(pose, (0.85, 0.85, 0.5), (0, 0, -0.5))
    return thing
