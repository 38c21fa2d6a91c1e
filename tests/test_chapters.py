"""The book: every chapter follows the rules that can be measured, and runs from top to bottom on made data."""

from pathlib import Path

import chapter_rules as rules
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rgbd_lib import methods, sweeps
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.notebook_source import parameters_of
from rgbd_lib.notebooks import execute
from rgbd_lib.records import variant
from rgbd_lib.runs import Run, records

PROJECT = Path(__file__).parents[1]
CHAPTERS = sorted(p for p in (PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb") if "." not in p.stem)
CARD = PROJECT / "notebooks" / "method_card.ipynb"
SCENES, SIZE = 24, (240, 320)  # as many as smoke uses; chapter 01 wants objects of 150 pixels
SOME_SCENE = "12"
CELL_SECONDS = 900  # only to end a chapter that hangs

chapters = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def test_the_numbers_of_the_chapters_are_consecutive():
    assert [int(path.stem[:2]) for path in CHAPTERS] == list(range(len(CHAPTERS)))


@chapters
def test_a_chapter_is_written_by_the_rules(chapter):
    assert rules.faults(chapter, *rules.SOURCE, *rules.BOOK) == []


@chapters
def test_a_chapter_is_stored_as_it_is_read(chapter):
    assert rules.faults(chapter, *rules.OUTPUT) == []


def test_the_card_is_written_by_the_rules_and_stored_without_outputs():
    assert rules.faults(CARD, *rules.SOURCE) == []
    assert not any(cell.get("outputs") for cell in nbformat.read(CARD, 4).cells)


# -- the rules can be broken -----------------------------------------------------------------------

TITLE = "# 07 A title: does it ask?"
PICTURE = {"image/png": "aaaa"}


def parameters():
    return new_code_cell("seed = 0  # of the run", metadata={"tags": ["parameters"]}, execution_count=1)


def code(text, *outputs, count=2):
    return new_code_cell(text, outputs=list(outputs), execution_count=count)


def output(data, **metadata):
    return new_output("display_data", data, metadata=metadata)


BROKEN = {
    "a second parameters cell": (rules.parameters, parameters(), "2 cells tagged"),
    "sixteen lines": (rules.short_cells, code("\n".join(["x = 1"] * 16)), "has 16 lines"),
    "a function": (rules.no_definitions, code("def mean(x):\n    return x"), "defines mean"),
    "a named lambda": (rules.no_definitions, code("mean = lambda x: x"), "names a lambda"),
    "a second title": (rules.question, new_markdown_cell("# 08 Another?"), "more than one title"),
    "two exercises": (
        rules.parts,
        new_markdown_cell("## Exercises\n\n**1. A.** b\n\n**2. C.** d"),
        "numbered [1, 2]",
    ),
    "a dead link": (rules.links, new_markdown_cell("See [x](08_gone.ipynb#part)."), "dead link 08_gone"),
    "a dead link in an output": (
        rules.links,
        code("show(x)", output({"text/markdown": "[x](../gone.md)"})),
        "dead link ../gone.md",
    ),
    "a skipped cell": (rules.executed, code("x = 1", count=None), "order [1, None]"),
    "a figure not shown": (rules.executed, code("x = 1\nshow(x)"), "shows nothing: show(x)"),
    "a warning": (
        rules.clean_outputs,
        code("print(1)", new_output("stream", name="stderr", text="w")),
        "stderr: w",
    ),
    "a stray line": (rules.clean_outputs, code("work()", new_output("stream", text="10 %")), "stdout: 10 %"),
    "an error": (rules.clean_outputs, code("x", new_output("error", ename="KeyError")), "failed: KeyError"),
    "a live widget": (
        rules.clean_outputs,
        code("x", output({"application/vnd.jupyter.widget-view+json": {}})),
        "view of a widget",
    ),
    "a picture without words": (rules.alt_text, code("show(x)", output(PICTURE)), "the alt text ''"),
    "a late picture": (
        rules.early_picture,
        code("\n".join(["x = 1"] * 11), output(PICTURE)),
        "10 lines of code before",
    ),
    "a folder of this machine": (
        rules.one_place,
        code("x", output({"text/plain": f"'{PROJECT}/data'"})),
        f"absolute path: {'/'.join(PROJECT.parts[:3]).replace('//', '/')}",
    ),
    "a time stamp": (
        rules.one_place,
        code("x", output({"text/plain": "2024-05-06T07:08:09"})),
        "time stamp: 2024-05-06T07:08",
    ),
    "metadata of an editor": (
        rules.one_place,
        new_markdown_cell("x", metadata={"jp": 1}),
        "not as `rgbd_lib",
    ),
}


@pytest.mark.parametrize(("rule", "cell", "says"), BROKEN.values(), ids=BROKEN)
def test_a_rule_sees_what_breaks_it(tmp_path, rule, cell, says):
    path = tmp_path / "07_made.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell(TITLE), parameters(), cell]), path)
    assert any(says in fault for fault in rules.faults(path, rule)), rules.faults(path, rule)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("seed = 0", "without a comment"),
        ("seed = int('0')  # of the run", "not a literal"),
        ("import os  # for later", "not a literal"),
    ],
)
def test_a_parameter_is_a_literal_with_its_reason(tmp_path, source, says):
    path = tmp_path / "07_made.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source, metadata={"tags": ["parameters"]})]), path)
    assert [says in fault for fault in rules.faults(path, rules.parameters)] == [True]


