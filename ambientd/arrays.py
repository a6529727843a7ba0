"""Names for the arrays that rooms exchange. Imports NumPy, so only modules that compute import it at run time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Tokens = NDArray[np.uint8]
Doubles = NDArray[np.float64]
