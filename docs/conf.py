"""Sphinx: the pages are Markdown, the API comes from docstrings."""

project = "PaDiff-Graph"
author = "the PaDiff-Graph authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = project
html_copy_source = False
default_role = "literal"  # docstrings write `names` in single backquotes
myst_enable_extensions = ["attrs_block"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_use_rtype = False
highlight_language = "none"
