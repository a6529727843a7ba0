"""What can be turned while the music plays. Any process; imports only the standard library.

One `Parameter` is one knob: OSC address, MIDI target, state and documentation all derive from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Warp = Literal["linear", "exponential", "decibel"]


@dataclass(frozen=True)
class Parameter:
    """One knob. Its OSC address is `/ambientd/` + id.

    low, high, default: in the parameter's own unit. warp: how 0..1 maps onto low..high.
    slew: seconds that a jump over the whole range is spread over.
    """

    id: str
    description: str
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    unit: str = ""
    warp: Warp = "linear"
    slew: float = 0.02
