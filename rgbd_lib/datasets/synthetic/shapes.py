"""Solids and the first point where a ray meets them.

Two kinds cover everything on the table. A `Convex` is an intersection of quadrics and half spaces, solved in
closed form (berries, stems, cut fruit, boxes). A `Lathe` is a solid of revolution with an outer and an inner
radius for every height, found by sampling the ray inside its bounding cylinder and bisecting (apples with their
dimple, hollow cups, handles).

A ray is origin + t * direction, where the direction has length 1 along the optical axis, so t is the z-depth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

SAMPLES, BISECTIONS, TABLE = 22, 9, 384


class Hit(NamedTuple):
    """Where rays met a solid: only the rays that did."""

    index: np.ndarray  # n, flat index into the rays
    t: np.ndarray  # n, z-depth
    normal: np.ndarray  # 3,n world, unit length, outwards
    local: np.ndarray  # 3,n position in the solid's own coordinates
    face: np.ndarray  # n int8: which piece of the surface (0 = the main one)


class Solid(Protocol):
    """Anything that rays can meet, with a sphere around it."""

    pose: "Pose"
    radius: float  # of the bounding sphere around the pose's centre, in metres

    def meet(self, origin: np.ndarray, rays: np.ndarray) -> Hit | None:
        """Return the first hits of rays (3,h,w) that start at origin."""
        ...


@dataclass(frozen=True)
class Pose:
    """World position = linear @ local + centre."""

    linear: np.ndarray
    centre: np.ndarray

    def inward(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return origin (3,) and rays (3,n) in local coordinates."""
        inverse = np.linalg.inv(self.linear)
        local_origin = (inverse @ (origin - self.centre)).astype(np.float32)
        return local_origin, _apply(inverse, rays.reshape(3, -1))

    def outward_normal(self, normal: np.ndarray) -> np.ndarray:
        """Return local normals (3,n) in the world, with unit length."""
        world = _apply(np.linalg.inv(self.linear).T, normal)
        world /= np.sqrt(world[0] ** 2 + world[1] ** 2 + world[2] ** 2) + 1e-12
        return world

    def then(self, linear: np.ndarray, centre: Sequence[float] = (0, 0, 0)) -> "Pose":
        """Return the pose of a child that is placed by linear and centre inside this one."""
        return Pose(self.linear @ linear, self.linear @ np.asarray(centre, float) + self.centre)

    @property
    def stretch(self) -> float:
        """Return the largest factor by which local lengths grow."""
        return float(np.linalg.norm(self.linear, 2))


