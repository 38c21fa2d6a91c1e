"""A pinhole camera, and its image in a plane mirror."""

from dataclasses import dataclass

import numpy as np

FOCAL, CENTRE_X, CENTRE_Y = 0.95, 347 / 640, 261 / 480  # in image widths and heights, as MM5's aligned frames


@dataclass(frozen=True)
class Camera:
    """Origin, axes (rows: right, down, forward) and size in pixels (rows, columns)."""

    origin: np.ndarray
    axes: np.ndarray
    size: tuple[int, int]

    @classmethod
    def looking(cls, origin: np.ndarray, yaw: float, pitch: float, size: tuple[int, int]) -> "Camera":
        """Return the camera that looks along +y, turned by yaw and downwards by pitch (radians)."""
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        return cls(np.asarray(origin, float), np.stack([right, np.cross(forward, right), forward]), size)

    @property
    def intrinsics(self) -> tuple[float, float, float]:
        """Return focal length, centre column and centre row in pixels."""
        rows, columns = self.size
        return FOCAL * columns, CENTRE_X * columns - 0.5, CENTRE_Y * rows - 0.5

    def rays(self, region: tuple[slice, slice] | None = None) -> np.ndarray:
        """Return the ray directions (3,h,w float32) of a region; length 1 along the optical axis."""
        rows, columns = region or (slice(0, self.size[0]), slice(0, self.size[1]))
        f, cx, cy = self.intrinsics
        u = ((np.arange(columns.start, columns.stop) - cx) / f).astype(np.float32)[None]
        v = ((np.arange(rows.start, rows.stop) - cy) / f).astype(np.float32)[:, None]
        a = self.axes.astype(np.float32)
        return np.stack([a[2, i] + u * a[0, i] + v * a[1, i] for i in range(3)])

    def project(self, point: np.ndarray) -> tuple[float, float, float]:
        """Return column, row and z-depth of a point in the world."""
        x, y, z = self.axes @ (np.asarray(point) - self.origin)
        f, cx, cy = self.intrinsics
        return f * x / z + cx, f * y / z + cy, z

    def box(self, centre: np.ndarray, radius: float) -> tuple[slice, slice] | None:
        """Return the region that holds the image of a sphere, or None where it is out of sight."""
        x, y, z = self.axes @ (np.asarray(centre) - self.origin)
        rows, columns = self.size
        if z + radius <= 0.02:
            return None
        if z <= 1.3 * radius:  # around the camera: everything
            return slice(0, rows), slice(0, columns)
        f, cx, cy = self.intrinsics
        spans = []
        for offset, mid, limit in ((y, cy, rows), (x, cx, columns)):
            a, b = (np.arctan2(offset, z) + s * np.arcsin(radius / np.hypot(offset, z)) for s in (-1, 1))
            a, b = (np.clip(angle, -1.5, 1.5) for angle in (a, b))
            low = int(np.clip(np.floor(mid + f * np.tan(a)), 0, limit))
            high = int(np.clip(np.ceil(mid + f * np.tan(b)) + 1, 0, limit))
            if high <= low:
                return None
            spans.append(slice(low, high))
        return spans[0], spans[1]

    def reflected(self, point: np.ndarray, normal: np.ndarray) -> "Camera":
        """Return the camera behind a mirror that sees what this one sees in it, pixel for pixel."""
        flip = np.eye(3) - 2 * np.outer(normal, normal)
        origin = self.origin - 2 * normal * float(normal @ (self.origin - point))
        return Camera(origin, self.axes @ flip, self.size)
