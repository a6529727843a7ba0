"""`ambientd reload` and SIGHUP: another configuration while the music plays. Supervisor, between two turns of its loop.

All of it or nothing: what may be refused is tried in `Reconfiguration`, before `apply` changes anything. What differs
between the two configurations is applied, and nothing else: a knob that somebody turned stays where it is, unless its
key in the file has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ambientd import config as configuration
from ambientd.config import Config, Sink
from ambientd.errors import AmbientdError, ConfigError, DaemonError, PluginError
from ambientd.lifecycle.changes import Takes, changes, check_possible, takes
from ambientd.lifecycle.ending import stop_all
from ambientd.lifecycle.source import Source
from ambientd.parameters import SLOT_PARAMETERS
from ambientd.plugin_manager import Plugins
from ambientd.plugin_sources import user_folder
from ambientd.presets.runner import DayParts
from ambientd.supervisor import loudness_desk
from ambientd.supervisor.mashup_desk import check_mashup
from ambientd.supervisor.sink_threads import SinkThread

if TYPE_CHECKING:
    from ambientd.daemon import Daemon

SEED_STRIDE = 1_000_003
"""Added to the voices' seeds with the generator's new start, or it would play the same minutes again."""
SINK_SECONDS = 0.3
"""What a sink that is to go is waited for; it may complete its file later."""
Say = Callable[[str], None]
SinkConfig = tuple[str, BaseModel]
"""Name, and the section that its plugin has checked."""


def check_sinks(plugins: Plugins, config: Config, source: str) -> list[SinkConfig]:
    """The sinks that a configuration asks for. Raises PluginError or ConfigError."""
    return [check_sink(plugins, sink, source, place) for place, sink in enumerate(config.sinks)]


def check_sink(plugins: Plugins, sink: Sink, source: str, place: int) -> SinkConfig:
    """One of them. Raises PluginError or ConfigError."""
    kind = plugins.sink(sink.name)
    return sink.name, configuration.validate(kind.Config, sink.options, source, f"sinks.{place}")


def reload(daemon: Daemon, source: Source, say: Say) -> dict[str, Any]:
    """Let `source` be the daemon's configuration from now on. Raises AmbientdError, with nothing changed.

    Answers with what changed, by key, before and after; what was started again; and where it came from.
    """
    after = source.load()
    change = Reconfiguration(daemon, after, str(source.path or "the configuration"), say)
    restarted = change.apply()
    daemon.source, daemon.fingerprint = source, source.fingerprint(after)
    again = f"; {' and '.join(restarted)} started again" if restarted else ""
    say(f"reload: {', '.join(change.changes) or 'nothing has'} changed{again}")
    changed = {key: list(values) for key, values in change.changes.items()}
    return {"config": str(source.path or ""), "changed": changed, "restarted": restarted}


class Reconfiguration:
    """One change from the daemon's configuration to `after`. Raises AmbientdError, with nothing changed."""

    def __init__(self, daemon: Daemon, after: Config, source: str, say: Say) -> None:
        """source: what a refusal calls the configuration."""
        self._daemon, self._after, self._say = daemon, after, say
        self._before = daemon.config.model_copy()
        self.changes = changes(daemon.config, after)
        self._needs = {takes(key) for key in self.changes}
        check_possible(self.changes, source)
        self._models = self._changed_models()
        self._check_slots(source)
        check_mashup(daemon.plugins, after.mashup, source)
        self._sinks = check_sinks(daemon.plugins, after, source)
        self._day_parts = self._new_day_parts()
        if Takes.MIDI in self._needs:
            daemon.midi.check(after.midi)

    def apply(self) -> list[str]:
        """Do it; returns what was started again. Raises AmbientdError, with nothing changed, for a port that is taken
        or a sink that cannot start: only trying tells.
        """
        daemon, needs = self._daemon, self._needs
        self._change_what_may_fail()
        # Every room holds this very object, and reads it when it needs it.
        for field in Config.model_fields:
            setattr(daemon.config, field, getattr(self._after, field))
        if Takes.MIDI in needs:
            daemon.change_midi()
        if Takes.DAY_PARTS in needs:
            daemon.change_day_parts(self._day_parts)
        if Takes.PLUGIN_FILES in needs:
            self._follow_plugin_files()
        if "volume" in self.changes:
            daemon.parameters.set_value("volume", self._after.volume)
        loudness_desk.apply(self._after.loudness, daemon.shared.control)
        if Takes.MASHUP in needs:
            daemon.mashups.reconfigured(self._before.mashup)
        restarted = self._start_again()
        self._change_slots()
        return restarted

    def _change_what_may_fail(self) -> None:
        if Takes.OSC in self._needs:
            self._change_osc()
        try:
            if Takes.SINKS in self._needs:
                self._change_sinks()
        except AmbientdError:
            if Takes.OSC in self._needs:
                self._daemon.osc_room.change(self._before.osc)
            raise

    def _start_again(self) -> list[str]:
        daemon = self._daemon
        another_ring = daemon.shared.follow(daemon.config) if Takes.PLAYER in self._needs else False
        restarted = []
        if Takes.GENERATOR in self._needs or another_ring:
            for slot in daemon.slots:
                slot.seed += SEED_STRIDE
            daemon.generator.start()
            restarted.append("generator")
        if Takes.PLAYER in self._needs:
            daemon.output = {}  # another device need not have played before
            daemon.player.start()
            restarted.append("player")
        return restarted

    # Slots

    def _changed_models(self) -> dict[int, str]:
        """The id that each slot whose key has changed shall have; empty where it shall have none."""
        slots = {number: slot.model for number, slot in enumerate(self._after.slots, 1)}
        numbers = [int(key.split(".")[1]) + 1 for key in self.changes if _is_model(key)]
        wanted = {number: slots.get(number, "") for number in numbers} if slots else {}
        present = self._daemon.models
        return {number: id for number, id in wanted.items() if present.get(number, "") != id}

    def _check_slots(self, source: str) -> None:
        daemon = self._daemon
        if self._models and daemon.generator.child is None:
            raise DaemonError("the generator is being started again", "Nothing was changed; ask again in a moment")
        staying = self._daemon.models | self._models
        if not any(staying.values()):
            raise ConfigError(f"{source}: 'slots' leaves no voice", "Nothing was changed; name a model")
        for number, id in self._models.items():
            try:
                daemon.check_slot(number)
                if id:
                    daemon.check_model(id)
            except AmbientdError as error:
                raise ConfigError(f"{source}: 'slots.{number - 1}': {error.what}", error.remedy) from None

    def _change_slots(self) -> None:
        for number, slot in enumerate(self._after.slots, 1):
            key = f"slots.{number - 1}"
            for parameter in SLOT_PARAMETERS:
                if f"{key}.{parameter.id}" in self.changes:
                    self._daemon.parameters.set_value(f"slot/{number}/{parameter.id}", getattr(slot, parameter.id))
            if f"{key}.seed" in self.changes and number not in self._models and number in self._daemon.models:
                self._daemon.reprime(number, slot.seed)
        for number in sorted(self._models, key=lambda number: not self._models[number]):  # who is to come first
            self._daemon.change_slot(number, self._models[number])

    # The rest

    def _new_day_parts(self) -> DayParts | None:
        path, daemon = self._after.dayparts, self._daemon
        if Takes.DAY_PARTS not in self._needs or path is None:
            return None
        return DayParts(path.expanduser(), daemon.presets, self._say)

    def _change_osc(self) -> None:
        """The port may be the same one, so the old server goes first; and comes back where the new one cannot."""
        try:
            self._daemon.osc_room.change(self._after.osc)
        except DaemonError:
            self._daemon.osc_room.change(self._before.osc)
            raise

    def _change_sinks(self) -> None:
        """Those that stay are not touched. A path may be the same one, so what goes is closed first."""
        daemon, present = self._daemon, self._daemon.sinks
        if daemon.sink_rate:
            kept = _kept(self._before.sinks, self._after.sinks)
            going = [place for place in range(len(present)) if place not in kept]
            for place in going:
                present[place].stop(SINK_SECONDS)
            coming: dict[int, SinkThread] = {}
            try:
                for index, staying in enumerate(kept):
                    if staying is None:
                        coming[index] = daemon.make_sink(*self._sinks[index])
            except Exception as error:
                stop_all(list(coming.values()))
                for gone in going:
                    present[gone] = daemon.make_sink(*daemon.sink_configs[gone])
                raise PluginError(f"a sink cannot start: {error}", "Nothing was changed") from None
            daemon.sinks = [coming[i] if place is None else present[place] for i, place in enumerate(kept)]
        daemon.sink_configs = self._sinks

    def _follow_plugin_files(self) -> None:
        daemon = self._daemon
        if daemon.reloader:
            daemon.reloader.close()
        daemon.reloader = daemon.mashups.reloader(user_folder()) if self._after.reload else None


def _is_model(key: str) -> bool:
    return key.startswith("slots.") and key.endswith(".model")


def _kept(before: list[Sink], after: list[Sink]) -> list[int | None]:
    """For each sink there is to be, the place of the present one that is the same; None where there is none."""
    free = dict(enumerate(before))
    kept: list[int | None] = []
    for sink in after:
        place = next((place for place, present in free.items() if present == sink), None)
        if place is not None:
            del free[place]
        kept.append(place)
    return kept
