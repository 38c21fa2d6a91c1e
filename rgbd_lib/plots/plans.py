"""What a schematic must know of a method: where features meet, where the result goes, how many decoders.

A method that is not listed is drawn from the places that its registration names (``fuses="1/8, 1/32"``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rgbd_lib import methods

SCALES = ("1/2", "1/4", "1/8", "1/16", "1/32")  # stem, layer1 .. layer4
DECODER, RGB, BOTH, BOTH_AND_DECODER = "decoder", "rgb", "both", "both and decoder"


@dataclass(frozen=True)
class Joint:
    """A place where two maps meet."""

    symbol: str  # two or three characters in the circle
    to: str = DECODER  # who goes on with the result; the encoders not named go on with what was theirs


@dataclass(frozen=True)
class Plan:
    """A network of the course, as far as its drawing shows it."""

    joints: Mapping[int, Joint] = field(default_factory=dict)  # stage 0 (1/2) .. 4 (1/32) -> what happens
    encoders: tuple[str, ...] = ("depth", "rgb")  # columns from left to right; the last is beside the decoder
    inputs: Mapping[str, str] = field(default_factory=dict)  # what an encoder sees, where not its own sensor
    two_decoders: bool = False
    vote: str = ""  # how two score maps become one
    at_input: str = ""  # symbol of a joint before the first convolution
    bottleneck: str = ""  # what stands between the encoders and the decoder at 1/32
    extra_head: str = ""  # a second thing that is learned from the deepest map
    teacher: str = ""  # a trained network that is imitated, and what of
    formula: str = ""  # what happens at a joint, in matplotlib's mathematics
    words: str = ""  # the same in one sentence

    @property
    def depth_stages(self) -> int:
        """How many stages the depth encoder has: nobody would look at what follows its last joint."""
        if "depth" not in self.encoders or self.two_decoders or not self.joints:
            return len(SCALES)
        return max(self.joints) + 1

    def sees_depth(self, stage: int) -> bool:
        """Say whether what the decoder beside RGB gets from a stage depends on the depth image."""
        if self.at_input or self.encoders == ("depth",):
            return True
        if "depth" not in self.inputs.get("depth", "depth"):
            return False
        through_encoder = any(joint.to != DECODER for s, joint in self.joints.items() if s <= stage)
        return through_encoder or stage in self.joints


def everywhere(symbol: str, to: str, stages: tuple[int, ...] = (1, 2, 3, 4)) -> dict[int, Joint]:
    """Return the same joint at several stages."""
    return dict.fromkeys(stages, Joint(symbol, to))


MID = Plan(
    joints={2: Joint("cat"), 4: Joint("cat")},
    formula=r"$[\,r_s\,;\,d_s\,]$",
    words="Two encoders of their own; the decoder gets both maps at 1/8 and 1/32, RGB alone elsewhere.",
)

PLANS: dict[str, Plan] = {
    "rgb": Plan(
        encoders=("rgb",), words="One encoder, one decoder, three skips: the part all methods share."
    ),
    "depth": Plan(encoders=("depth",), words="The same network; its first convolution has one channel."),
    "rgb_wide": Plan(encoders=("rgb",), words="The RGB baseline, wider: mid fusion's parameters, no depth."),
    "early": Plan(
        encoders=("rgb",),
        at_input="cat",
        formula=r"$E([\,\mathrm{rgb};\mathrm{depth}\,])$",
        words="Depth is a fourth colour: the first convolution sees both, and everything after it is fused.",
    ),
    "mid": MID,
    "late": Plan(
        two_decoders=True,
        vote="mean",
        formula=r"$\frac{1}{2}\,(U_r(\mathrm{rgb}) + U_d(\mathrm{depth}))$",
        words="Two complete networks that never meet; their class scores are averaged.",
    ),
    "se": Plan(
        joints=everywhere("gate", DECODER),
        formula=r"$f = g_1\, r + g_2\,(c \cdot d)$",
        words="Per place: can depth be trusted (c)? Per image: how much does each sensor count (g)?",
    ),
    "attention": Plan(
        joints={3: Joint("att"), 4: Joint("cat")},
        formula=r"$f_3 = \mathrm{attention}(q{=}r_3,\; k{,}v{=}d_3)$",
        words="At 1/16 every place of the RGB map asks the whole depth map; at 1/32 both are concatenated.",
    ),
    "transformer": Plan(
        joints=everywhere("att", DECODER),
        bottleneck="4 transformer\nblocks",
        formula=r"$f = \mathrm{LN}(s + \mathrm{FFN}(s)),\quad s = r' + d'$",
        words="Both maps ask each other at four scales; a transformer looks over the whole bottleneck.",
    ),
    "fusenet": Plan(
        joints=everywhere("+", RGB, (0, 1, 2, 3, 4)),
        extra_head="scene class\n(optional)",
        formula=r"$F_s = \mathrm{rgb}_s(F_{s-1}) + D_s$",
        words="Depth maps are added to RGB maps after each stage; the depth encoder never sees colour.",
    ),
    "cen": Plan(
        joints=everywhere("swap", BOTH),
        two_decoders=True,
        vote="α",
        formula=r"$y_m[c] \leftarrow y_n[c]\ \ \mathrm{where}\ \ |\gamma_m[c]| < \theta$",
        words="One network for both, norms apart; in each block silent channels take the other's map.",
    ),
    "gemini": Plan(
        joints=everywhere("pix", BOTH),
        two_decoders=True,
        vote="mean",
        formula=r"$r' = r + W_o\,(w_1 V v_1 + w_2 V v_2)$",
        words="Each pixel attends to itself and to its twin in the other modality, both ways.",
    ),
    "primkd": replace(
        MID,
        teacher="RGB teacher",
        formula=r"$\alpha\,\tau^2\,\mathrm{KL}(t \,\|\, s) + \beta\,\mathrm{max}_k\, \|R_k f_k - g_k\|^2$",
        words="A trained RGB network shows the student what its maps and scores should look like.",
    ),
    "sagate": Plan(
        joints=everywhere("gate", BOTH_AND_DECODER),
        formula=r"$M = A_r r + A_d d,\quad r' = \frac{1}{2}(r + M)$",
        words="Every pixel chooses between the sensors; both encoders go on with half of the agreement.",
    ),
    "cmx": Plan(
        joints=everywhere("mend", BOTH_AND_DECODER),
        formula=r"$r' = r + \lambda_c\, w_d\, d + \lambda_s\, s_d\, d$",
        words="Each sensor mends the other by channel and place; a cheap attention fuses for the decoder.",
    ),
    "middrop": Plan(
        joints=everywhere("mean", DECODER),
        formula=r"$f = (a_r r + a_d d)\,/\,(a_r + a_d)$",
        words="The mean of the sensors that live; in training one of them is sometimes taken away.",
    ),
    "average": Plan(
        joints={3: Joint("mean", BOTH)},
        two_decoders=True,
        vote="α",
        formula=r"$x_m \leftarrow \frac{1}{2}\,(x_r + x_d)$",
        words="At 1/16 both streams go on with their mean.",
    ),
    "concat": Plan(
        joints=everywhere("1×1", BOTH),
        two_decoders=True,
        vote="α",
        formula=r"$x_m \leftarrow x_m + W\,[\,x_r; x_d\,]$",
        words="One 1×1 convolution mixes both maps; the result is added to both streams.",
    ),
    "align": Plan(
        joints={3: Joint("MMD", BOTH)},
        two_decoders=True,
        vote="α",
        formula=r"$x_m \leftarrow x_m + R_m[\,c_m; s_m; c_n\,]$",
        words="At 1/16 a common part is made to look alike in both, and is shared.",
    ),
    "selfatt": Plan(
        joints=everywhere("gate", BOTH),
        two_decoders=True,
        vote="α",
        formula=r"$x_m \leftarrow x_m + W_3\,(\sigma(W_2 W_1 u) \cdot u)$",
        words="A narrow layer says how much of each channel to trust where.",
    ),
    "depth_zero": replace(
        MID, inputs={"depth": "zeros"}, words="Mid fusion whose second encoder sees nothing."
    ),
    "depth_shuffled": replace(
        MID, inputs={"depth": "depth of\nanother image"}, words="Mid fusion with depth that does not belong."
    ),
    "rgb_twice": replace(
        MID, inputs={"depth": "RGB again"}, words="Mid fusion whose second encoder sees RGB again."
    ),
}


def plan(name: str) -> Plan:
    """Return what to draw for a registered method."""
    info = methods.get(name)
    if name in PLANS:
        return PLANS[name]
    stages = {SCALES.index(scale) for scale in re.findall(r"1/\d+", info.fuses) if scale in SCALES}
    for first, last in re.findall(r"layer([1-4])(?: ?\.\. ?(?:layer)?([1-4]))?", info.fuses):
        stages |= set(range(int(first), int(last or first) + 1))
    joints = {s: Joint("f") for s in sorted(stages)}
    return Plan(
        joints, at_input="f" if "input" in info.fuses else "", words=f"Modalities meet: {info.fuses}."
    )


def describe(name: str) -> str:
    """Return what is seen, for those who do not see it."""
    what = plan(name)
    pair = f"RGB and {what.inputs.get('depth', 'depth')}".replace("\n", " ")
    if what.at_input:
        meet = f"{pair} are joined before the first convolution"
    elif what.joints:
        places = ", ".join(SCALES[s] for s in what.joints)
        goers = {j.to for j in what.joints.values()}
        heirs = {DECODER: "the decoder alone", RGB: "the RGB encoder", BOTH: "both streams"}
        to = " and ".join(sorted(heirs.get(g, "both encoders and the decoder") for g in goers))
        meet = f"{pair} meet at {places} of the image's size; the result goes to {to}"
    else:
        meet = "the two networks meet in their class scores" if what.two_decoders else "nothing is fused"
    parts = ("one encoder", "two encoders")[len(what.encoders) - 1]
    ends = "two decoders" if what.two_decoders else "one decoder"
    return f"Schematic of {methods.get(name).title}: {parts}, {ends}; {meet}."
