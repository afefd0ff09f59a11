"""Tests run on the NumPy engine unless they say otherwise: thousands of programs run once each."""

import os

os.environ.setdefault("DIFFLAB_ENGINE", "numpy")
