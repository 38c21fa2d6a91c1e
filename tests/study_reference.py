"""The seed study's models written out a second time: plain functions on weights under their names in the study.

Slow and obvious on purpose. Nothing of ``rgbd_lib`` is used, so that wiring and names are checked independently.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Maps = tuple[Tensor, Tensor, Tensor, Tensor]


class Weights:
    """A state dict with the layers that its names stand for."""

    def __init__(self, state: dict[str, Tensor], prefix: str = "") -> None:
        self.state, self.prefix = state, prefix

    def get(self, name: str) -> Tensor | None:
        return self.state.get(self.prefix + name)

    def conv(self, name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, self.get(f"{name}.weight"), self.get(f"{name}.bias"), **options)

    def up(self, name: str, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.get(f"{name}.weight"), self.get(f"{name}.bias"), stride=2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.get(f"{name}.{part}") for part in parts))

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.get(f"{name}.weight"), self.get(f"{name}.bias"))

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.get(f"{name}.weight"), self.get(f"{name}.bias"))

    def load(self, name: str, module: nn.Module) -> nn.Module:
        start = f"{self.prefix}{name}."
        module.load_state_dict({k[len(start) :]: v for k, v in self.state.items() if k.startswith(start)})
        return module.eval()

    def attend(self, name: str, query: Tensor, memory: Tensor, heads: int) -> Tensor:
        attention = self.load(name, nn.MultiheadAttention(query.shape[-1], heads, batch_first=True))
        return attention(query, memory, memory)[0]


def encoder(w: Weights, x: Tensor, stem: str, layer: str) -> Maps:
    x = F.relu(w.norm(f"{stem}.1", w.conv(f"{stem}.0", x, stride=2, padding=3)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    maps = []
    for i in range(1, 5):
        for b in range(2):
            name, stride = f"{layer}{i}.{b}", 2 if i > 1 and b == 0 else 1
            y = F.relu(w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", x, stride=stride, padding=1)))
            y = w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, padding=1))
            if stride == 2:
                x = w.norm(f"{name}.downsample.1", w.conv(f"{name}.downsample.0", x, stride=2))
            x = F.relu(x + y)
        maps.append(x)
    return tuple(maps)


def decoder(w: Weights, bottleneck: Tensor, skip3: Tensor, skip2: Tensor, skip1: Tensor) -> Tensor:
    x = bottleneck
    for name, skip in (("up4", skip3), ("up3", skip2), ("up2", skip1), ("up1", None)):
        x = w.up(f"{name}.up", x)
        for conv, norm in ((0, 1), (3, 4)):
            x = F.relu(w.norm(f"{name}.conv.{norm}", w.conv(f"{name}.conv.{conv}", x, padding=1)))
        x = x if skip is None else torch.cat([x, skip], 1)
    return w.conv("final", F.relu(w.norm("up0.1", w.up("up0.0", x))))


def unet(w: Weights, x: Tensor) -> Tensor:
    x1, x2, x3, x4 = encoder(w, x, "conv1", "layer")
    return decoder(w, x4, x3, x2, x1)


def rgb_baseline(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    return unet(w, rgb)


def early_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    return unet(w, torch.cat([rgb, depth], 1))


def late_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    return (unet(Weights(w.state, "rgb_unet."), rgb) + unet(Weights(w.state, "depth_unet."), depth)) / 2


def mid_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    r1, r2, r3, r4 = encoder(w, rgb, "rgb_conv1", "rgb_layer")
    _, d2, _, d4 = encoder(w, depth, "depth_conv1", "depth_layer")
    return decoder(w, torch.cat([r4, d4], 1), r3, torch.cat([r2, d2], 1), r1)


def attn_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    r1, r2, r3, r4 = encoder(w, rgb, "rgb_conv1", "rgb_l")
    _, _, d3, d4 = encoder(w, depth, "depth_conv1", "depth_l")
    q, kv = (x.flatten(2).transpose(1, 2) for x in (r3, d3))
    f3 = w.attend("xfusion.attn", q, kv, heads=4).transpose(1, 2).reshape(r3.shape)
    return decoder(w, torch.cat([r4, d4], 1), f3, r2, r1)


def se_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    def fuse(s: int, r: Tensor, d: Tensor) -> Tensor:
        hidden = F.relu(w.norm(f"depth_conf{s}.conv.1", w.conv(f"depth_conf{s}.conv.0", d, padding=1)))
        d = d * w.conv(f"depth_conf{s}.conv.3", hidden).sigmoid()
        pooled = torch.cat([r.mean((2, 3)), d.mean((2, 3))], 1)
        hidden = F.relu(w.linear(f"fusion{s}.quality_estimator.2", pooled))
        g = w.linear(f"fusion{s}.quality_estimator.5", hidden).softmax(1)
        f = g[:, 0, None, None, None] * r + g[:, 1, None, None, None] * d
        hidden = F.relu(w.conv(f"fusion{s}.channel_attn.1", F.adaptive_avg_pool2d(f, 1)))
        f = f * w.conv(f"fusion{s}.channel_attn.3", hidden).sigmoid()
        both = torch.cat([f.mean(1, keepdim=True), f.max(1, keepdim=True)[0]], 1)
        return f * w.conv(f"fusion{s}.spatial_attn.0", both, padding=3).sigmoid()

    return _four_scales(w, rgb, depth, fuse, lambda x: x)


def transformer_fusion(w: Weights, rgb: Tensor, depth: Tensor) -> Tensor:
    def fuse(s: int, r: Tensor, d: Tensor) -> Tensor:
        name, shape = f"fusion_l{s}", r.shape
        r, d = (x.flatten(2).transpose(1, 2) for x in (r, d))
        new_r = w.layer_norm(f"{name}.norm1", r + w.attend(f"{name}.rgb_to_depth_attn", r, d, heads=8))
        new_d = w.layer_norm(f"{name}.norm1", d + w.attend(f"{name}.depth_to_rgb_attn", d, r, heads=8))
        x = new_r + new_d
        x = w.layer_norm(f"{name}.norm2", x + w.linear(f"{name}.ffn.2", F.relu(w.linear(f"{name}.ffn.0", x))))
        return x.transpose(1, 2).reshape(shape)

    def bottleneck(f: Tensor) -> Tensor:
        layer = nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.1, batch_first=True)
        stack = w.load("bottleneck_transformer", nn.TransformerEncoder(layer, 4))
        return stack(f.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(f.shape)

    return _four_scales(w, rgb, depth, fuse, bottleneck)


def _four_scales(
    w: Weights, rgb: Tensor, depth: Tensor, fuse: Callable, bottleneck: Callable[[Tensor], Tensor]
) -> Tensor:
    pairs = zip(
        encoder(w, rgb, "rgb_conv1", "rgb_l"), encoder(w, depth, "depth_conv1", "depth_l"), strict=True
    )
    f1, f2, f3, f4 = (fuse(s, r, d) for s, (r, d) in enumerate(pairs, start=1))
    return decoder(w, bottleneck(f4), f3, f2, f1)


REFERENCE: dict[str, Callable[[Weights, Tensor, Tensor], Tensor]] = {
    f.__name__: f
    for f in (
        rgb_baseline,
        early_fusion,
        mid_fusion,
        late_fusion,
        se_fusion,
        attn_fusion,
        transformer_fusion,
    )
}
