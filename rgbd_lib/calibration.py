"""Does the network know when it is wrong? Confidence against accuracy, streamed over any number of pixels.

Confidence is the largest softmax probability of a pixel. All pixels of a condition are pooled; the same is
kept for the foreground alone, because a large and easy background hides what happens on the objects.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbd_lib.datasets.base import IGNORE

Array = NDArray[np.float64]
PER_BIN = 100  # fine bins in each bin of the diagram: the risk-coverage curve needs them


class Calibration:
    """Sums of confidence, correctness, likelihood and Brier score, with no pixel kept.

    ``background=None`` where every class is a thing. ``classwise`` adds the class-wise error, at the
    cost of a histogram per class.
    """

    def __init__(self, bins: int = 15, *, background: int | None = 0, classwise: bool = False) -> None:
        self.bins, self.background, self.classwise = bins, background, classwise
        # equal widths over (0, 1], and finer ones near 1, where most pixels of a trained network are
        uniform = torch.linspace(0, 1, bins * PER_BIN + 1, dtype=torch.float64)[1:]
        near_one = 1 - torch.logspace(-7, -3.5, 36, dtype=torch.float64)
        self.edges = torch.cat([uniform, near_one]).unique().float()  # upper ends of the fine bins
        self.coarse = np.ceil(self.edges.double().numpy() * bins - 1e-5).astype(int) - 1
        self.table = torch.zeros(2, len(self.edges), 3, dtype=torch.float64)  # all and foreground
        self.sums = torch.zeros(2, 3, dtype=torch.float64)  # pixels, NLL, Brier
        self.by_class: Tensor | None = None  # K,bins,3
        self.image_ece: list[float] = []

    def update(self, logits: Tensor, label: Tensor, temperature: float = 1.0) -> None:
        """Add a batch of logits B,K,H,W and labels B,H,W; IGNORE is left out."""
        log_p = (logits.flatten(2).float() / temperature).log_softmax(1)  # B,K,N
        p = log_p.exp()
        label = label.flatten(1).long()
        seen = label != IGNORE
        safe = label.masked_fill(~seen, 0)
        confidence, prediction = p.max(1)
        quantities = torch.stack([torch.ones_like(confidence), confidence, (prediction == safe).float()], -1)
        position = torch.bucketize(confidence, self.edges.to(p.device)).clamp(max=len(self.edges) - 1)
        groups = [seen, seen & (safe != self.background)] if self.background is not None else [seen, seen]
        tables = [self._histogram(position, quantities, group) for group in groups]  # each B,F,3
        self.table += torch.stack([t.sum(0) for t in tables])
        self.image_ece += [_ece(_fold(t, self.coarse, self.bins)) for t in tables[0].numpy()]

        true = safe[:, None]
        nll = -log_p.gather(1, true)[:, 0]
        brier = (p * p).sum(1) - 2 * p.gather(1, true)[:, 0] + 1
        scores = torch.stack([torch.ones_like(nll), nll, brier], -1).double()
        self.sums += torch.stack([(scores * g[..., None]).sum((0, 1)) for g in groups]).cpu()
        if self.classwise:
            self._update_classes(p, safe, seen)

    def _histogram(self, position: Tensor, quantities: Tensor, group: Tensor) -> Tensor:
        size = len(self.edges)
        cell = position + size * torch.arange(len(position), device=position.device)[:, None]
        cell = cell.masked_fill(~group, size * len(position)).flatten()  # one more cell, thrown away
        length = size * len(position) + 1
        sums = [
            torch.bincount(cell, q.double().flatten(), minlength=length)[:-1] for q in quantities.unbind(-1)
        ]
        return torch.stack(sums, -1).view(len(position), size, 3).cpu()

    def _update_classes(self, p: Tensor, safe: Tensor, seen: Tensor) -> None:
        classes = p.shape[1]
        if self.by_class is None:
            self.by_class = torch.zeros(classes, self.bins, 3, dtype=torch.float64)
        p = p.transpose(1, 2)[seen]  # P,K
        of_class = torch.arange(classes, device=p.device)
        cell = ((p * self.bins).ceil().long() - 1).clamp(0, self.bins - 1) + self.bins * of_class
        for i, q in enumerate((torch.ones_like(p), p, (safe[seen][:, None] == of_class).float())):
            flat = torch.bincount(cell.flatten(), q.double().flatten(), minlength=classes * self.bins)
            self.by_class[..., i] += flat.view(classes, self.bins).cpu()

    def reliability(self, foreground: bool = False) -> Array:
        """Return bins x (pixels, sum of confidence, sum of correct), the reliability diagram."""
        return _fold(self._fine(foreground), self.coarse, self.bins)

    def ece(self, foreground: bool = False, equal_population: bool = False) -> float:
        """Return the expected calibration error; NaN without pixels.

        ``equal_population`` bins by count: with equal widths nearly all pixels of a trained network
        fall in the last bin.
        """
        if not equal_population:
            return _ece(self.reliability(foreground))
        fine = self._fine(foreground)
        total = fine[:, 0].sum()
        middle = fine[:, 0].cumsum() - fine[:, 0] / 2
        group = np.minimum((middle / max(total, 1) * self.bins).astype(int), self.bins - 1)
        return _ece(_fold(fine, group, self.bins))

    def mce(self, foreground: bool = False) -> float:
        """Return the largest gap of any bin of the diagram."""
        table = self.reliability(foreground)
        used = table[table[:, 0] > 0]
        return float(np.abs((used[:, 2] - used[:, 1]) / used[:, 0]).max()) if len(used) else float("nan")

    def classwise_ece(self) -> float:
        """Return the mean over classes of the calibration error of p_k against "is it k?"."""
        if self.by_class is None:
            return float("nan")
        return float(np.mean([_ece(table) for table in self.by_class.numpy()]))

    def nll(self, foreground: bool = False) -> float:
        """Return the mean negative log-likelihood per pixel."""
        return self._mean(1, foreground)

    def brier(self, foreground: bool = False) -> float:
        """Return the mean over pixels of the squared distance of probabilities and truth, 0..2."""
        return self._mean(2, foreground)

    def accuracy(self, foreground: bool = False) -> float:
        """Return the share of right pixels."""
        count, _, correct = self._fine(foreground).sum(0)
        return float(correct / count) if count else float("nan")

    def risk_coverage(self, foreground: bool = False) -> tuple[Array, Array]:
        """Return the error of the most confident share of the pixels: coverage (rising to 1) and risk."""
        fine = self._fine(foreground)[::-1]
        count, correct = fine[:, 0].cumsum(), fine[:, 2].cumsum()
        used = fine[:, 0] > 0
        total = max(count[-1], 1)
        return count[used] / total, 1 - correct[used] / count[used]

    def aurc(self, foreground: bool = False) -> float:
        """Return the area under the risk-coverage curve: 0 is best, the error rate is chance."""
        coverage, risk = self.risk_coverage(foreground)
        if not len(coverage):
            return float("nan")
        return float((risk * np.diff(coverage, prepend=0)).sum())

    def summary(self) -> dict[str, float]:
        """Return the numbers of one row of a table."""
        return {
            "ece": self.ece(),
            "ece_foreground": self.ece(foreground=True),
            "ece_population": self.ece(equal_population=True),
            "ece_image_median": float(np.median(self.image_ece)) if self.image_ece else float("nan"),
            "mce": self.mce(),
            "nll": self.nll(),
            "nll_foreground": self.nll(foreground=True),
            "brier": self.brier(),
            "aurc": self.aurc(),
            "aurc_foreground": self.aurc(foreground=True),
        }

    def _fine(self, foreground: bool) -> Array:
        return self.table[int(foreground)].numpy()

    def _mean(self, column: int, foreground: bool) -> float:
        row = self.sums[int(foreground)]
        return float(row[column] / row[0]) if row[0] else float("nan")


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """Return the temperature T > 0 at which softmax(logits / T) has the least NLL (Guo et al. 2017).

    ``logits`` are B,K,H,W or N,K with labels B,H,W or N, of validation data under normal light. The
    NLL is convex in 1 / T: Newton's method, kept inside a bracket, finds its one minimum.
    """
    if logits.dim() > 2:
        logits = logits.flatten(2).transpose(1, 2).flatten(0, 1)
    label = label.flatten().long()
    seen = label != IGNORE
    z, y = logits[seen].double(), label[seen]
    if not len(y):
        return 1.0
    true = z.gather(1, y[:, None])[:, 0]
    search = _Bracket(low=1e-3, high=1e3, at=1.0)
    for _ in range(60):
        p = (search.at * z).softmax(1)
        mean = (p * z).sum(1)
        slope = float((mean - true).mean())
        curvature = float(((p * z * z).sum(1) - mean**2).mean())
        if search.step(slope, curvature) < 1e-7:
            break
    return 1 / search.at


@dataclass
class _Bracket:
    """Where the inverse temperature must lie."""

    low: float
    high: float
    at: float

    def step(self, slope: float, curvature: float) -> float:
        """Move to the Newton point, or to the middle if that is outside; return the relative move."""
        if slope > 0:
            self.high = self.at
        else:
            self.low = self.at
        new = self.at - slope / curvature if curvature > 0 else -1.0
        if not self.low < new < self.high:
            new = (self.low * self.high) ** 0.5
        moved, self.at = abs(new / self.at - 1), new
        return moved


def _fold(fine: Array, group: NDArray[np.integer], bins: int) -> Array:
    """Add fine bins up to the given groups."""
    table = np.zeros((bins, 3))
    np.add.at(table, group, fine)
    return table


def _ece(table: Array) -> float:
    total = table[:, 0].sum()
    return float(np.abs(table[:, 2] - table[:, 1]).sum() / total) if total else float("nan")
