"""Cup, bowl and kettle, each a function (class, place, form, skin) -> Thing."""

import numpy as np

from rgbd_lib.datasets.synthetic import materials, profiles
from rgbd_lib.datasets.synthetic.shapes import Convex, Lathe, Pose, rotation
from rgbd_lib.datasets.synthetic.thing import Rng, Thing, vary


def cup(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a mug with a handle and some tea: hot and cold ones look alike."""
    height, yaw = 0.082 * form.uniform(0.93, 1.07), form.uniform(0, 2 * np.pi)
    body = base.then(rotation("z", yaw) @ np.eye(3) * height)
    palette = ((0.48, 0.66, 0.72), (0.05, 0.17, 0.46), (0.42, 0.06, 0.05), (0.58, 0.60, 0.40))
    colour = vary(skin, palette[skin.integers(len(palette))], 0.06)
    band = vary(skin, palette[skin.integers(len(palette))], 0.06)
    low = skin.uniform(0.35, 0.7)
    coat = materials.glaze(colour, band, (low, low + skin.uniform(0.08, 0.2)))
    tea = skin.uniform(0.4, 1.0)
    thing = Thing()
    thing.add(Lathe(body, profiles.cup(), samples=56), coat)
    drink = body.then(np.diag([0.445, 0.445, 1.0]))
    surface = Convex(drink, ((1.0, 1.0, 0.0),), (((0, 0, 1), 0.80), ((0, 0, -1), -0.75)), reach=2.2)
    thing.add(surface, materials.plain((0.10 * tea, 0.035 * tea, 0.01 * tea), 0.5, 150.0, 0.08))
    grip = body.then(rotation("x", np.pi / 2), (0.46, 0, 0.53))
    thing.add(Lathe(grip, profiles.ring(0.25, 0.052), (((-1.0, 0, 0), 0.0),), samples=40), coat)
    thing.cast(body, (0.46, 0.46, 0.60), (0, 0, 0.5))
    thing.cast(body, (0.28, 0.06, 0.28), (0.52, 0, 0.53))
    return thing


def bowl(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a glazed bowl."""
    size = 0.070 * form.uniform(0.92, 1.06)
    body = base.then(np.eye(3) * size)
    palette = ((0.50, 0.68, 0.74), (0.06, 0.20, 0.46), (0.54, 0.56, 0.42))
    colour, band = (vary(skin, palette[skin.integers(3)], 0.05) for _ in range(2))
    thing = Thing()
    thing.add(Lathe(body, profiles.bowl(), samples=56), materials.glaze(colour, band, (0.56, 0.66)))
    thing.cast(body, (0.97, 0.97, 0.42), (0, 0, 0.42))
    return thing


def kettle(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return a steel kettle with spout and handle."""
    size = 0.064 * form.uniform(0.94, 1.06)
    yaw = form.uniform(-0.9, 0.9) + (np.pi if form.random() < 0.5 else 0.0)
    body = base.then(rotation("z", yaw) @ np.eye(3) * size)
    metal, black = (
        materials.steel(skin.uniform(0, 30)),
        materials.plain((0.018, 0.018, 0.02), 0.4, 60.0, 0.04),
    )
    thing = Thing()
    thing.add(Lathe(body, profiles.kettle(), samples=40), metal)
    thing.add(Convex(body.then(np.diag([0.13, 0.13, 0.12]), (0, 0, 1.54))), black)
    nose = body.then(rotation("y", 0.80) @ np.diag([1.0, 1.0, 0.95]), (0.68, 0, 0.52))
    thing.add(Lathe(nose, profiles.spout(), samples=32), metal)
    arch = body.then(rotation("x", np.pi / 2) @ np.diag([1.0, 1.0, 1.0]), (0, 0, 1.05))
    thing.add(Lathe(arch, profiles.ring(0.70, 0.075), (((0, -1.0, 0), 0.0),), samples=48), black)
    thing.cast(body, (0.95, 0.95, 0.85), (0, 0, 0.62))
    thing.cast(body, (0.72, 0.10, 0.35), (0, 0, 1.45))
    thing.cast(nose, (0.22, 0.22, 0.5), (0, 0, 0.5))
    return thing
