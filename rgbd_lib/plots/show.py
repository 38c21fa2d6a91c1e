"""A figure on a chapter's page: the picture, and under it its caption."""

import base64
import io

from IPython.display import Markdown, display
from PIL import Image

from rgbd_lib.plots.style import DPI, Figure, png

QUALITY = 88


def show(figure: Figure) -> None:
    """Show a figure with its caption; as JPEG where that takes less than half the bytes, as photographs do."""
    kind, data = "png", png(figure.drawing)
    photograph = jpeg(data)
    if 2 * len(photograph) < len(data):
        kind, data = "jpeg", photograph
    picture = {f"image/{kind}": base64.b64encode(data).decode(), "text/plain": figure.caption}
    display(picture, metadata={f"image/{kind}": {"alt": figure.alt}}, raw=True)
    display(Markdown(f"*{figure.caption}*"))


def jpeg(drawn: bytes) -> bytes:
    """Return a PNG as JPEG: to draw it again would take longer."""
    out = io.BytesIO()
    Image.open(io.BytesIO(drawn)).convert("RGB").save(out, format="jpeg", quality=QUALITY, dpi=(DPI, DPI))
    return out.getvalue()
