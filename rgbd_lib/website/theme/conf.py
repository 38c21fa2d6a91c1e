"""How Sphinx makes the site; `rgbd site` lays out the texts and calls it."""

from importlib.metadata import files

MATHJAX = "tex-svg-full.js"  # one file with all of TeX's packages; formulas as SVG need no fonts

project = "RGB-D fusion under changing light"
html_title = project
extensions = ["myst_nb", "rgbd_lib.website.safe"]
exclude_patterns = ["**/pictures"]
root_doc = "index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

nb_execution_mode = "off"  # outputs are in the notebooks
nb_render_markdown_format = "gfm"  # tables, but no directives: outputs hold names from data
nb_ipywidgets_js = {}  # would be fetched from elsewhere
nb_merge_streams = True
smartquotes = False  # a name from data keeps its own
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a text may begin below a first heading

html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme = "sphinx_book_theme"
html_static_path = [
    "_static",
    *(str(f.locate()) for f in files("sphinx-mathjax-offline") if f.name == MATHJAX),
]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"priority": 200})]
templates_path = ["_templates"]
html_sidebars = {
    "**": ["navbar-logo.html", "search-button-field.html", "explorer.html", "sbt-sidebar-nav.html"]
}
html_theme_options = {
    "use_download_button": False,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # search is in the side bar
    "footer_content_items": [],
}
highlight_language = "text"  # blocks of code without a language are commands and file lists
html_copy_source = False
html_use_index = False  # there are no index entries
html_show_copyright = False
mathjax_path = MATHJAX
mathjax3_config = {"options": {"enableMenu": False}}  # its menu can fetch speech rules from elsewhere
pygments_style = "friendly"
