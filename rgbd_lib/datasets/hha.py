"""HHA: depth as horizontal disparity, height above ground, angle of the surface to gravity.

Idea       Three pictures that a colour network can read, instead of one that it cannot.
Paper      Gupta, Girshick, Arbelaez, Malik, Learning Rich Features from RGB-D Images, ECCV 2014.
Here       A plane 1/Z = a u + b v + c is fitted in a window around every pixel; (a fx, b fy, c at the
           principal point) is its normal. Gravity is the direction that floors (parallel to it) and walls
           (perpendicular to it) agree on best, refined ten times from "down in the picture".
Differs    The sums of the fit are taken around each window's own centre in whole pixels, so they are exact
           and a window of collinear pixels is recognised as such. Pixels without depth are 0 in all channels.
           The estimate of gravity may not tilt further than ``tilt_limit``: on a frame that shows little but
           one wall the original turns it sideways.
Units      Depth in metres in, centimetres inside; camera axes are right, down, forward.
"""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np

from rgbd_lib.errors import UserError

DOWN = (0.0, 1.0, 0.0)  # where gravity points in the picture of an upright camera
TILT_LIMIT = 60.0  # degrees; hand-held rooms stay far below it, a wall taken for a floor is at 90

_VERSION = 1  # of the cached pictures: raise it when a number changes
_ANGLE_WINDOW, _GRAVITY_WINDOW = 3, 10  # half sizes in pixels
_PASSES = (45.0,) * 5 + (15.0,) * 5  # degrees within which a surface counts as floor or wall
_NEAREST = 100.0  # cm; nearer than this the disparity stops growing
_UNDEFINED = 180.0  # degrees: the angle where no plane could be fitted


def encode(
    depth: np.ndarray,
    intrinsics: np.ndarray,
    missing: np.ndarray | None = None,
    *,
    down: tuple[float, float, float] | None = None,
    tilt_limit: float | None = TILT_LIMIT,
) -> np.ndarray:
    """Return H,W,3 uint8: disparity, height, angle (in this order as R, G, B).

    ``depth`` is H,W in metres; 0 and non-finite values are no measurement and become 0, 0, 0. ``missing`` marks
    in-filled pixels that are encoded but leave normals and gravity alone. ``down`` is gravity where it is known.
    """
    depth, intrinsics = _checked(depth, intrinsics)
    measured = np.isfinite(depth) & (depth > 0)
    if not measured.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    if missing is not None and np.shape(missing) != depth.shape:
        raise UserError(
            f"HHA: the mask of missing pixels has shape {np.shape(missing)}, the depth {depth.shape}"
        )
    trusted = measured if missing is None else measured & ~np.asarray(missing, bool)
    z = np.where(measured, depth, 0.0) * 100
    points = _points(z, intrinsics)
    estimate = down is None
    g = (
        gravity(normals(z, intrinsics, trusted, _GRAVITY_WINDOW), tilt_limit)
        if estimate
        else _unit_vector(down)
    )

    disparity = 31000 / np.maximum(z, _NEAREST)
    height = -points @ g
    lowest = height[measured].min()
    height -= lowest if lowest <= -90 else -130  # a floor at most 90 cm below the camera is taken for a table
    cosine = normals(z, intrinsics, trusted, _ANGLE_WINDOW) @ g
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    angle = np.where(np.isnan(angle), _UNDEFINED, angle) + 128 - 90
    picture = np.rint(np.stack([disparity, height, angle], axis=-1)).clip(0, 255).astype(np.uint8)
    picture[~measured] = 0
    return picture


