"""Random numbers that depend on a key and on nothing else.

Every draw of training (order of scenes, lighting, augmentation) is a hash of (seed, epoch, scene, column).
There is no state, so a sample gets the same numbers on any number of workers, processes or devices, in
any order, and a resumed run needs nothing restored. The hash is the finaliser of SplitMix64, vectorised.
"""

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


def _mix(z: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words; every input bit flips half of the output bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seeds(*parts: int | np.ndarray) -> np.ndarray:
    """Return one uint64 seed per element of the broadcast integer parts, always as an array of one axis."""
    total = np.zeros(1, np.uint64)
    for part in parts:
        words = np.atleast_1d(np.asarray(part)).astype(np.int64).view(np.uint64)
        total = _mix((total + _STEP) ^ words)
    return total


def uniform(seed: np.ndarray, columns: int) -> np.ndarray:
    """Return a B,columns table of float64 in [0, 1), a row per seed."""
    steps = np.arange(1, columns + 1, dtype=np.uint64) * _STEP
    words = _mix(_mix(np.atleast_1d(seed)[:, None] + steps))
    return (words >> np.uint64(11)) * 2.0**-53


def choice(seed: np.ndarray, options: int) -> np.ndarray:
    """Return one position in range(options) per seed, each equally likely."""
    return (uniform(seed, 1)[:, 0] * options).astype(np.int64)