@pytest.mark.parametrize(
    "text", ["https://a.org/b/c", "1/16 or 1/8", "</td></tr>", "../docs/a.md", "`methods/x.py`"]
)
def test_addresses_and_fractions_are_no_absolute_paths(text):
    assert not rules.ABSOLUTE.search(text)


# -- all chapters run ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with small synthetic data and nothing trained; runs made by one chapter serve the next."""
    home = tmp_path_factory.mktemp("project")
    write(home / "data" / "mm5_synth", scenes=SCENES, size=SIZE)
    (home / "docs").symlink_to(PROJECT / "docs")
    (home / "results").mkdir()
    (home / "results" / "literature.csv").symlink_to(
        PROJECT / "results" / "literature.csv"
    )  # published, not made
    with pytest.MonkeyPatch.context() as patch:
        for name, place in {"HOME": "", "RESULTS": "results", "CACHE": "cache"}.items():
            patch.setenv(f"RGBD_{name}", str(home / place))
        yield home


def made(source, project):
    """Execute a notebook in smoke, where it has scenes by name with one that the made data have."""
    chosen = {"profile": "smoke"} | (
        {"scene": SOME_SCENE} if isinstance(parameters_of(source).get("scene"), str) else {}
    )
    return execute(source, project / "executed" / source.name, chosen, cell_seconds=CELL_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("source", [*CHAPTERS, CARD], ids=lambda path: path.stem)
def test_a_notebook_runs_in_smoke(source, project):
    stored = source.read_bytes()
    page = made(source, project)
    assert source.read_bytes() == stored  # the book itself is left as it was
    assert rules.faults(page, *(rules.OUTPUT if source != CARD else rules.CARD)) == []
    notebook = nbformat.read(page, 4)
    written = "\n".join(rules.texts(notebook))
    advised = sum(cell.source.count("profile quick") for cell in notebook.cells)  # a command to type, say
    assert written.count("profile quick") == advised  # nothing slips in from results that are stored
    assert "profile smoke" in written  # captions say what made them


@pytest.mark.slow
def test_all_runs_of_the_book_were_smoke_runs_on_the_made_data(project):
    found = [record.info for record in records(project / "results" / "runs")]
    if not found:
        pytest.skip("no chapter was executed before")
    assert {info["parameters"]["profile"] for info in found} == {"smoke"}
    assert {Path(info["data"]["path"]).name for info in found} <= {"mm5_synth", "kitchen"}


@pytest.mark.slow
def test_what_chapters_vary_can_be_trained_by_name(project):
    found = [Run(**record.info["parameters"]) for record in records(project / "results" / "runs")]
    if not found:
        pytest.skip("no chapter was executed before")
    asked = sweeps.runs("all", "smoke", 0, "")
    chapters = {name(run) for run in found if run.settings.keys() <= {"modality_dropout"}}  # no kitchen
    plain = {name(Run(method, "smoke")) for method in methods.names()}
    assert chapters - plain - {("maximum", 0, "mixed", "")} <= {name(run) for run in asked}
    assert {name(run) for run in asked} <= chapters


def name(run: Run) -> tuple[str, int, str, str]:
    """Return what tells runs of one profile apart."""
    return run.method, run.seed, run.lighting, variant(run.parameters())
