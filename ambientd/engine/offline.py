"""Rendering to an array rather than in time. `ambientd render` and tests; the mashup is waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.conductor import Request, conduct
from ambientd.engine.engine import Engine
from ambientd.engine.mix import equal_gain, slot_mix
from ambientd.engine.voice import Voice
from ambientd.errors import AmbientdError, PluginError
from ambientd.parameters import SLOT_PARAMETERS
from ambientd.plugin import Mashup
from ambientd.types import BLOCK, BlockClock, Mix


def render_blocks(
    voices: Sequence[Voice],
    mashup: Mashup | None,
    controls: Mapping[str, float],
    inner: Mapping[str, float] = {},
    channels: int = 1,
) -> Iterator[Floats]:
    """Endless blocks [BLOCK, channels], each an array of its own. Without a mashup the voices play side by side.

    inner: what every slot's parameters are set to, where not to their defaults ({"temperature": 0.9}).

    Raises what a live mashup's fault would only be logged as: PluginError, InvalidMix, IncompatibleVoices.
    """
    rate = voices[0].info.sample_rate
    engine = Engine(len(voices), channels, rate)
    for slot, voice in enumerate(voices):
        engine.place(slot, voice)
    parameters = {parameter.id: parameter.default for parameter in SLOT_PARAMETERS} | dict(inner)
    values = [list(parameters.values())] * len(voices)
    infos, index = engine.infos, 0
    while True:
        own = slot_mix(infos, values, channels)
        mix = _conduct(mashup, Request(BlockClock(index, rate), infos, controls, own)) if mashup else own
        out = np.zeros((BLOCK, channels), np.float32)
        engine.render(mix if mashup else equal_gain(infos, own), out)
        if engine.fault:
            raise engine.fault
        yield out
        index += 1


def _conduct(mashup: Mashup, request: Request) -> Mix:
    try:
        return conduct(mashup, request)
    except AmbientdError:
        raise
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        raise PluginError(f"the mashup {mashup.name!r} failed at block {request.clock.index} ({fault})") from error
