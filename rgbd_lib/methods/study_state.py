"""The seed study's seven models in ours: which method and options, and what its weights are called.

A checkpoint of the study loads into ``build(*STUDY[variant])`` with ``load_study_state``; scores are then the same.
"""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.registry import build

# The study's name of a model -> our method and the options that give its arithmetic.
STUDY: dict[str, tuple[str, dict[str, object]]] = {
    "rgb_baseline": ("rgb", {}),
    "early_fusion": ("early", {}),
    "mid_fusion": ("mid", {}),
    "late_fusion": ("late", {}),
    "se_fusion": ("se", {}),
    "attn_fusion": ("attention", {}),
    "transformer_fusion": ("transformer", {"grid": None, "shared_norm": True}),
}

UNUSED = "bottleneck_proj."  # in the study's transformer, and never called there

RULES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^(rgb|depth)_unet\.", r"\1."),  # late fusion: the rest of the name follows as in a single network
        (r"^((?:rgb\.|depth\.)?)(?:rgb_)?conv1\.", r"\1encoder.stem."),
        (r"^((?:rgb\.|depth\.)?)(?:rgb_)?l(?:ayer)?(\d)\.", r"\1encoder.layer\2."),
        (r"^depth_conv1\.", "depth_encoder.stem."),
        (r"^depth_l(?:ayer)?(\d)\.", r"depth_encoder.layer\1."),
        (r"^((?:rgb\.|depth\.)?)(up[1-4])\.up\.", r"\1decoder.\2.up."),
        (r"^((?:rgb\.|depth\.)?)(up[1-4])\.conv\.", r"\1decoder.\2.convs."),
        (r"^((?:rgb\.|depth\.)?)up0\.0\.", r"\1decoder.up0."),
        (r"^((?:rgb\.|depth\.)?)up0\.1\.", r"\1decoder.norm0.0."),
        (r"^((?:rgb\.|depth\.)?)final\.", r"\1decoder.classify."),
        (r"^xfusion\.attn\.", "attention."),
        (r"^depth_conf(\d)\.conv\.", r"fusions.layer\1.confidence."),
        (r"^fusion(\d)\.quality_estimator\.2\.", r"fusions.layer\1.gates.judge.0."),
        (r"^fusion(\d)\.quality_estimator\.5\.", r"fusions.layer\1.gates.judge.3."),
        (r"^fusion(\d)\.channel_attn\.1\.", r"fusions.layer\1.channel.squeeze."),
        (r"^fusion(\d)\.channel_attn\.3\.", r"fusions.layer\1.channel.excite."),
        (r"^fusion(\d)\.spatial_attn\.0\.", r"fusions.layer\1.spatial.look."),
        (r"^fusion_l(\d)\.rgb_to_depth_attn\.", r"fusions.layer\1.rgb_asks."),
        (r"^fusion_l(\d)\.depth_to_rgb_attn\.", r"fusions.layer\1.depth_asks."),
        (r"^fusion_l(\d)\.norm1\.", r"fusions.layer\1.norms.0."),
        (r"^fusion_l(\d)\.norm2\.", r"fusions.layer\1.last_norm."),
        (r"^fusion_l(\d)\.ffn\.2\.", r"fusions.layer\1.ffn.3."),
        (r"^fusion_l(\d)\.ffn\.0\.", r"fusions.layer\1.ffn.0."),
        (r"^bottleneck_transformer\.layers\.(\d)\.self_attn\.", r"bottleneck.\1.attention."),
        (r"^bottleneck_transformer\.layers\.(\d)\.linear1\.", r"bottleneck.\1.ffn.0."),
        (r"^bottleneck_transformer\.layers\.(\d)\.linear2\.", r"bottleneck.\1.ffn.3."),
        (r"^bottleneck_transformer\.layers\.(\d)\.norm(\d)\.", r"bottleneck.\1.norm\2."),
    )
)


def our_name(key: str) -> str:
    """Return what a weight of the study is called here."""
    for pattern, ours in RULES:
        key = pattern.sub(ours, key, count=1)
    return key


def study_model(variant: str, classes: int, **options: object) -> nn.Module:
    """Build one of the study's models; ``options`` beat those of ``STUDY``."""
    if variant not in STUDY:
        raise unknown("study model", variant, STUDY)
    name, own = STUDY[variant]
    return build(name, classes, **(own | options))


def load_study_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the study's weights, all of them and nothing else."""
    renamed = {our_name(key): value for key, value in state.items() if not key.startswith(UNUSED)}
    wanted = model.state_dict()
    wrong = [k for k in wanted if k not in renamed or renamed[k].shape != wanted[k].shape]
    surplus = [k for k in renamed if k not in wanted]
    if wrong or surplus:
        raise UserError(
            f"the study's weights do not fit {type(model).__name__}: {len(wrong)} missing or of another shape "
            f"({', '.join(wrong[:2])}), {len(surplus)} unknown ({', '.join(surplus[:2])}); build the model with "
            "study_model and the checkpoint's number of classes"
        )
    model.load_state_dict(renamed)
