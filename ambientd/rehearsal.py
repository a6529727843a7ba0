"""Tries mashups without a sound: for their authors' tests, and before a changed file may play. NumPy, no kernels.

    mashups = load("sway.py")
    mixes = rehearse(mashups["sway"], controls={"depth": 0.5})

`python -m ambientd.rehearsal` is the fresh process in which the supervisor tries a changed file (see `reload`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambientd.config import validate
from ambientd.errors import AmbientdError, PluginError
from ambientd.ipc.child import ParentLink, child_main
from ambientd.parameters import SLOT_PARAMETERS
from ambientd.plugin import BLOCK, BlockClock, Mashup, Mix, VoiceInfo
from ambientd.plugin_manager import Plugins

MODULE = "ambientd.rehearsal"
RATE = 16_000
CPU_SECONDS = 20
VOICES = tuple(
    VoiceInfo(
        id=f"voice-{number}",
        title=f"Voice {number}",
        sample_rate=RATE,
        dim=256,
        frame_sizes=(16, 64),
        q_levels=256,
        quantization="mu-law",
        pre_emphasis=0.0,
        album_gain=1.0,
        temperature=1.0,
        family="rehearsal",
    )
    for number in range(1, 9)
)
"""Siblings, which may share everything."""
Slots = Sequence[VoiceInfo | None]


def load(path: str | Path) -> dict[str, type[Mashup]]:
    """The mashups of the plugin file at `path`, by name. Raises PluginError with the state and the reason."""
    plugins = Plugins()
    plugins.update(str(path), Path(path).read_text("utf-8"))
    return plugins.mashups


def rehearse(
    kind: type[Mashup],
    options: Mapping[str, Any] = {},
    controls: Mapping[str, float] = {},
    slots: Slots = (*VOICES[:2], None),
    blocks: int = 8,
    channels: int = 2,
) -> list[Mix]:
    """The mixes of the first `blocks` blocks, each checked as the generator does.

    options: the mashup's section of a configuration. controls: parameters' values in their own units, where not the
    defaults. Raises what the mashup raises, ConfigError, InvalidMix and IncompatibleVoices.
    """
    config = validate(kind.Config, options, f"mashup {kind.name!r}")
    values = {p.id: p.default for p in kind.parameters} | dict(kind.initial_values(config)) | dict(controls)
    return [mix for mix, _ in _play(kind(config, tuple(slots)), values, [tuple(slots)] * blocks, channels)]


def check(path: str, text: str, options: Mapping[str, Mapping[str, Any]], voices: int, channels: int) -> None:
    """Whether a plugin file may play: it loads, and each mashup conducts `voices` slots, fast enough.

    options: by mashup. Raises AmbientdError with the first fault.
    """
    plugins = Plugins()
    plugins.update(path, text)
    full: Slots = (*VOICES, *[None] * voices)[:voices]
    fewer: Slots = (full[0], *[None] * (voices - 1))
    for name, kind in plugins.mashups.items():
        try:
            config = validate(kind.Config, options.get(name, {}), f"mashup {name!r}", "mashup")
            values = {p.id: p.default for p in kind.parameters} | dict(kind.initial_values(config))
            took = [t for _, t in _play(kind(config, tuple(full)), values, [full] * 6 + [fewer] * 2, channels)]
        except AmbientdError:
            raise
        except Exception as error:
            raise PluginError(f"the mashup {name!r} failed ({type(error).__name__}: {error})") from error
        # The quickest: a busy machine may slow some of them, but not all.
        if min(took) > BLOCK / RATE:
            raise PluginError(f"the mashup {name!r} takes {1000 * min(took):.0f} ms, longer than a block lasts")


def _play(
    mashup: Mashup, controls: Mapping[str, float], slots: Sequence[Slots], channels: int
) -> list[tuple[Mix, float]]:
    """Each block's mix, and the seconds it took."""
    from ambientd.engine.conductor import Request, conduct
    from ambientd.engine.mix import slot_mix

    played = []
    for index, present in enumerate(slots):
        own = slot_mix(present, [[p.default for p in SLOT_PARAMETERS]] * len(present), channels)
        request = Request(BlockClock(index, RATE), tuple(present), controls, own)
        began = time.perf_counter()
        played.append((conduct(mashup, request), time.perf_counter() - began))
    return played


def run(link: ParentLink) -> int:
    """One check, within limits of its own: the supervisor sends `check`'s arguments and `memory_limit_mb`."""
    import resource

    from ambientd.engine.memory_limit import limit_memory

    arguments = dict(link.config)
    limit_memory(arguments.pop("memory_limit_mb"))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    check(**arguments)
    link.send({"event": "sound"})
    return 0


if __name__ == "__main__":
    child_main(run)
