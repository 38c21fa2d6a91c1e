"""The site: pages from executed notebooks that need no kernel, no server and nothing from elsewhere."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rgbd_lib import website
from rgbd_lib.errors import UserError
from rgbd_lib.website import links, outputs

PROJECT = Path(__file__).resolve().parent.parent
NASTY = "<script>alert('name')</script><img src=x onerror=alert(1)>"
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "embed": "src"}


def picture() -> str:
    png = cv2.imencode(".png", np.full((4, 6, 3), 128, np.uint8))[1]
    return base64.b64encode(png.tobytes()).decode()


def widget() -> dict:
    return {
        outputs.WIDGET: {"model_id": "7", "version_major": 2, "version_minor": 0},
        "text/plain": "IntSlider()",
    }


def shown(data: dict, **metadata: dict) -> dict:
    return new_output("display_data", data, metadata=metadata.get("metadata", {}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for folder in ("notebooks", "docs", "rgbd_lib"):
        (root / folder).mkdir()
    (root / "README.md").write_text(
        "# The book\n\n[First](notebooks/00_one.ipynb), [plan](docs/plan.md#the-aim)\n"
    )
    (root / "docs/plan.md").write_text(
        "# Plan\n\n## The aim\n\n[Back](../README.md), [elsewhere](https://example.org)\n"
    )
    (root / "rgbd_lib/gate.py").write_text(f'"""Gate.\n\n````\n{NASTY}\n"""\n')
    alt = {"image/png": {"alt": f'Six "grey" pixels *of* {NASTY}'}}
    first = [
        new_markdown_cell("# 00 One\n\nEnergy is $e = mc^2$, code is `[a](b.py)`.\n\n$$\\sum_i x_i$$"),
        new_markdown_cell("[Next](01_two.ipynb), [gate](../rgbd_lib/gate.py), [lib](../rgbd_lib), [lost](16_x.ipynb)"),
        new_code_cell("show()", execution_count=1, outputs=[
            shown({"image/png": picture(), "text/plain": "<Figure>"}, metadata=alt),
            shown({**widget(), "image/png": picture()}, metadata={"image/png": {"alt": "Still picture"}}),
            shown(widget()),
            shown({"application/javascript": "alert(2)"}),
        ]),
        new_code_cell("names()", execution_count=2, outputs=[
            new_output("stream", name="stdout", text=f"printed {NASTY}\n"),
            shown({"text/plain": f"plain {NASTY}"}),
            shown({"text/markdown": f"marked {NASTY} [two](01_two.ipynb)\n\n<div onclick='alert(3)'>\n\n---\n\nafter"}),
            shown({"text/html": f"<style>td {{}}</style><table><tr><td onclick='alert(4)'>cell {NASTY}</td></tr></table>"}),
        ]),
    ]  # fmt: skip
    write(new_notebook(cells=first), root / "notebooks/00_one.ipynb")
    write(
        new_notebook(cells=[new_markdown_cell(f"# 01 Two of {NASTY.split('>')[0]}\\>")]),
        root / "notebooks/01_two.ipynb",
    )
    return root


@pytest.fixture(scope="module")
def made(project: Path, tmp_path_factory: pytest.TempPathFactory) -> website.Site:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGBD_RESULTS", str(project / "results"))
        return website.build(tmp_path_factory.mktemp("out") / "site", project)


@pytest.fixture(scope="module")
def chapter(made: website.Site) -> BeautifulSoup:
    return page(made.folder / "notebooks/00_one.html")


def page(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def pages(made: website.Site) -> list[Path]:
    return [file for file in made.folder.rglob("*.html") if "_static" not in file.parts]


def test_every_link_between_pages_leads_to_a_page(made: website.Site):
    for file in pages(made):
        for target in (a["href"] for a in page(file).find_all("a", href=True)):
            if links.local(target):
                found, _ = links.place(file, target)
                assert found.is_file(), f"{file.name}: {target}"


def test_links_to_chapters_and_files_become_links_to_pages(chapter: BeautifulSoup):
    targets = {a.get_text(): a.get("href") for a in chapter.find("article").find_all("a")}
    assert targets["Next"] == "01_two.html"
    assert targets["two"] == "01_two.html", "a link in an output"
    assert targets["gate"] == "../source/rgbd_lib/gate.py.html"
    assert targets["lib"] == "../source/rgbd_lib/index.html"
    assert "lost" not in targets
    assert "[a](b.py)" in chapter.find("article").get_text(), "code is no link"


def test_the_source_of_a_linked_file_is_shown_whatever_is_in_it(made: website.Site):
    text = page(made.folder / "source/rgbd_lib/gate.py.html").find("article").get_text()
    assert NASTY in text
    assert "````" in text


def test_a_link_to_nothing_is_text_and_a_note(made: website.Site, chapter: BeautifulSoup):
    assert "lost" in chapter.find("article").get_text()
    assert any("16_x.ipynb" in note and "00_one" in note for note in made.notes)


def test_sphinx_has_nothing_to_complain_about(made: website.Site):
    assert not [note for note in made.notes if "WARNING" in note or "ERROR" in note]


def test_pictures_have_the_alt_text_of_their_output(chapter: BeautifulSoup):
    pictures = chapter.find("article").find_all("img")
    assert [image["alt"] for image in pictures] == [f'Six "grey" pixels *of* {NASTY}', "Still picture"]


def test_a_widget_leaves_its_still_picture_and_nothing_else(chapter: BeautifulSoup):
    text = str(chapter)
    assert "IntSlider" not in text
    assert "widget-view" not in text
    assert "alert(2)" not in text


def test_names_from_data_are_text(made: website.Site, chapter: BeautifulSoup):
    text = chapter.find("article").get_text()
    for before in ("printed", "plain", "marked"):
        assert f"{before} {NASTY}" in text
    assert "cell" in chapter.find("td").get_text()
    for file in pages(made):
        soup = page(file)
        assert not soup.find_all(
            lambda tag: any(name.startswith("on") and "alert" in tag[name] for name in tag.attrs)
        )
        assert not soup.find_all("script", string=re.compile("alert"))
        assert not soup.find_all("img", src="x")


def test_html_is_reduced_to_tables_and_text():
    assert outputs.safe("<table><tr><td colspan='2'>1</td></tr></table>").count('<td colspan="2">1</td>') == 1
    assert outputs.safe("<style>a</style><iframe src='//x'></iframe><b>bold</b>") == "<b>bold</b>"
    assert "javascript" not in outputs.safe("<a href='javascript:alert(1)'>x</a>")


def test_nothing_is_fetched_from_elsewhere(made: website.Site):
    for file in pages(made):
        soup = page(file)
        loads = [tag.get(key, "") for name, key in LOADS.items() for tag in soup.find_all(name)]
        loads += [tag["href"] for tag in soup.find_all("link", href=True)]
        assert not [load for load in loads if re.match(r"(https?:)?//", load)], file.name
        for load in loads:
            if load and links.local(load):
                assert links.place(file, load.split("?")[0])[0].is_file(), f"{file.name}: {load}"
    for sheet in made.folder.rglob("*.css"):
        assert not re.search(r"(url\(\s*|@import\s+)['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )


def test_formulas_are_set_by_a_file_of_the_site(chapter: BeautifulSoup):
    assert "e = mc^2" in chapter.find(class_="math").get_text()
    assert [s for s in chapter.find_all("script", src=True) if "tex-svg-full.js" in s["src"]]


def test_without_stored_predictions_there_is_a_note_instead_of_an_explorer(made: website.Site):
    assert any(note.startswith("no explorer") for note in made.notes)
    assert not (made.folder / "explorer").exists()
    assert "explorer/index.html" not in (made.folder / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_site_is_left_alone(project: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="something else than a site"):
        website.build(tmp_path, project)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_broken_links_are_found(project: Path):
    assert links.broken(project) == ["notebooks/00_one.ipynb: 16_x.ipynb"]


def test_a_link_out_of_the_project_or_to_no_heading_is_broken(tmp_path: Path):
    (tmp_path / "README.md").write_text("# Top\n\n[a](../x.md) [b](#top) [c](#bottom) [d](README.md#top)\n")
    (tmp_path.parent / "x.md").write_text("outside")
    assert links.broken(tmp_path) == ["README.md: ../x.md", "README.md: #bottom"]


def test_the_links_of_the_book_lead_somewhere():
    assert links.broken(PROJECT) == []
