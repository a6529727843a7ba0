"""What a daemon remembers of itself, and how the next one begins with it. Supervisor."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from ambientd.audio.controls import PlayerControl
from ambientd.config import Config
from ambientd.errors import AmbientdError, CheckpointError
from ambientd.lifecycle.state import MOST_ATTEMPTS, BadState, State, StateFile
from ambientd.supervisor.slots import LoadedSlot, find_slots, open_slot

if TYPE_CHECKING:
    from ambientd.daemon import Daemon

Say = Callable[[str], None]


def last_state(file: StateFile, fingerprint: str, say: Say) -> State | None:
    """What to begin with; None: with the configuration. What cannot be used is told in one line and set aside.

    fingerprint: of the configuration that the state has to belong to.
    """
    try:
        state = file.load()
        if state is None:
            return None
        if state.configuration != fingerprint:
            raise BadState(f"the last state, {file.path}, belongs to another configuration")
        if state.attempts >= MOST_ATTEMPTS:
            raise BadState(f"with the last state, {file.path}, nothing came to be heard {MOST_ATTEMPTS} times")
    except BadState as error:
        say(f"{error.what}; beginning as configured")
        file.set_aside()
        return None
    with contextlib.suppress(OSError):  # a disk that takes nothing is told of later
        file.save(state.model_copy(update={"attempts": state.attempts + 1}))
    return state


def slots_to_begin_with(config: Config, state: State | None, say: Say) -> list[LoadedSlot]:
    """The state's models, in their slots, else the configuration's. Raises CheckpointError when none can be played."""
    base = secrets.randbits(30) if config.engine.seed is None else config.engine.seed
    found: list[LoadedSlot] = []
    for number, id in sorted(state.slots.items()) if state else ():
        try:
            if number <= config.max_slots:
                found.append(open_slot(number, id, base + number, found[0] if found else None))
        except CheckpointError as error:
            say(f"slot {number} stays empty: {error}")
    return found or find_slots(config, say)


def snapshot(daemon: Daemon, fingerprint: str) -> State:
    """What plays now."""
    preset = daemon.presets.info()
    return State(
        configuration=fingerprint,
        playing=daemon.shared.control[PlayerControl.PLAYING] > 0,
        panic=daemon.shared.control[PlayerControl.PANIC] > 0,
        mashup=daemon.mashup,
        slots=daemon.models,
        parameters={parameter.id: daemon.parameters.get(parameter.id) for parameter in daemon.parameters},
        preset=preset["current"],
        seconds_left=preset["seconds_left"],
        excluded=preset["excluded"],
        day_part=daemon.day_parts.mark if daemon.day_parts else "",
    )


def restore(daemon: Daemon, state: State, say: Say) -> None:
    """Let a daemon that has not started yet begin with `state`; the slots it has already."""
    for id, value in state.parameters.items():
        with contextlib.suppress(AmbientdError):  # of a plugin that is gone
            daemon.parameters.set_value(id, value)
    if not state.ended:
        daemon.shared.control[PlayerControl.PLAYING] = float(state.playing)
        daemon.shared.control[PlayerControl.PANIC] = float(state.panic)
    if daemon.day_parts:
        daemon.day_parts.known = state.day_part
    daemon.presets.current, daemon.presets.excluded = state.preset, list(state.excluded)
    try:
        if state.mashup and state.mashup != daemon.mashup:
            daemon.select_mashup(state.mashup)
        if state.seconds_left:
            daemon.presets.recall(state.preset, state.seconds_left)
    except AmbientdError as error:
        say(f"of the last state: {error}")
