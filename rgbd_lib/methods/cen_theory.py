"""Why a scale under an L1 penalty stays at zero, and how far a penalty can push it.

Paper      Wang et al., NeurIPS 2020, theorem 1.
Here       A channel is x' = γ x̂ + β with x̂ ~ N(0, 1). Near γ = 0 the task pulls with g x̂, g = ∂L/∂x', and the
           penalty holds with λ. Zero is a local minimum where |g x̂| < λ:
           P = 2 Φ(λ / |g|) - 1                                                                   (theorem 1)
           One descent:  γ <- γ - η (g x̂ + λ sign γ)
           Way of a scale without any task gradient, SGD:  B = outputs · λ · Σ rate · steps / (1 - momentum)
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def gamma_zero_probability(lam: float | Tensor, gradient: float | Tensor) -> Tensor:
    """Return the probability that γ = 0 attracts, for a penalty λ and a slope ∂L/∂x' (1 where the slope is 0)."""
    lam, gradient = torch.as_tensor(lam), torch.as_tensor(gradient).abs()
    ratio = torch.where(gradient > 0, lam / gradient, torch.where(lam > 0, torch.inf, 0.0))
    return torch.special.erf(ratio / 2**0.5)  # = 2 Φ(ratio) - 1


def held_share(lam: float, gradient: float, draws: int, generator: torch.Generator) -> float:
    """Return the share of draws of x̂ in which the penalty holds γ = 0: the formula's Monte-Carlo twin."""
    x = torch.randn(draws, generator=generator)
    return float(((gradient * x).abs() < lam).float().mean())


def descend(
    starts: Tensor, lam: float, gradient: float, *, rate: float, steps: int, generator: torch.Generator
) -> Tensor:
    """Return the way of γ from each start, steps + 1 rows; every start has one x̂ of its own.

    The penalty is a plain subgradient, as in the released code: a held γ jitters around 0 by ``rate * lam``.
    """
    slope = gradient * torch.randn(starts.shape, generator=generator)
    way = [starts]
    for _ in range(steps):
        way.append(way[-1] - rate * (slope + lam * way[-1].sign()))
    return torch.stack(way)


def l1_budget(
    lam: float, stages: Iterable[tuple[float, int]], *, outputs: int = 3, momentum: float = 0.9
) -> float:
    """Return how far SGD can move a scale by the penalty alone; ``stages`` are (learning rate, steps).

    Where this is less than the start of γ, nothing is ever exchanged. ``outputs`` is how often λ is counted.
    """
    return outputs * lam * sum(rate * steps for rate, steps in stages) / (1 - momentum)