def normals(z: np.ndarray, intrinsics: np.ndarray, trusted: np.ndarray, half: int) -> np.ndarray:
    """Return H,W,3 unit normals that point away from the camera; NaN where three pixels do not span a plane."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    u, v = _pixels(z.shape)
    w = trusted.astype(np.float64)
    inverse = np.divide(1.0, z, out=np.zeros_like(w), where=trusted)

    def box(values: np.ndarray) -> np.ndarray:
        side = 2 * half + 1
        return cv2.boxFilter(
            values, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
        )

    # moments around the window's centre; the first five are sums of whole numbers, hence exact
    n, su, sv = box(w), box(w * u), box(w * v)
    uu = box(w * u * u) - 2 * u * su + u * u * n
    vv = box(w * v * v) - 2 * v * sv + v * v * n
    uv = box(w * u * v) - u * sv - v * su + u * v * n
    su, sv = su - u * n, sv - v * n
    s = box(inverse)
    us, vs = box(inverse * u) - u * s, box(inverse * v) - v * s

    # adjugate of [[uu, uv, su], [uv, vv, sv], [su, sv, n]] times (us, vs, s): the plane up to a positive factor
    c00, c01, c02 = vv * n - sv * sv, su * sv - uv * n, uv * sv - su * vv
    c11, c12, c22 = uu * n - su * su, uv * su - uu * sv, uu * vv - uv * uv
    a = c00 * us + c01 * vs + c02 * s
    b = c01 * us + c11 * vs + c12 * s
    c = c02 * us + c12 * vs + c22 * s
    spans = uu * c00 + uv * c01 + su * c02 > 0
    normal = np.stack([a * fx, b * fy, c + a * (cx - u) + b * (cy - v)], axis=-1)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.divide(
        normal, length, out=np.full_like(normal, np.nan), where=spans[..., None] & (length > 0)
    )
    normal[normal[..., 2] < 0] *= -1
    towards = (normal * _points(z, intrinsics)).sum(-1) < 0
    normal[towards] *= -1
    return normal


def gravity(normal: np.ndarray, tilt_limit: float | None = TILT_LIMIT) -> np.ndarray:
    """Return the unit vector of gravity that best explains the normals as floors and walls.

    Further than ``tilt_limit`` degrees from the picture's down it is not believed (None: always believed).
    """
    directions = normal.reshape(-1, 3)
    directions = directions[~np.isnan(directions).any(axis=1)]
    g = start = np.array(DOWN)
    if not len(directions):
        return start
    for degrees in _PASSES:
        along = np.abs(directions @ g)
        walls = directions[along < np.sin(np.radians(degrees))]
        floors = directions[along > np.cos(np.radians(degrees))]
        smallest = np.linalg.eigh(walls.T @ walls - floors.T @ floors)[1][:, 0]
        g = smallest if smallest @ g >= 0 else -smallest
    tilt = np.degrees(np.arccos(np.clip(g @ start, -1, 1)))
    if tilt_limit is not None and tilt > tilt_limit:
        warnings.warn(
            f"HHA: estimated gravity is {tilt:.0f} degrees from the picture's down, more than {tilt_limit:g}; "
            "down is used instead. Pass down=(x, y, z) where the direction is known",
            stacklevel=3,
        )
        return start
    return g


def cached(
    depth: np.ndarray,
    intrinsics: np.ndarray,
    folder: Path,
    missing: np.ndarray | None = None,
    *,
    down: tuple[float, float, float] | None = None,
    tilt_limit: float | None = TILT_LIMIT,
) -> np.ndarray:
    """Return ``encode(...)``, computed once per content and kept in ``folder`` as a PNG.

    The name is a hash of depth, mask, camera and options; the file appears whole or not at all, so several
    processes may fill one folder. A damaged file is made again.
    """
    depth, intrinsics = _checked(depth, intrinsics)
    mask = None if missing is None else np.ascontiguousarray(missing, bool)
    key = hashlib.blake2b(
        repr((_VERSION, depth.shape, down, tilt_limit, mask is None)).encode(), digest_size=16
    )
    for array in (depth, intrinsics, mask):
        if array is not None:
            key.update(np.ascontiguousarray(array).tobytes())
    path = Path(folder) / f"{key.hexdigest()}.png"
    if path.exists():
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        if picture is not None and picture.shape == (*depth.shape, 3):
            return picture[..., ::-1].copy()
    picture = encode(depth, intrinsics, mask, down=down, tilt_limit=tilt_limit)
    _write(path, picture)
    return picture


def _write(path: Path, picture: np.ndarray) -> None:
    """Put the PNG in place by one rename."""
    data = cv2.imencode(".png", picture[..., ::-1])[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data.tobytes())
            Path(scratch).replace(path)
        finally:
            Path(scratch).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.parent}: HHA pictures cannot be written ({error.strerror}). Choose another folder"
        ) from error


def _checked(depth: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64, or say what is wrong."""
    depth, intrinsics = np.asarray(depth, np.float64), np.asarray(intrinsics, np.float64)
    if depth.ndim != 2:
        raise UserError(f"HHA: depth has shape {depth.shape}; one H,W array in metres is needed")
    if (
        intrinsics.shape != (3, 3)
        or not np.isfinite(intrinsics).all()
        or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0
    ):
        raise UserError("HHA: intrinsics must be the 3x3 camera matrix in pixels, with fx and fy above 0")
    farthest = depth[np.isfinite(depth)].max(initial=0)
    if farthest > 200:
        raise UserError(
            f"HHA: depth goes up to {farthest:.0f}; it must be in metres (divide millimetres by 1000)"
        )
    return depth, intrinsics


def _pixels(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows as the encoding counts them: from 1."""
    v, u = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1].astype(np.float64)
    return u, v


def _points(z: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    u, v = _pixels(z.shape)
    x = (u - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) * z / intrinsics[1, 1]
    return np.stack([x, y, z], axis=-1)


def _unit_vector(down: tuple[float, float, float]) -> np.ndarray:
    vector = np.asarray(down, np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        raise UserError(f"HHA: down={down} is not a direction x, y, z (right, down, forward)")
    return vector / np.linalg.norm(vector)
