"""What the cameras record: eight-bit colour with noise, and the depth of a time-of-flight camera."""

from functools import cache

import cv2
import numpy as np

from rgbd_lib.datasets.synthetic.lights import Lighting
from rgbd_lib.datasets.synthetic.render import Linear
from rgbd_lib.datasets.synthetic.scenes import Scene

SHOT, READ = 2.5e-4, 1.2e-5  # variance per unit of signal, and in the dark, at noise gain 1
PIXEL_BLUR = 0.72  # the lens, in pixels at 640 columns; it also softens the stairs at outlines

SIGMA, WEAK = 0.0011, 0.05  # metres of depth noise at unit amplitude; amplitude floor
EDGE, DROPPED = 0.025, 0.15  # metres of range within 3 x 3 that make flying pixels; share of them lost
BASELINE = 0.032  # between colour and depth camera: occlusion shadows at the right of objects
DARKEST, STEEPNESS = 0.14, 60.0  # amplitude at which half of the pixels are lost
CLOTH, FURNITURE = -2, -1  # where scenes keep these infrared reflectances
FARTHEST = 1.5  # metres; beyond it the sensor reports nothing
CUT_OUT = 0.006  # metres by which a fake's flat front lies behind the median depth of the real thing
POOL = 1 << 22


@cache
def _pool() -> np.ndarray:
    return np.random.default_rng(7).standard_normal(POOL).astype(np.float32)


def _normals(rng: np.random.Generator, count: int) -> np.ndarray:
    """Cut a window out of one long vector of normals: far cheaper than fresh ones."""
    start = int(rng.integers(0, POOL - count % POOL))
    if count >= POOL // 2:
        return rng.standard_normal(count).astype(np.float32)
    return _pool()[start % (POOL - count) : start % (POOL - count) + count]


def expose(linear: np.ndarray, light: Lighting, power: float = 1.0) -> np.ndarray:
    """Return the noise-free camera signal 3,h,w in 0..1 of a linear image."""
    out = np.empty_like(linear)
    for channel in range(3):
        bright = cv2.pow(np.maximum(linear[channel] * np.float32(power), 0), float(light.gamma[channel]))
        np.clip(bright * np.float32(light.gain[channel]), 0, 1, out=out[channel])
    return out


def photograph(
    linear: np.ndarray, light: Lighting, rng: np.random.Generator, power: float = 1.0
) -> np.ndarray:
    """Return the h,w,3 uint8 picture: lens, curve, shot and read noise, rounding."""
    signal = expose(blurred(linear), light, power)
    noise = _normals(rng, signal.size).reshape(signal.shape)
    signal += noise * np.sqrt(signal * np.float32(SHOT * light.noise) + np.float32(READ * light.noise))
    levels = np.clip(signal * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def blurred(linear: np.ndarray) -> np.ndarray:
    """Return a linear image 3,h,w as the lens throws it."""
    sigma = PIXEL_BLUR * max(linear.shape[2] / 640, 0.5)
    return np.stack([cv2.GaussianBlur(plane, (5, 5), sigma) for plane in linear])


def clean_depth(scene: Scene, linear: Linear) -> np.ndarray:
    """Return what a perfect depth camera would report in metres: fakes flat, mirrors see-through."""
    z = linear.seen_z.copy()
    for k, record in enumerate(scene.records):
        if record["fake"]:
            own = linear.owner == k
            if own.any():
                z[own] = np.median(linear.surface.z[own]) + CUT_OUT
    return z


def measure_depth(scene: Scene, linear: Linear, rng: np.random.Generator) -> np.ndarray:
    """Return depth in millimetres as h,w uint16, 0 = missing."""
    z = clean_depth(scene, linear)
    amplitude = _amplitude(scene, linear, z)
    size = z.size
    noise, coin = _normals(rng, size).reshape(z.shape), rng.random((3, *z.shape), np.float32)
    low, high = cv2.erode(z, np.ones((3, 3))), cv2.dilate(z, np.ones((3, 3)))
    torn = high - low > EDGE
    out = z + noise * (np.float32(SIGMA) / np.maximum(amplitude, WEAK))
    out = np.where(torn & (coin[0] < 0.5), cv2.blur(out, (3, 3)), out)
    lost = torn & (coin[1] < DROPPED)
    lost |= _parallax(z, scene)
    weakness = np.float32(STEEPNESS) * (np.minimum(amplitude, 0.5) - np.float32(DARKEST))
    lost |= (coin[2] < 1 / (1 + np.exp(weakness))) | (out > FARTHEST)
    millimetres = np.clip(np.round(out * 1000), 1, 65535).astype(np.uint16)
    millimetres[lost] = 0
    return millimetres


def _amplitude(scene: Scene, linear: Linear, z: np.ndarray) -> np.ndarray:
    """Return the strength of the returned infrared light: reflectance, slant and distance."""
    surface = linear.surface
    reflectance = np.where(surface.part < 0, scene.infrared[CLOTH], scene.infrared[FURNITURE]).astype(
        np.float32
    )
    top = (surface.part == 0) & (surface.normal[2] > 0.9)
    reflectance[top] = scene.infrared[CLOTH]  # the felt of the turntable
    owned = linear.owner >= 0
    reflectance[owned] = scene.infrared[linear.owner[owned]]
    o = scene.camera.origin.astype(np.float32)
    view = o[:, None, None] - surface.point
    length = np.sqrt(view[0] ** 2 + view[1] ** 2 + view[2] ** 2)
    # the slant of the real surface decides for a fake as well: otherwise noise, not shape, would give it away
    slant = (
        np.abs(surface.normal[0] * view[0] + surface.normal[1] * view[1] + surface.normal[2] * view[2])
        / length
    )
    return reflectance * slant / np.maximum(z, 0.3) ** 2


def _parallax(z: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the pixels that the depth camera, a little to the left, cannot see behind something nearer."""
    disparity = scene.camera.intrinsics[0] * BASELINE / z
    reach = int(np.ceil(8 * z.shape[1] / 320))
    hidden = np.zeros(z.shape, bool)
    for k in range(1, reach + 1):
        hidden[:, k:] |= disparity[:, :-k] - disparity[:, k:] >= k
    return hidden
