"""Executing a notebook: what it may be told, what it leaves behind when it fails, and the same bytes again."""

import base64
import io
import json
import os
import pickle

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from rgbd_lib import identity, notebook_source
from rgbd_lib.errors import UserError
from rgbd_lib.normalise import IMAGE_WIDTH, normalise
from rgbd_lib.notebooks import NotebookError, execute

PARAMETERS = 'method = "mid"  # any\nseed = 0'


def write(path, *cells):
    """Write a notebook with a parameters cell."""
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# A title"), first, *map(new_code_cell, cells)]), path
    )
    return path


def outputs(path):
    return [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]


def printed(path):
    return "".join(o.get("text", "") for o in outputs(path))


def test_an_unknown_parameter_stops_before_a_kernel_starts(tmp_path):
    source = write(tmp_path / "a.ipynb")
    with pytest.raises(UserError, match=r"a\.ipynb has no parameter sed; it has method, seed"):
        execute(source, tmp_path / "out.ipynb", {"sed": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize("value", [(1, 2), np.int64(3), object()])
def test_a_parameter_must_survive_json(tmp_path, value):
    with pytest.raises(UserError, match=r"parameter seed=.* must be a number, text, list or dict"):
        notebook_source.check_parameters(write(tmp_path / "a.ipynb"), {"seed": value})


def test_parameters_are_read_with_their_values(tmp_path):
    assert notebook_source.parameters_of(write(tmp_path / "a.ipynb")) == {"method": "mid", "seed": 0}


def test_other_parameters_are_not_written_over_the_source(tmp_path):
    with pytest.raises(UserError, match="need another file"):
        execute(write(tmp_path / "a.ipynb"), None, {"seed": 1})


NOISY = """
import os, sys, time
print("seed", seed, os.path.basename(os.getcwd()))
print(f"{round(time.time() * 1000) % 97}%|####   | 3/10 [00:01<00:02]", file=sys.stderr)
print("a warning", file=sys.stderr)
object()
"""
PICTURE = """
import matplotlib.pyplot as plt
plt.figure(figsize=(14, 1)); plt.plot([1, 2]); plt.show()
"""


def test_executing_again_changes_no_byte(tmp_path, monkeypatch):
    """Also with a foreign kernelspec that would die, and a backend that would draw nothing."""
    broken = tmp_path / "jupyter" / "kernels" / "python3"
    broken.mkdir(parents=True)
    (broken / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    source = write(tmp_path / "a.ipynb", NOISY, PICTURE)
    target = execute(source, tmp_path / "out" / "b.ipynb", {"seed": 3})
    first = target.read_bytes()
    assert execute(source, target, {"seed": 3}).read_bytes() == first
    assert [p.name for p in target.parent.iterdir()] == ["b.ipynb"]
    assert f"seed 3 {tmp_path.name}\n" in printed(target)  # the kernel works where the source lies
    assert "a warning\n" in printed(target)
    assert "%|" not in printed(target)
    assert b" at 0x" not in first
    assert nbformat.read(target, 4).metadata.papermill.parameters == {"seed": 3}
    images = [o["data"]["image/png"] for o in outputs(target) if "image/png" in o.get("data", {})]
    assert [Image.open(io.BytesIO(base64.b64decode(i))).width for i in images] == [IMAGE_WIDTH]
    nbformat.validate(nbformat.read(target, 4))


def test_in_place_keeps_the_cells_and_adds_outputs(tmp_path):
    source = write(tmp_path / "a.ipynb", "print(method)")
    cells = notebook_source.sources(source)
    assert execute(source) == source
    assert notebook_source.sources(source) == cells
    assert printed(source) == "mid\n"
    once = source.read_bytes()
    assert execute(source).read_bytes() == once
    assert nbformat.read(source, 4) == normalise(nbformat.read(source, 4))


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("x = {}\nx['depht']", "KeyError: 'depht'"),
        ("import time; time.sleep(60)", "took longer than a cell may"),
        ("import os; os._exit(1)", "its process died"),
    ],
)
def test_a_failure_names_the_cell_and_leaves_no_target(tmp_path, cell, error):
    source, target = write(tmp_path / "a.ipynb", "ok = 1", cell, "ok = 2"), tmp_path / "b.ipynb"
    with pytest.raises(NotebookError) as caught:
        execute(source, target, cell_seconds=3)
    assert caught.value.notebook == "a.ipynb"
    assert caught.value.cell == f"cell [3] `{cell.splitlines()[0]}`"
    assert error in caught.value.error
    assert not target.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "b.failed.ipynb"]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # the way back from a worker
    write(source, "ok = 1")
    execute(source, target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "b.ipynb"]


def test_the_parent_stays_where_it_is(tmp_path):
    before = os.getcwd()
    execute(write(tmp_path / "a.ipynb"), tmp_path / "b.ipynb")
    assert os.getcwd() == before


def test_the_code_a_notebook_depends_on_is_what_it_imports(tmp_path):
    source = write(
        tmp_path / "a.ipynb", "%matplotlib inline\nfrom rgbd_lib import metrics, runs\nimport numpy"
    )
    found = identity.imports(notebook_source.code(source))
    assert found == {"rgbd_lib", "rgbd_lib.metrics", "rgbd_lib.runs"}
    assert "rgbd_lib.training" in identity.closure(found)
    with pytest.raises(UserError, match=r"b\.ipynb does not parse"):
        notebook_source.code(write(tmp_path / "b.ipynb", "x = ="))
