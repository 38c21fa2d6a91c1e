"""Attention between two sets of tokens, once for all methods that use it.

Paper      Vaswani et al., Attention Is All You Need, NeurIPS 2017.
Here       A = softmax(Q K^T / sqrt(d)) per head,  out = W_o (A V),  Q from one input, K and V from another.  (1)
           ``scaled_dot_product_attention`` never stores A: memory grows with N + M tokens, time with N · M.
           ``weights`` computes A once more for those who want to look at it.
Names      Q, K, V share one packed projection, ordered as in ``torch.nn.MultiheadAttention``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError


class Attention(nn.Module):
    """Multi-head attention with 4 C^2 + 4 C parameters; queries look at a memory."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"attention: {heads} heads do not divide {width} channels")
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, query: Tensor, memory: Tensor) -> list[Tensor]:
        """Return Q, K, V as B,heads,tokens,d."""
        parts = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        return [
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, (weight, bias) in zip((query, memory, memory), parts, strict=True)
        ]

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """Return what each query B,N,C finds in the memory B,M,C (eq. 1)."""
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(*self.project(query, memory), dropout_p=dropout)
        return self.out_proj(found.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, memory: Tensor) -> Tensor:
        """Return A: B,heads,N,M, rows sum to 1."""
        q, k, _ = self.project(query, memory)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)


def tokens(x: Tensor) -> Tensor:
    """Return a map B,C,H,W as tokens B,N,C in row order."""
    return x.flatten(2).transpose(1, 2)


def untokens(x: Tensor, like: Tensor) -> Tensor:
    """Return tokens B,N,C as a map of the size of ``like``."""
    return x.transpose(1, 2).unflatten(2, like.shape[-2:])


def pooled(x: Tensor, grid: int | None) -> Tensor:
    """Return the map averaged over equal cells, so that it has at most ``grid`` x ``grid``; None leaves it."""
    if grid is None or max(x.shape[-2:]) <= grid:
        return x
    cell = [-(-s // grid) for s in x.shape[-2:]]
    return F.avg_pool2d(x, cell, ceil_mode=True)  # at the edges: the mean of what is there
