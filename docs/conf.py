"""Sphinx: every document of the checkout, from where it lies; ``tox -e docs`` builds strictly.

The source folder is the checkout itself (``sphinx-build -c docs . OUT``), so that a link between
two documents is the same on a repository's page and here.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "agvae-bench"
author = "The agvae-bench authors"
copyright = author  # noqa: A001 - Sphinx's own name
release = version = installed_version("agvae-bench")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "codecs/*/*.md", "results/*.md", "results/*/*.md"]
# Links back into the checkout, environments and scratch folders are not walked.
exclude_patterns = [".*", "bench/codecs", "bench/datasets", "*venv*", "build", "dist"]

myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature in the text says enough; the docstring says the rest
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"agvae-bench {release}"
html_extra_path = ["site"]
html_static_path = ["static"]
html_css_files = ["tables.css"]
# Tables of results are linked to; tests/test_docs.py holds that every document is in the contents.
suppress_warnings = ["toc.not_included"]
nb_output_stderr = "remove-warn"
nb_render_markdown_format = "gfm"
