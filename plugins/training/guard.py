"""torchaudio, also where its wheel cannot load its native part.

The wheels on PyPI are CUDA builds: on a CPU-only PyTorch their library does not link, and importing the
package raises OSError. The parts used here (resampling, mel features, loudness) are plain PyTorch.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def torchaudio() -> Any:
    """The torchaudio package; its native extension is replaced by an absent one where it cannot load."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        pass
    for name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    absent = types.ModuleType("torchaudio._extension")
    absent.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=lambda function: function,
    )
    sys.modules["torchaudio._extension"] = absent
    return importlib.import_module("torchaudio")
