"""Convolutions, windows and light curves that corruptions are made of. All batched, all on the device."""

import math

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve B,C,H,W with one odd-sized kernel per image B,1,h,w; edges are continued.

    By FFT: the cost does not depend on the size of the kernel, which is up to 40 pixels wide.
    """
    height, width = images.shape[-2:]
    ry, rx = kernels.shape[-2] // 2, kernels.shape[-1] // 2
    wide = F.pad(images, (rx, rx, ry, ry), mode="replicate")
    size = [next_fast_len(int(n), real=True) for n in wide.shape[-2:]]
    product = torch.fft.rfft2(wide, s=size) * torch.fft.rfft2(kernels, s=size)
    return torch.fft.irfft2(product, s=size)[..., 2 * ry : 2 * ry + height, 2 * rx : 2 * rx + width]


def gaussian_kernel(sigma: float, device: torch.device) -> Tensor:
    """Return a normalised 1,1,h,w Gaussian, cut at four deviations."""
    offsets = _offsets(math.ceil(4 * sigma), device)
    line = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return _normalised(line[:, None] * line)


def disc_kernel(radius: float, soft: float, device: torch.device) -> Tensor:
    """Return a disc with an edge softened by a Gaussian of ``soft`` pixels (and by the pixel itself)."""
    offsets = _offsets(math.ceil(radius + 3 * soft), device)
    distance = torch.hypot(offsets[:, None], offsets)
    # a step blurred by pixel and Gaussian: close to an error function of their joint width
    return _normalised(0.5 * torch.erfc((distance - radius) / (soft**2 + 1 / 12) ** 0.5 / 2**0.5))


def line_kernels(radius: float, sigma: float, angle: Tensor) -> Tensor:
    """Return B,1,h,w lines with Gaussian weights, centred so that nothing leaves its label."""
    offsets = _offsets(math.ceil(radius), angle.device)
    along = offsets[offsets.abs() <= radius]
    weight = torch.exp(-0.5 * (along / sigma) ** 2)
    y, x = (f(angle)[:, None] * along for f in (torch.sin, torch.cos))  # B,T
    # each point of the line is shared by its four nearest pixels
    rows, columns = ((1 - (p[..., None] - offsets).abs()).clamp(min=0) for p in (y, x))  # B,T,n
    return _normalised(torch.einsum("t,bty,btx->byx", weight, rows, columns)[:, None])


def window_max(x: Tensor, reach: int) -> Tensor:
    """Return the maximum over squares of 2 * reach + 1 pixels; x is B,1,H,W float."""
    if reach < 1:
        return x
    size = 2 * reach + 1
    rows = F.max_pool2d(x, (1, size), 1, (0, reach))
    return F.max_pool2d(rows, (size, 1), 1, (reach, 0))


def lowest(values: Tensor, share: float) -> Tensor:
    """Return where each image B,1,H,W has its lowest ``share`` of values: exactly so many pixels."""
    flat = values.flatten(1)
    chosen = flat.argsort(dim=1, stable=True)[:, : round(share * flat.shape[1])]
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view(values.shape)


def to_linear(srgb: Tensor) -> Tensor:
    """Turn sRGB 0..1 into linear light 0..1."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """Turn linear light into sRGB; what is above 1 is white."""
    linear = linear.clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def pixels(levels: tuple[float, ...], scale: float) -> tuple[int, ...]:
    """Scale lengths given in pixels to another image size, rounded so that all stay different."""
    result: list[int] = []
    for level in levels:
        result.append(max(round(level * scale), result[-1] + 1 if result else 1))
    return tuple(result)


def _offsets(reach: int, device: torch.device) -> Tensor:
    return torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)


def _normalised(kernel: Tensor) -> Tensor:
    kernel = kernel.view(-1, 1, *kernel.shape[-2:])
    return kernel / kernel.sum((-2, -1), keepdim=True)