def rotation(axis: str, angle: float) -> np.ndarray:
    """Return the 3 x 3 rotation by an angle in radians about x, y or z."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def _apply(matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    m = matrix.astype(np.float32)
    # three explicit products: a sum over an axis of length 3 is many times slower
    return np.stack([m[i, 0] * v[0] + m[i, 1] * v[1] + m[i, 2] * v[2] for i in range(3)])


@dataclass(frozen=True)
class Convex:
    """The part of space inside every quadric a x^2 + b y^2 + c z^2 <= 1 and every half space n.p <= h."""

    pose: Pose
    quadrics: tuple[tuple[float, float, float], ...] = ((1.0, 1.0, 1.0),)
    planes: tuple[tuple[tuple[float, float, float], float], ...] = ()
    reach: float = 1.0  # radius of a sphere around it in local coordinates

    @property
    def radius(self) -> float:
        """Return the radius of the bounding sphere in metres."""
        return self.reach * self.pose.stretch

    def meet(self, origin: np.ndarray, rays: np.ndarray) -> Hit | None:
        """Return the first hits: the last entry into any piece, if no piece was left before."""
        o, d = self.pose.inward(origin, rays)
        enter = np.full(d.shape[1], -np.inf, np.float32)
        leave = np.full(d.shape[1], np.inf, np.float32)
        face = np.zeros(d.shape[1], np.int8)
        pieces = [self._quadric(o, d, q) for q in self.quadrics]
        pieces += [self._plane(o, d, *p) for p in self.planes]
        for k, (first, last) in enumerate(pieces):
            face[first > enter] = k
            np.maximum(enter, first, out=enter)
            np.minimum(leave, last, out=leave)
        index = np.flatnonzero((enter < leave) & (enter > 1e-4))
        if index.size == 0:
            return None
        t, face = enter[index], face[index]
        local = o[:, None] + t * d[:, index]
        normal = np.empty_like(local)
        for k, q in enumerate(self.quadrics):
            own = face == k
            normal[:, own] = local[:, own] * np.array(q, np.float32)[:, None]
        for k, (n, _) in enumerate(self.planes, start=len(self.quadrics)):
            normal[:, face == k] = np.array(n, np.float32)[:, None]
        return Hit(index, t, self.pose.outward_normal(normal), local, face)

    @staticmethod
    def _quadric(
        o: np.ndarray, d: np.ndarray, q: tuple[float, float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        q = np.array(q, np.float32)
        a = q[0] * d[0] ** 2 + q[1] * d[1] ** 2 + q[2] * d[2] ** 2
        b = q[0] * o[0] * d[0] + q[1] * o[1] * d[1] + q[2] * o[2] * d[2]
        c = np.float32(q @ o**2 - 1)
        inside = b * b - a * c
        root = np.sqrt(np.maximum(inside, 0))
        a = np.maximum(a, 1e-12)
        miss = inside <= 0
        return np.where(miss, np.inf, (-b - root) / a), np.where(miss, -np.inf, (-b + root) / a)

    @staticmethod
    def _plane(
        o: np.ndarray, d: np.ndarray, n: tuple[float, float, float], h: float
    ) -> tuple[np.ndarray, np.ndarray]:
        n = np.array(n, np.float32)
        slope = n[0] * d[0] + n[1] * d[1] + n[2] * d[2]
        slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        t = (np.float32(h) - n @ o) / slope
        return np.where(slope < 0, t, -np.inf), np.where(slope > 0, t, np.inf)


@dataclass(frozen=True)
class Profile:
    """Squared outer and inner radius of a solid of revolution over its height, as tables."""

    low: float
    high: float
    outer: np.ndarray
    inner: np.ndarray | None

    @classmethod
    def of(
        cls, heights: np.ndarray, outer: Callable | np.ndarray, inner: Callable | np.ndarray | None = None
    ) -> "Profile":
        """Tabulate radii given at ascending heights (or as functions of the height), closed at both ends."""
        low, high = float(heights[0]), float(heights[-1])
        z = np.linspace(low, high, TABLE)

        def squared(radius: Callable | np.ndarray) -> np.ndarray:
            values = radius(z) ** 2 if callable(radius) else np.interp(z, heights, np.asarray(radius) ** 2)
            return values.astype(np.float32)

        out = squared(outer)
        out[0] = out[-1] = 0  # a flat end: the surface drops to the axis within one table step
        return cls(low, high, out, None if inner is None else squared(inner))

    @property
    def widest(self) -> float:
        """Return the largest radius."""
        return float(np.sqrt(self.outer.max()))

    @property
    def reach(self) -> float:
        """Return the radius of a sphere around the origin that holds the solid."""
        z = np.linspace(self.low, self.high, TABLE)
        return float(np.sqrt((self.outer + z**2).max()))


@dataclass(frozen=True)
class Lathe:
    """A solid of revolution about the local z axis, cut by half spaces n.p <= h."""

    pose: Pose
    profile: Profile
    planes: tuple[tuple[tuple[float, float, float], float], ...] = ()
    samples: int = SAMPLES

    @property
    def radius(self) -> float:
        """Return the radius of the bounding sphere in metres."""
        return self.profile.reach * self.pose.stretch

    def meet(self, origin: np.ndarray, rays: np.ndarray) -> Hit | None:
        """Return the first change from outside to inside along each ray."""
        p = self.profile
        o, d = self.pose.inward(origin, rays)
        enter, leave = Convex._quadric(o, d, (p.widest**-2, p.widest**-2, 0.0))
        for n, h in (((0, 0, 1), p.high), ((0, 0, -1), -p.low), *self.planes):
            first, last = Convex._plane(o, d, n, h)
            enter, leave = np.maximum(enter, first), np.minimum(leave, last)
        index = np.flatnonzero((enter < leave) & (enter > 1e-4))
        if index.size == 0:
            return None
        d = d[:, index]
        steps = np.linspace(0, 1, self.samples, dtype=np.float32)[:, None]
        enter, leave = enter[index], leave[index]
        t = enter + (leave - enter) * steps
        inside = self._inside(o, d, t)
        hit = inside.any(axis=0)
        first = inside.argmax(axis=0)
        keep = np.flatnonzero(hit)
        if keep.size == 0:
            return None
        first, d = first[keep], d[:, keep]
        far = t[first, keep]
        near = t[np.maximum(first - 1, 0), keep]
        for _ in range(BISECTIONS):
            middle = 0.5 * (near + far)
            within = self._inside(o, d, middle)
            far = np.where(within, middle, far)
            near = np.where(within, near, middle)
        local = o[:, None] + far * d
        normal, face = self._normal(local, cut=first == 0)
        return Hit(index[keep], far, self.pose.outward_normal(normal), local, face)

    def _table(self, table: np.ndarray, z: np.ndarray) -> np.ndarray:
        p = self.profile
        x = (z - np.float32(p.low)) * np.float32((TABLE - 1) / (p.high - p.low))
        x = np.clip(x, 0, TABLE - 1.001)
        i = x.astype(np.int32)
        return table[i] + (x - i) * (table[i + 1] - table[i])

    def _inside(self, o: np.ndarray, d: np.ndarray, t: np.ndarray) -> np.ndarray:
        z = o[2] + t * d[2]
        square = (o[0] + t * d[0]) ** 2 + (o[1] + t * d[1]) ** 2
        within = square <= self._table(self.profile.outer, z)
        if self.profile.inner is not None:
            within &= square >= self._table(self.profile.inner, z)
        return within

    def _normal(self, local: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y, z = local
        p = self.profile
        square = x * x + y * y
        step = np.float32((p.high - p.low) / (TABLE - 1))
        normal = np.stack([2 * x, 2 * y, -self._table(np.gradient(p.outer, step), z)])
        face = np.zeros(x.size, np.int8)
        if p.inner is not None:
            hollow = self._table(p.inner, z)
            cavity = (np.abs(square - hollow) < np.abs(square - self._table(p.outer, z))) & (hollow > 0)
            slope = self._table(np.gradient(p.inner, step), z)
            normal = np.where(cavity, np.stack([-2 * x, -2 * y, slope]), normal)
            face[cavity] = 1
        for k, (n, h) in enumerate(self.planes, start=2):
            n = np.array(n, np.float32)
            own = cut & (np.abs(n[0] * x + n[1] * y + n[2] * z - h) < 1e-3 * p.reach)
            normal[:, own] = n[:, None]
            face[own] = k
        return normal, face
