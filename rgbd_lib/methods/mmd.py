"""Maximum mean discrepancy: how far apart two sets of points are as distributions.

Paper      Gretton et al., A Kernel Two-Sample Test, JMLR 2012.
Here       MMD²(A, B) = mean k(a, a') + mean k(b, b') - 2 mean k(a, b)
           k(a, b) = Σ_j exp(-‖a - b‖² / (2 σ_j²)),  σ_j = median distance · (1/4, 1/2, 1, 2, 4)
           Zero for equal sets, never negative (pairs of a point with itself are counted), symmetric. Because σ
           follows the data, shrinking all features does not make it smaller.
"""

import torch
from torch import Tensor

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
TINY = 1e-6  # least squared bandwidth: equal points have distance 0 and k = 1, not 0 / 0


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return ‖a_i - b_j‖² for N,C and M,C points: N,M."""
    with torch.autocast(a.device.type, enabled=False):  # differences of large numbers: no place for bfloat16
        a, b = a.float(), b.float()
        return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)


def mmd2(a: Tensor, b: Tensor) -> Tensor:
    """Return MMD² of two sets of N,C points; sets of equal size."""
    centre = torch.cat([a, b]).detach().float().mean(0)
    points = torch.cat([a.float() - centre, b.float() - centre])  # centred: less cancellation, same distances
    d2 = squared_distances(points, points)
    n = len(a)
    pairs = d2.detach().flatten()[1:].view(2 * n - 1, 2 * n + 1)[:, :-1]  # all but the diagonal
    median = pairs.median().clamp(min=TINY)
    k = sum(torch.exp(-d2 / (2 * median * share**2)) for share in BANDWIDTHS)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()
