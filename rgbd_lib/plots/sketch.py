"""The drawing of one network: encoders go down in size, the decoder goes up.

Black lines carry RGB alone, grey ones depth alone, coloured ones both: the method's own colour of the registry.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from rgbd_lib.plots.plans import BOTH, BOTH_AND_DECODER, DECODER, SCALES, Plan
from rgbd_lib.plots.style import color

COLUMN, HALF_GAP, BOX = (
    2.1,
    0.5,
    0.25,
)  # between encoders; from a stage's row to its joint; half a box's height
WIDTHS = (0.80, 0.68, 0.56, 0.46, 0.36)  # half widths of the stages' boxes
SENSORS = {"rgb": ("rgb", "RGB"), "depth": ("depth", "depth")}
TOP, SCORES, JOINED = 1.05, 1.05, 0.82  # rows of images, of class scores, of a joint before the stem
DASHES = (0, (4, 2))
RADIUS = 0.34  # of a joint, in rows

Point = tuple[float, float]


class Sketch:
    """Draws one plan into axes; a row is a scale, a column an encoder or a decoder."""

    def __init__(self, axes: Axes, what: Plan, tint: str, small: bool = False) -> None:
        self.axes, self.plan, self.tint = axes, what, tint
        self.pen = 0.55 if small else 1.0  # width of lines; small drawings have no text
        self.x = {name: COLUMN * i for i, name in enumerate(what.encoders)}
        self.last = what.encoders[-1]
        self.fused_x = self.x[self.last] + 1.35
        self.decoder_x = self.fused_x + 1.55
        far = self.decoder_x + (3.6 if what.teacher else 1.1)
        self.image_y = 1.6 if what.at_input else TOP
        near = -3.9 if what.two_decoders else -1.2 - COLUMN * (len(what.encoders) == 1)
        axes.set(xlim=(near, far), ylim=(-4.9, 2.2 if what.two_decoders else self.image_y + 0.45))

    def all(self) -> None:
        """Draw everything."""
        for name in self.plan.encoders:
            self.encoder(name)
        if self.plan.at_input:
            self.fourth_channel()
        for stage, joint in self.plan.joints.items():
            self.joint(stage, joint.symbol, joint.to)
        self.decoder(self.last, self.decoder_x)
        if self.plan.two_decoders:
            self.decoder(
                self.plan.encoders[0], self.x[self.plan.encoders[0]] - (self.decoder_x - self.x[self.last])
            )
            self.vote()
        if self.plan.extra_head:
            self.head()
        if self.plan.teacher:
            self.teacher()

    # -- parts ------------------------------------------------------------------------------------

    def encoder(self, name: str) -> None:
        """Draw a column of stages under its image."""
        x, ink = self.x[name], self.ink(name)
        seen = self.plan.inputs.get(name, SENSORS[name][1])
        self.box(x, self.image_y, 0.80, seen, edge=color(SENSORS[name][0]), fill="white")
        count = self.plan.depth_stages if name == "depth" else len(SCALES)
        for s in range(count):
            carries_both = self.mixed_before(s, name)
            edge = self.tint if carries_both else ink
            self.line([(x, (self.image_y if s == 0 else 1 - s) - BOX), (x, -s + BOX)], edge, arrow=True)
            self.stage(x, s, SCALES[s], edge)

    def decoder(self, name: str, x: float) -> None:
        """Draw a decoder beside an encoder, with the lines that feed it."""
        side = 1 if x > self.x[name] else -1
        joint_x = self.x[name] + side * (self.fused_x - self.x[self.last])
        for s in (4, 3, 2, 1):
            route, ink = self.handed(name, s, joint_x)
            y = -s
            target = (x, -3 - BOX) if s == 4 else (x - side * WIDTHS[s], y)
            self.line([*route, *([(x, y)] if s == 4 else []), target], ink, arrow=True)
        if self.plan.bottleneck:
            middle = (joint_x + x) / 2 + 0.1
            self.box(middle, -4, 0.55, self.plan.bottleneck, edge=self.tint, fill="white", size=7)
        ink = self.tint if self.fused else self.ink(name)
        for row in (3, 2, 1, 0):
            self.stage(x, row, SCALES[row], ink, up=True)
            self.line([(x, -row + BOX), (x, 1 - row - BOX)], ink, arrow=True)
        self.box(x, SCORES, 0.80, "class scores", edge=ink, fill="white")

    def handed(self, name: str, s: int, joint_x: float) -> tuple[list[Point], str]:
        """Return the way and the colour of the line by which a stage feeds the decoder."""
        x, joint = self.x[name], self.plan.joints.get(s)
        if joint and joint.to == DECODER:
            return [(joint_x + 0.2, -s)], self.tint
        if joint and joint.to == BOTH_AND_DECODER:
            low = -s - HALF_GAP - 0.2
            return [((self.x["depth"] + self.x["rgb"]) / 2, low), (joint_x, low), (joint_x, -s)], self.tint
        if joint:
            return [(x, -s - HALF_GAP), (joint_x, -s - HALF_GAP), (joint_x, -s)], self.tint
        ink = self.tint if self.mixed_before(s, name) else self.ink(name)
        side = 1 if joint_x > x else -1
        return [(x + side * WIDTHS[s], -s)], ink

    def joint(self, s: int, symbol: str, to: str) -> None:
        """Draw where two maps meet, and who goes on with the result."""
        depth, rgb, low = self.x["depth"], self.x["rgb"], -s - HALF_GAP
        if to == DECODER:
            self.line([(rgb + WIDTHS[s], -s), (self.fused_x - 0.2, -s)], self.ink("rgb"), arrow=True)
            out = [(depth, -s - BOX), (depth, low), (self.fused_x, low), (self.fused_x, -s - RADIUS)]
            self.line(out, self.ink("depth"), arrow=True)
            self.node(self.fused_x, -s, symbol)
        elif to == "rgb":
            self.line([(depth, low), (rgb - 0.2, low)], self.ink("depth"), arrow=True)
            self.line([(rgb, -s - BOX), (rgb, low)], self.ink("rgb"))
            self.line([(depth, -s - BOX), (depth, low)], self.ink("depth"))
            self.node(rgb, low, symbol)
        else:
            middle = (depth + rgb) / 2
            for x in (depth, rgb):
                self.line([(x, -s - BOX), (x, low)], self.tint)
                self.line([(middle, low), (x, low)], self.tint, arrow=True)
            self.node(middle, low, symbol)

    def fourth_channel(self) -> None:
        """Draw depth joining RGB before the first convolution."""
        x = self.x["rgb"] - COLUMN
        self.box(x, self.image_y, 0.80, "depth", edge=self.ink("depth"), fill="white")
        self.line(
            [(x, self.image_y - BOX), (x, JOINED), (self.x["rgb"] - 0.2, JOINED)],
            self.ink("depth"),
            arrow=True,
        )
        self.node(self.x["rgb"], JOINED, self.plan.at_input)

    def vote(self) -> None:
        """Draw how two score maps become one."""
        left = self.x[self.plan.encoders[0]] - (self.decoder_x - self.x[self.last])
        middle, y = (left + self.decoder_x) / 2, 1.85
        for x in (left, self.decoder_x):
            way = [(x, SCORES + BOX), (x, y), (middle + (0.2 if x > middle else -0.2), y)]
            self.line(
                way, self.ink("rgb" if x > middle else "depth") if not self.fused else self.tint, arrow=True
            )
        self.node(middle, y, self.plan.vote)

    def head(self) -> None:
        """Draw a second, small thing that is learned."""
        x, y = self.decoder_x + 0.15, -4.5
        self.line([(self.x["rgb"], -4.5), (x - 0.75, y)], self.tint, arrow=True, style=DASHES)
        self.box(x, y, 0.75, self.plan.extra_head, edge=self.tint, fill="white", size=7)

    def teacher(self) -> None:
        """Draw the trained network that is imitated, with dashed lines for what is compared."""
        x = self.decoder_x + 2.6
        self.box(x, TOP, 0.80, f"{self.plan.teacher}'s\nscores", edge="black", fill="white", size=8)
        for s in range(1, 5):
            self.stage(x, s, SCALES[s], "black")
            self.line([(x, 1 - s - BOX), (x, -s + BOX)], "black", arrow=True)
            if s in self.plan.joints:  # only maps that are fused are compared
                start = self.decoder_x + (WIDTHS[s] if s < 4 else 0)
                self.line([(x - WIDTHS[s], -s), (start, -s)], self.tint, arrow=True, style=DASHES)
        self.stage(x, 0, SCALES[0], "black")
        self.line([(x - 0.80, TOP), (self.decoder_x + 0.80, TOP)], self.tint, arrow=True, style=DASHES)
        self.write(x, TOP + 0.35, "trained before, frozen", ha="center", fontsize=8)

    # -- marks ------------------------------------------------------------------------------------

    @property
    def fused(self) -> bool:
        """Whether the decoders see both modalities."""
        return bool(self.plan.joints) or bool(self.plan.at_input)

    def ink(self, name: str) -> str:
        """Return the colour of lines that carry one modality (or, in early fusion, both)."""
        return self.tint if self.plan.at_input and name == "rgb" else color(SENSORS[name][0])

    def mixed_before(self, s: int, name: str) -> bool:
        """Whether an encoder's stage already works on both modalities."""
        goes = ("rgb", BOTH, BOTH_AND_DECODER) if name == "rgb" else (BOTH, BOTH_AND_DECODER)
        return any(k < s and joint.to in goes for k, joint in self.plan.joints.items())

    def stage(self, x: float, s: int, text: str, ink: str, up: bool = False) -> None:
        """Draw a stage as a trapezoid that narrows as the map shrinks."""
        wide, thin = WIDTHS[s] + 0.06, WIDTHS[s] - 0.06
        y = -s
        corners = [(x - wide, y + BOX), (x + wide, y + BOX), (x + thin, y - BOX), (x - thin, y - BOX)]
        self.axes.add_patch(Polygon(corners, facecolor="white", edgecolor="none", zorder=3))
        face = Polygon(corners, facecolor=ink, alpha=0.16 if up else 0.08, edgecolor="none", zorder=3)
        self.axes.add_patch(face)
        self.axes.add_patch(Polygon(corners, fill=False, edgecolor=ink, lw=1.2 * self.pen, zorder=4))
        self.write(x, y, text, ha="center", va="center", fontsize=9, zorder=5)

    def box(
        self, x: float, y: float, half: float, text: str, *, edge: str, fill: str, size: float = 9
    ) -> None:
        """Draw an image, scores or another part as a rectangle."""
        shape = Rectangle(
            (x - half, y - BOX), 2 * half, 2 * BOX, fc=fill, ec=edge, lw=1.2 * self.pen, zorder=4
        )
        self.axes.add_patch(shape)
        self.write(x, y, text, ha="center", va="center", fontsize=size, zorder=5, linespacing=0.95)

    def write(self, x: float, y: float, text: str, **style: object) -> None:
        """Write into the drawing, unless it is too small to be read."""
        if self.pen == 1:
            self.axes.text(x, y, text, **style)

    def node(self, x: float, y: float, symbol: str) -> None:
        """Draw a joint: a filled circle with its sign."""
        self.axes.plot(
            x,
            y,
            "o",
            ms=25 if self.pen == 1 else 6,
            color=self.tint,
            mec="white",
            mew=1.5 * self.pen,
            zorder=6,
        )
        size = 13 if len(symbol) == 1 else 8
        self.write(x, y, symbol, ha="center", va="center", fontsize=size, color="white", zorder=7)

    def line(self, way: Sequence[Point], ink: str, *, arrow: bool = False, style: str | tuple = "-") -> None:
        """Draw a line with a white border, so that crossings read as bridges."""
        xs, ys = zip(*way, strict=True)
        self.axes.plot(xs, ys, color="white", lw=4.5 * self.pen, zorder=1.5, solid_capstyle="butt")
        self.axes.plot(xs, ys, color=ink, lw=1.5 * self.pen, ls=style, zorder=2, solid_joinstyle="round")
        if arrow:
            head = {
                "arrowstyle": "-|>",
                "color": ink,
                "lw": 1.5 * self.pen,
                "mutation_scale": 10 * self.pen,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            (x0, y0), (x1, y1) = way[-2:]
            step = max(abs(x1 - x0), abs(y1 - y0)) or 1.0
            start = (x1 - 0.12 * (x1 - x0) / step, y1 - 0.12 * (y1 - y0) / step)
            self.axes.annotate("", way[-1], start, arrowprops=head, zorder=2)
