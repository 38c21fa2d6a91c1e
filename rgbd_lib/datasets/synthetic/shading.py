"""White light on a painted surface, fixture by fixture: lamps, soft shadows, contact shadows, highlights."""

import numpy as np

from rgbd_lib.datasets.synthetic.camera import Camera
from rgbd_lib.datasets.synthetic.lights import BOUNCE, FIXTURES, LAMPS, SKY
from rgbd_lib.datasets.synthetic.materials import ramp
from rgbd_lib.datasets.synthetic.room import DISC_RADIUS, FLOOR, FLOOR_PART
from rgbd_lib.datasets.synthetic.scenes import Scene, Shade
from rgbd_lib.datasets.synthetic.surface import Region, Surface, within


def shade(scene: Scene, surface: Surface, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return diffuse and specular light of every fixture, F,h,w each."""
    p, n = surface.point, surface.normal
    o = camera.origin.astype(np.float32)
    diffuse = np.zeros((len(FIXTURES), *surface.z.shape), np.float32)
    specular = np.zeros_like(diffuse)
    ao = surface.ao * occlusion(scene, surface, camera)
    diffuse[SKY] = (0.55 + 0.45 * n[2]) * ao
    low = np.clip(1 - (p[2] - FLOOR) / 0.5, 0.15, 1)
    diffuse[BOUNCE] = (0.5 - 0.5 * n[2]) * (0.35 + 0.65 * ao) * low
    shiny = np.flatnonzero(surface.gloss > 0.03)
    view = _unit(o[:, None] - p.reshape(3, -1)[:, shiny])
    ns = n.reshape(3, -1)[:, shiny]
    facing = np.clip(_dot(ns, view), 0, 1)
    _polish(surface, shiny, ns, view, facing, ao, specular)
    gloss, sharp = surface.gloss.ravel()[shiny], surface.sharp.ravel()[shiny]
    for f, name in enumerate(FIXTURES[2:], start=2):
        lamp = LAMPS[name]
        at = np.array(lamp.position, np.float32)
        to = [at[i] - p[i] for i in range(3)]
        square = to[0] ** 2 + to[1] ** 2 + to[2] ** 2
        inverse = 1 / np.sqrt(square)
        power = (np.float32(at @ at) / square) ** np.float32(lamp.falloff / 2)
        power *= shadows(scene, surface, camera, at, lamp.soft)
        cosine = (n[0] * to[0] + n[1] * to[1] + n[2] * to[2]) * inverse
        diffuse[f] = np.maximum(cosine, 0) * power
        toward = np.stack([(axis * inverse).ravel()[shiny] for axis in to])
        half = _unit(toward + view)
        lobe = np.exp(sharp * np.log(np.clip(_dot(ns, half), 1e-4, 1)))
        rise = ramp(cosine.ravel()[shiny], 0.0, 0.15)
        specular[f].ravel()[shiny] = gloss * (0.6 + 0.012 * sharp) * lobe * rise * power.ravel()[shiny]
    if scene.bulb is not None:
        specular[FIXTURES.index("left")][surface.part == scene.bulb] = 6.0
    return diffuse, specular


def _polish(
    surface: Surface, shiny: np.ndarray, n: np.ndarray, view: np.ndarray, facing: np.ndarray, ao: np.ndarray,
    specular: np.ndarray,
) -> None:  # fmt: skip
    """Add what polished surfaces show of a bright ceiling, a dark horizon and the green table."""
    base = surface.polish.ravel()[shiny]
    share = base + (1 - base) * np.minimum(base * 4, 0.5) * (1 - facing) ** 5
    up = 2 * facing * n[2] - view[2]
    across = 2 * facing * n[0] - view[0]
    panel = ramp(up, 0.45, 0.60) * (1 - ramp(np.abs(across + 0.2), 0.30, 0.42))
    sky = 0.10 + 0.35 * ramp(up, 0.02, 0.5) + 0.9 * panel
    specular[SKY].ravel()[shiny] = share * sky * ao.ravel()[shiny]
    specular[BOUNCE].ravel()[shiny] = share * ramp(-up, -0.05, 0.25) * ao.ravel()[shiny]


def occlusion(scene: Scene, surface: Surface, camera: Camera) -> np.ndarray:
    """Return the share of ambient light (0..1) left by nearby objects: contact shadows."""
    left = np.ones_like(surface.z)
    for s in scene.shades:
        box = camera.box(s.centre, 2.2 * s.radius)
        inner = within(box, surface.region) if box else None
        if inner is None:
            continue
        local, away = _in_ball(s, surface, inner)
        distance = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) + 1e-6
        n = surface.normal[:, inner[0], inner[1]]
        cosine = -(n[0] * away[0] + n[1] * away[1] + n[2] * away[2]) / distance
        square = np.maximum(local[0] ** 2 + local[1] ** 2 + local[2] ** 2, 0.9)
        blocked = np.clip(cosine * 0.85 + 0.12, 0, 1) / square
        left[inner] *= 1 - 0.9 * np.where(_own(s, surface, inner), 0, np.minimum(blocked, 1))
    return left


def shadows(scene: Scene, surface: Surface, camera: Camera, lamp: np.ndarray, soft: float) -> np.ndarray:
    """Return the share of a lamp (0..1) that reaches every pixel past the objects and the turntable."""
    left = np.ones_like(surface.z)
    floor = surface.part == FLOOR_PART
    if floor.any():  # the turntable is a disc: where does the way to the lamp cross its height?
        p = surface.point[:, floor]
        s = (-0.004 - p[2]) / (lamp[2] - p[2])
        rho = np.hypot(p[0] + s * (lamp[0] - p[0]), p[1] + s * (lamp[1] - p[1]))
        left[floor] = ramp(rho, DISC_RADIUS - 0.012, DISC_RADIUS + 0.008)
    for s in scene.shades:
        inner = _shadow_box(s, surface, camera, lamp)
        if inner is None:
            continue
        local, _ = _in_ball(s, surface, inner)
        target = (s.inverse @ (lamp - s.centre)).astype(np.float32)
        way = [target[i] - local[i] for i in range(3)]
        length = way[0] ** 2 + way[1] ** 2 + way[2] ** 2
        along = -(local[0] * way[0] + local[1] * way[1] + local[2] * way[2])
        square = local[0] ** 2 + local[1] ** 2 + local[2] ** 2
        miss = np.sqrt(np.maximum(square - along**2 / length, 0))
        blur = np.clip(np.float32(soft) * np.sqrt(square), 0.07, 0.65)
        dark = np.where((along > 0) & ~_own(s, surface, inner), 1 - ramp(miss, 1 - blur, 1 + 0.6 * blur), 0)
        left[inner] *= 1 - dark
    return left


def _shadow_box(s: Shade, surface: Surface, camera: Camera, lamp: np.ndarray) -> Region | None:
    """Return the region of a surface that an object's shadow can fall on, down to the floor."""
    direction = s.centre - lamp
    direction = direction / np.linalg.norm(direction)
    drop = (s.centre[2] - FLOOR) / max(-direction[2], 0.12)
    end = s.centre + direction * min(drop, 0.9)
    boxes = [camera.box(c, 1.7 * s.radius) for c in (s.centre, 0.5 * (s.centre + end), end)]
    boxes = [b for b in boxes if b]
    if not boxes:
        return None
    union = tuple(slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in range(2))
    return within(union, surface.region)


def _in_ball(s: Shade, surface: Surface, inner: Region) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return points of a region seen from an occluder: in its unit ball's coordinates, and in metres."""
    c, m = s.centre.astype(np.float32), s.inverse.astype(np.float32)
    away = [surface.point[i][inner] - c[i] for i in range(3)]
    return [m[i, 0] * away[0] + m[i, 1] * away[1] + m[i, 2] * away[2] for i in range(3)], away


def _own(s: Shade, surface: Surface, inner: Region) -> np.ndarray:
    part = surface.part[inner]
    return (part >= s.skip[0]) & (part < s.skip[1])


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt(_dot(v, v) + 1e-12)
