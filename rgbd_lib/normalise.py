"""Making executed notebooks comparable: what differs between two executions of the same work is dropped."""

import base64
import io
import re

import nbformat
from nbformat import NotebookNode
from PIL import Image

IMAGE_WIDTH = 1000  # pixels; wider pictures are scaled down before they go into a file under version control
BAR = re.compile(r"\d+%\|.*\| *\d+/\d+|\d s left$")  # what a progress bar leaves behind


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Keep sources, outputs and parameters; drop what changes from run to run, and bound the images."""
    parameters = notebook.metadata.get("papermill", {}).get("parameters")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    language = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": language})
    if parameters:
        notebook.metadata["papermill"] = nbformat.from_dict({"parameters": parameters})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count = 0
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02d}"
        kept = {k: v for k, v in cell.metadata.items() if k in ("tags", "editable", "slideshow")}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            count += 1
            cell["execution_count"] = count
            cell.outputs = [clean(o, count) for o in cell.get("outputs", []) if not bar(o)]
            cell.outputs = [o for o in cell.outputs if o.get("text", True) and o.get("data", True)]
    return notebook


def bar(output: NotebookNode) -> bool:
    """Whether an output is the widget of a progress bar."""
    return bool(BAR.search(str(output.get("data", {}).get("text/plain", ""))))


def clean(output: NotebookNode, count: int) -> NotebookNode:
    """Drop lines of progress bars, dead widget views and addresses; scale down wide images."""
    if "execution_count" in output:
        output["execution_count"] = count
    if "text" in output:  # a stream; other lines of it, warnings above all, stay: they are to be mended
        lines = re.split(r"(?<=[\n\r])", output["text"])
        output["text"] = "".join(line for line in lines if not BAR.search(line) and line != "\r")
    data = output.get("data", {})
    data.pop("application/vnd.jupyter.widget-view+json", None)
    for kind in ("text/plain", "text/html"):
        if isinstance(data.get(kind), str):
            data[kind] = re.sub(r" at 0x[0-9a-f]+", "", data[kind])
    for kind in ("png", "jpeg"):
        if f"image/{kind}" in data:
            data[f"image/{kind}"] = bounded(data[f"image/{kind}"], kind)
    return output


def bounded(encoded: str, kind: str) -> str:
    """Return a base64 image no wider than a page."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.width <= IMAGE_WIDTH:
        return encoded
    height = round(image.height * IMAGE_WIDTH / image.width)
    out = io.BytesIO()
    image.resize((IMAGE_WIDTH, height), Image.Resampling.LANCZOS).save(out, kind, quality=85)
    return base64.b64encode(out.getvalue()).decode()
