"""A figure on a chapter's page: the picture, and under it its caption."""

import base64
import io

from IPython.display import Markdown, display

from rgbd_lib.plots.style import Figure, png

QUALITY = 88


def show(figure: Figure) -> None:
    """Show a figure with its caption; as JPEG where that takes less than half the bytes, as photographs do."""
    kind, data = "png", png(figure.drawing)
    photograph = jpeg(figure)
    if 2 * len(photograph) < len(data):
        kind, data = "jpeg", photograph
    picture = {f"image/{kind}": base64.b64encode(data).decode(), "text/plain": figure.caption}
    display(picture, metadata={f"image/{kind}": {"alt": figure.alt}}, raw=True)
    display(Markdown(f"*{figure.caption}*"))


def jpeg(figure: Figure) -> bytes:
    """Return the drawing as JPEG."""
    out = io.BytesIO()
    figure.drawing.savefig(out, format="jpg", pil_kwargs={"quality": QUALITY})
    return out.getvalue()
