# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Sphinx's settings for the guides and for dpdk-virtnet(8)."""

import sys
from pathlib import Path

from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import check_reference  # noqa: E402 pylint: disable=wrong-import-position

project = "virtnet"
author = "The virtnet authors"
copyright = "2026, The virtnet authors"  # pylint: disable=redefined-builtin
release = (Path(__file__).resolve().parent.parent / "VERSION").read_text(encoding="utf-8").strip()
version = release

master_doc = "index"
exclude_patterns = ["_build"]
highlight_language = "none"
nitpicky = True

html_theme = "nature"
html_title = f"virtnet {release}"
html_show_sourcelink = False
html_theme_options = {"sidebarwidth": 280}

man_pages = [("man/dpdk-virtnet", "dpdk-virtnet", "virtio-net device controller", [], 8)]


def compare_with_code(_app):
    """What the reference and the code's tables disagree on becomes a warning, an error with -W."""
    for problem in check_reference.problems():
        logging.getLogger(__name__).warning(problem)


def setup(app):
    app.connect("builder-inited", compare_with_code)
