"""The documentation: `sphinx-build -W --keep-going docs docs/_build/html`. It needs no network, to build or to read."""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "epsnet"
author = "The epsnet authors"
copyright = "The epsnet authors"
version = release = version_of("epsnet")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "mathml",
    "registries",
]
exclude_patterns = ["_build", "_ext", "gallery/*.md5"]
templates_path = ["_templates"]

# Pages are Markdown; formulas stand between dollar signs.
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# Docstrings: a name between backticks is a link where it can be one.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Arguments", "params_style"), ("Source", "notes_style")]
python_maximum_signature_line_length = 88

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "image_srcset": ["2x"],
}

html_theme = "furo"
html_title = f"epsnet {release}"
html_static_path = ["_static"]
html_css_files = ["epsnet.css"]
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}

# What the repository keeps in other places or formats has a page of its own here.
_PAGES = {
    "README.md": "index.md",
    "GLOSSARY.md": "glossary.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/adr": "decisions.md",
    "docs/theorems.yaml": "theorems.md",
    "docs/syllabus.yaml": "syllabus.md",
}


def _relink(text: str) -> str:
    """Lead the links between files of the repository to their pages."""

    def page(match: re.Match[str]) -> str:
        path = re.sub(r"^(\.\./)+", "", match[1])
        return f"](/{_PAGES.get(path) or path.removeprefix('docs/')})"

    return re.sub(r"\]\(((?:\.\./)*(?:[A-Z]+\.md|docs/[\w./-]+))\)", page, text)


def _read(app, docname, content):
    content[0] = _relink(content[0])


def _include(app, relative_path, parent_docname, content):
    content[0] = _relink(content[0])


def setup(app):
    app.connect("source-read", _read)
    app.connect("include-read", _include)
