"""Everyday functions, as people write them, each with a point.

What flows: plain functions of one array and a point enter `CASES` by the decorator `at`; the test
holds difflab's value and gradient against calls of the very same functions. Nothing here is written
with differentiation in mind, and nothing knows of difflab.
"""

from __future__ import annotations

from . import filled, libraries, written
from .case import CASES, Case

__all__ = ["CASES", "ROOMS", "Case"]

ROOMS = (filled, written, libraries)
