"""The stage: green cloth on the table and behind it, a turntable, a framed mirror, a desk lamp."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from rgbd_lib.datasets.synthetic import materials, profiles
from rgbd_lib.datasets.synthetic.materials import Material, Paint, ramp
from rgbd_lib.datasets.synthetic.shapes import Convex, Lathe, Pose, rotation
from rgbd_lib.datasets.synthetic.thing import Thing

DISC_RADIUS, FLOOR = 0.238, -0.047
CURTAIN, FRONT = 0.72, -1.9  # the cloth behind, and the dark end of the room that only the mirror sees
TILE = 512

FLOOR_PART, CURTAIN_PART, FRONT_PART = -1, -2, -3


@cache
def _wrinkles() -> np.ndarray:
    """Return a tileable texture of height and its two slopes, TILE x TILE x 3 float32."""
    rng = np.random.default_rng(77)
    height = np.zeros((TILE, TILE), np.float32)
    for cells, weight in ((3, 1.0), (7, 0.6), (15, 0.16)):
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        wide = cv2.resize(np.tile(coarse, (3, 3)), (3 * TILE, 3 * TILE), interpolation=cv2.INTER_CUBIC)
        layer = wide[TILE : 2 * TILE, TILE : 2 * TILE]
        height += weight * layer
    slope_y = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    slope_x = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    return np.stack([height - height.mean(), slope_x, slope_y], axis=-1)


@dataclass(frozen=True)
class Room:
    """Floor, curtain and the far end of the room; folds as (amplitude, wave number, phase, lean) rows."""

    folds: np.ndarray
    offset: np.ndarray  # 2, where the wrinkle texture begins
    cloth: np.ndarray  # 3, linear albedo

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Room":
        """Return a room with folds of its own."""
        count = 7
        wave = np.sort(rng.uniform(9, 60, count))
        amplitude = rng.uniform(0.5, 1.0, count) * 0.22 / wave
        folds = np.stack([amplitude, wave, rng.uniform(0, 6.28, count), rng.normal(0, 2.0, count)], axis=1)
        cloth = np.array([0.070, 0.33, 0.072]) * rng.uniform(0.9, 1.1, 3)
        return cls(
            folds.astype(np.float32), rng.uniform(0, TILE, 2).astype(np.float32), cloth.astype(np.float32)
        )

    def meet(self, origin: np.ndarray, rays: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
        """Return z-depth and part (negative numbers) of the wall or floor behind every pixel."""
        o = origin.astype(np.float32)
        dx, dy, dz = rays
        big = np.float32(1e6)
        floor = np.where(dz < -1e-6, (FLOOR - o[2]) / np.minimum(dz, -1e-6), big)
        back = np.where(dy > 1e-6, (CURTAIN - o[1]) / np.maximum(dy, 1e-6), big)
        rows = np.flatnonzero((back < floor).any(axis=1) & (back < 100).any(axis=1))
        if rows.size:
            r = slice(rows[0], rows[-1] + 1)
            t = np.minimum(back[r], 10)
            for _ in range(2):  # the folds are shallow: two steps settle to a fraction of a millimetre
                depth = self._fold(o[0] + t * dx[r], o[2] + t * dz[r])[0]
                t = np.minimum((CURTAIN + depth - o[1]) / np.maximum(dy[r], 1e-6), 10)
            back[r] = np.where(back[r] < 10, t, back[r])
        front = np.where(dy < -1e-6, (FRONT - o[1]) / np.minimum(dy, -1e-6), big)
        for t in (floor, back, front):
            t[t < near] = big
        z = np.minimum(np.minimum(floor, back), front)
        part = np.where(z == floor, FLOOR_PART, np.where(z == back, CURTAIN_PART, FRONT_PART)).astype(
            np.int16
        )
        return np.minimum(z, 10), part

    def _fold(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        depth = slope = np.float32(0)
        for a, k, phase, lean in self.folds:
            angle = k * x + (phase + lean * z)
            depth = depth + a * np.sin(angle)
            slope = slope + (a * k) * np.cos(angle)
        return depth, slope

    def dress(
        self, point: np.ndarray, part: np.ndarray, normal: np.ndarray, albedo: np.ndarray, ao: np.ndarray
    ) -> None:
        """Write normal, albedo and ambient share of the pixels of the room, in place."""
        x, y, z = point
        upright = part == CURTAIN_PART
        across = np.where(upright, z, y)
        texture = cv2.remap(
            _wrinkles(), np.mod(x * 420 + self.offset[0], TILE), np.mod(across * 420 + self.offset[1], TILE),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP,
        )  # fmt: skip
        height, sx, sy = (texture[..., k] for k in range(3))
        floor = part == FLOOR_PART
        rough = np.float32(1.3)
        normal[0][floor], normal[1][floor] = -rough * sx[floor], -rough * sy[floor]
        normal[2][floor] = 1
        disc = np.sqrt(x[floor] ** 2 + y[floor] ** 2) - DISC_RADIUS
        ao[floor] = 1 - 0.75 * np.exp(-np.maximum(disc, 0) / 0.035)
        if upright.any():
            depth, slope = self._fold(x[upright], z[upright])
            normal[0][upright], normal[2][upright] = slope - rough * sx[upright], -rough * sy[upright]
            normal[1][upright] = -1
            scale = np.float32(np.abs(self.folds[:, 0]).sum())
            ao[upright] = 0.80 - 0.42 * np.clip(depth / scale, -1, 1)  # valleys get less light
        front = part == FRONT_PART
        normal[1][front], ao[front] = 1, 1.0
        room = part < 0
        for channel in range(3):
            tone = self.cloth[channel] * (1 + 0.05 * height)
            albedo[channel][room] = tone[room]
        albedo[:, front] *= np.float32(0.8)
        # only the room's normals: those of objects have unit length already
        length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + 1e-9
        for channel in range(3):
            normal[channel] /= np.where(room, length, 1)


def _turntable_paint(offset: float) -> Material:
    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        rho = np.sqrt(local[0] ** 2 + local[1] ** 2)
        felt = np.array([0.052, 0.25, 0.088])[:, None] * (1 + 0.025 * materials.noise(local, 40, offset))
        cream = np.array([0.78, 0.70, 0.46])[:, None] * (1 + 0.02 * materials.noise(local, 5, offset))
        top = (face == 1) * ramp(-rho, -0.966, -0.956)
        groove = (face == 0) * (1 - ramp(np.abs(local[2] + 0.045), 0.010, 0.022))
        albedo = materials.blend(
            materials.blend(cream, felt, top), np.array([0.006, 0.040, 0.015]), 0.9 * groove
        )
        return Paint(albedo, np.where(top > 0.5, 0.02, 0.22), 30.0, 0.02)

    return paint


def turntable(angle: float) -> Thing:
    """Return the disc with a felt top at height 0 and a cream rim, and its narrower foot."""
    thing = Thing()
    pose = Pose(rotation("z", angle) * DISC_RADIUS, np.zeros(3))
    low = 0.034 / DISC_RADIUS
    disc = Convex(pose, ((1.0, 1.0, 0.0),), (((0, 0, 1), 0.0), ((0, 0, -1), low)), reach=1.1)
    thing.add(disc, _turntable_paint(angle))
    foot = Pose(np.eye(3) * DISC_RADIUS * 0.9, np.zeros(3))
    base = Convex(foot, ((1.0, 1.0, 0.0),), (((0, 0, 1), -0.05), ((0, 0, -1), 0.3)), reach=1.1)
    thing.add(base, materials.plain((0.01, 0.03, 0.015)))
    return thing


def mirror(pose: Pose, width: float, height: float, offset: float) -> Thing:
    """Return a framed mirror standing on the pose's origin, glass towards -y; part 0 is the glass."""
    thing = Thing()

    def box(cx: float, cz: float, wx: float, wz: float, thick: float) -> Convex:
        planes = []
        for axis, half, centre in ((0, wx / 2, cx), (1, thick / 2, 0.0), (2, wz / 2, cz)):
            for sign in (1, -1):
                n = [0.0, 0.0, 0.0]
                n[axis] = float(sign)
                planes.append((tuple(n), half + sign * centre))
        return Convex(pose, (), tuple(planes), reach=float(np.hypot(abs(cx) + wx, cz + wz)))

    bar, grain = 0.030, materials.wood(offset)
    thing.add(box(0, height / 2, width - bar, height - bar, 0.008), materials.plain((0.02, 0.02, 0.02)))
    thing.add(box(0, bar / 2, width, bar, 0.026), grain)
    thing.add(box(0, height - bar / 2, width, bar, 0.026), grain)
    thing.add(box(-(width - bar) / 2, height / 2, bar, height, 0.028), grain)
    thing.add(box((width - bar) / 2, height / 2, bar, height, 0.028), grain)
    return thing


def desk_lamp(head: np.ndarray, aim: np.ndarray) -> Thing:
    """Return a teal desk lamp: its shade around head, its bulb (the last part) shining towards aim."""
    thing = Thing()
    axis = (head - aim) / np.linalg.norm(head - aim)
    side = np.cross([0, 0, 1.0], axis)
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(axis, side), axis], axis=1)
    teal = materials.plain((0.02, 0.24, 0.25), 0.5, 60.0, 0.06)
    thing.add(Lathe(Pose(frame * 0.085, head - 0.03 * axis), profiles.shade(), samples=40), teal)
    foot = np.array([head[0] - 0.10, head[1] + 0.12, FLOOR])
    arm = head + 0.05 * axis - foot
    length = float(np.linalg.norm(arm))
    up = arm / length
    across = np.cross(up, [1.0, 0, 0])
    across /= np.linalg.norm(across)
    pole = np.stack([across * 0.006, np.cross(up, across) * 0.006, up * length], axis=1)
    thing.add(Lathe(Pose(pole, foot), profiles.stalk(), samples=12), teal)
    thing.add(Convex(Pose(np.eye(3) * 0.030, head)), materials.plain((0.8, 0.8, 0.75)))
    return thing
