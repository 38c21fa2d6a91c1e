"""The first surface behind every pixel, painted: geometry once, whatever the light."""

from dataclasses import dataclass

import numpy as np

from rgbd_lib.datasets.synthetic.camera import Camera
from rgbd_lib.datasets.synthetic.scenes import Scene

Region = tuple[slice, slice]


@dataclass
class Surface:
    """Per pixel of a region: what is seen there. Arrays are h,w or 3,h,w float32."""

    z: np.ndarray  # metres along the optical axis
    part: np.ndarray  # int16, negative = the room
    point: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray
    sharp: np.ndarray
    polish: np.ndarray
    ao: np.ndarray
    region: Region


def surfaces(
    scene: Scene, camera: Camera, region: Region | None = None, near: float = 0.0, without: int | None = None
) -> Surface:
    """Return the first surface behind every pixel of a region, farther than near."""
    region = region or (slice(0, camera.size[0]), slice(0, camera.size[1]))
    rays = camera.rays(region)
    z, part = scene.room.meet(camera.origin, rays, near)
    normal, local = np.zeros_like(rays), np.zeros_like(rays)
    face = np.zeros(z.shape, np.int8)
    for k, item in enumerate(scene.parts):
        if k == without:
            continue
        box = camera.box(item.solid.pose.centre, item.solid.radius)
        inner = within(box, region) if box else None
        if inner is None:
            continue
        hit = item.solid.meet(camera.origin, rays[:, inner[0], inner[1]])
        if hit is None:
            continue
        width = inner[1].stop - inner[1].start
        r, c = hit.index // width + inner[0].start, hit.index % width + inner[1].start
        keep = (hit.t < z[r, c]) & (hit.t > near)
        r, c = r[keep], c[keep]
        z[r, c], part[r, c], face[r, c] = hit.t[keep], k, hit.face[keep]
        normal[:, r, c], local[:, r, c] = hit.normal[:, keep], hit.local[:, keep]
    point = camera.origin.astype(np.float32)[:, None, None] + z * rays
    return _painted(scene, region, z, part, point, normal, local, face)


def within(box: Region, region: Region) -> Region | None:
    """Return the part of a box inside a region, counted from the region's corner; None where there is none."""
    out = []
    for b, r in zip(box, region, strict=True):
        low, high = max(b.start, r.start) - r.start, min(b.stop, r.stop) - r.start
        if high <= low:
            return None
        out.append(slice(low, high))
    return out[0], out[1]


def _painted(
    scene: Scene, region: Region, z: np.ndarray, part: np.ndarray, point: np.ndarray, normal: np.ndarray,
    local: np.ndarray, face: np.ndarray,
) -> Surface:  # fmt: skip
    albedo = np.zeros_like(point)
    gloss, polish = np.zeros_like(z), np.zeros_like(z)
    sharp, ao = np.ones_like(z), np.ones_like(z)
    scene.room.dress(point, part, normal, albedo, ao)
    flat = np.flatnonzero(part >= 0)
    order = flat[np.argsort(part.ravel()[flat], kind="stable")]
    numbers = part.ravel()[order]
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    shaped = [a.reshape(a.shape[0], -1) for a in (normal, local, albedo)]
    for index in np.split(order, cuts) if order.size else ():
        n = shaped[0][:, index]
        paint = scene.parts[part.ravel()[index[0]]].material(shaped[1][:, index], face.ravel()[index], n)
        shaped[2][:, index] = paint.albedo
        for target, value in (
            (gloss, paint.gloss),
            (sharp, paint.sharp),
            (polish, paint.mirror),
            (ao, paint.ao),
        ):
            target.ravel()[index] = value
        if paint.bump is not None:
            n = n + paint.bump
            shaped[0][:, index] = n / np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2)
    return Surface(z, part, point, normal, albedo, gloss, sharp, polish, ao, region)
