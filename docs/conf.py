"""How the site is built: `make docs`. Every code cell runs, and every warning is an error."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import mathml  # noqa: E402
import reference  # noqa: E402
from jupyter_client.connect import LocalPortCache  # noqa: E402

import difflab  # noqa: E402

project, author, copyright = "difflab", "difflab's authors", "difflab's authors"
version = release = difflab.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "README.md", "_kernel"]

html_theme = "furo"
html_title = f"difflab {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

# Cells run in the kernel of the environment that builds; its startup file names cells by number, so
# that difflab's "at cell 3:2" is the same in every build.
os.environ["IPYTHONDIR"] = str(HERE / "_kernel")
os.environ["DIFFLAB_ENGINE"] = "steady"
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]
myst_enable_extensions = ["deflist", "dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure", "ref.python"]
"""The words of an error are no traceback; two rooms have an Interval, in types of fields."""

html_math_renderer = "mathml"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": False}
napoleon_google_docstring = False
napoleon_custom_sections = [docstrings.ATTRIBUTES]
napoleon_use_rtype = False
default_role = "literal"
"""Single backquotes in docstrings are code."""
nitpick_ignore_regex = [("py:class", r".*")]
"""Types in signatures, most of other libraries."""


_taken, _free_port = Path(tempfile.mkdtemp()), LocalPortCache.find_available_port


def _port_of_its_own(self: LocalPortCache, ip: str) -> int:
    """Kernels of two processes that read pages side by side never get the same port."""
    while True:
        port = int(_free_port(self, ip))
        with contextlib.suppress(FileExistsError):
            (_taken / str(port)).touch(exist_ok=False)
            return port


LocalPortCache.find_available_port = _port_of_its_own  # type: ignore[method-assign]


def _of_scikit_learn(
    app: Any, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """What scikit-learn adds to estimators is documented there."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Any) -> None:
    reference.write(HERE / "reference" / "names")
    app.add_html_math_renderer("mathml", mathml.INLINE, mathml.BLOCK)
    docstrings.connect(app)
    app.connect("autodoc-skip-member", _of_scikit_learn)
