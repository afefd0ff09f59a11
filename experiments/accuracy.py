"""How wrong is each method, in ulps, and why?

Every function of the zoo at every one of its points, by every method, held against an enclosure of
the truth. A method's own formula is also evaluated exactly, so that its truncation error and its
rounding error are told apart; and the truth itself is held against a limit of exact differences,
which uses no derivative rule at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from flint import arb

import accuracy_page as page  # isort: skip
