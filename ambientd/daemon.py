"""The supervisor: what `ambientd run` is. One thread and one selector loop; it makes no sound itself.

It owns everything that must outlive its children: ring, bed, tap, parameters, OSC. The generator and the
player may die, hang or be killed at any time; they are started again, and the music goes on.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ambientd import __version__
from ambientd import config as configuration
from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import PlayerStatus
from ambientd.control.osc_commands import commands
from ambientd.control.osc_methods import AddressSpace
from ambientd.errors import AmbientdError, DaemonError, UsageError
from ambientd.ipc.child import Message
from ambientd.ipc.runtime import status_socket_path
from ambientd.ipc.transport import Transport
from ambientd.lifecycle.ending import Terminal, end_for_sure, stop_all
from ambientd.lifecycle.keeper import StateKeeper
from ambientd.lifecycle.missing import Leniency
from ambientd.lifecycle.reconfigure import check_sink, check_sinks, reload
from ambientd.lifecycle.restore import last_state, restore, slots_to_begin_with, snapshot
from ambientd.lifecycle.source import Source
from ambientd.lifecycle.state import StateFile
from ambientd.parameters import SLOT_PARAMETERS, VOLUME, Parameter, ParameterTable, builtin_parameters
from ambientd.plugin import Sink
from ambientd.plugin_manager import Plugins
from ambientd.plugin_sources import user_folder
from ambientd.presets.desk import PresetDesk
from ambientd.presets.runner import DayParts
from ambientd.service.notify import ServiceManager
from ambientd.supervisor import loudness_desk
from ambientd.supervisor.child_events import generator_said, player_said
from ambientd.supervisor.children import make_generator, make_player
from ambientd.supervisor.daemon_info import info
from ambientd.supervisor.event_log import EventLog, log_folder
from ambientd.supervisor.gpu_policy import GpuPolicy
from ambientd.supervisor.guard import Guard
from ambientd.supervisor.health import Medic
from ambientd.supervisor.live_slots import LiveSlots, Tell
from ambientd.supervisor.mashup_desk import MashupDesk, check_mashup
from ambientd.supervisor.midi_room import MidiRoom
from ambientd.supervisor.osc_room import OscRoom
from ambientd.supervisor.ready import what_is_ready
from ambientd.supervisor.shared_state import SharedState
from ambientd.supervisor.sink_threads import SinkThread
from ambientd.supervisor.status_socket import StatusSocket
from ambientd.supervisor.supervised import ProcessState, Supervised
from ambientd.supervisor.vitals import Vitals

TICK_SECONDS = 0.05
STOP_FADE_SECONDS = 1.0
PLAY_FADE_SECONDS = 2.0
SPARE_CELLS = 512
"""For parameters that plugins bring while the music plays."""


class Daemon:
    """Rooms start in order and stop in reverse. say: prints a line for the person who started it."""

    def __init__(self, source: Source, say: Callable[[str], None], resume: bool = False) -> None:
        """source: of the configuration, which `ambientd reload` reads again.

        resume: begin at the last state, and without what is missing: nobody watches.
        """
        config = source.load()
        self.config, self.source, self.print = config, source, say
        """print: a line for people alone; say: for the log as well."""
        self.fingerprint = source.fingerprint(config)
        folder = (config.log.folder or log_folder()) if config.log.enabled else None
        self.log = EventLog(folder and folder.expanduser(), config.log.limit_mb << 20, say)
        self.say = say = self.log.saying("daemon", say)
        self.guard = Guard(self.log, say)
        self._lenient = Leniency(resume, say)
        self.plugins = Plugins.discover()
        self.socket = StatusSocket(status_socket_path(), {"status": lambda _: self.status(), "reload": self.reload})
        states = StateFile()
        state = last_state(states, self.fingerprint, say) if resume else None
        self.slots = LiveSlots(slots_to_begin_with(config, state, say), config, self._tell_generator)
        self.sample_rate = self.slots.sample_rate
        self.output: Message = {}
        self.gpu = GpuPolicy(config.engine, say)
        self.shed: list[str] = []
        """What the generator does without because the machine is too slow for it."""
        if not self._lenient.has("the mashup", lambda: check_mashup(self.plugins, config.mashup, "the configuration")):
            config.mashup = configuration.Mashup()
        self.mashups = MashupDesk(config, self.plugins, self._tell_generator, say)
        self.medic = Medic(config, self, say)
        config.sinks = [sink for sink in config.sinks if self._has_sink(sink)]
        self.sink_configs = check_sinks(self.plugins, config, "the configuration")
        self.sink_rate = 0
        """Hz; 0 until the sinks have started."""
        self.started = time.monotonic()
        self._rest_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._manager = ServiceManager()

        knobs = [*builtin_parameters(config.max_slots), *self.mashups.knobs()]
        self.shared = SharedState(config, self.sample_rate, len(knobs) + SPARE_CELLS, say)
        self.shared.control[PlayerControl.VOLUME] = config.volume
        self.shared.control[PlayerControl.PLAYING] = float(config.autoplay)
        loudness_desk.apply(config.loudness, self.shared.control)
        self.parameters = self._make_parameters(knobs)
        self.parameters.listen(self._parameter_changed)
        self.presets = PresetDesk(self)
        self.day_parts: DayParts | None = None
        if not self._lenient.has("the score of day parts", self._open_day_parts):
            config.dayparts = None
        self.osc_room = OscRoom(config.osc, self, self._selector, say, lenient=resume)
        self.midi = self._make_midi(lenient=resume)
        self.player = make_player(self)
        self.generator = make_generator(self)
        self.reloader = self.mashups.reloader(user_folder()) if config.reload else None
        self.sinks: list[SinkThread] = []
        if state:
            restore(self, state, say)
        self.keeper = StateKeeper(states, lambda: snapshot(self, self.fingerprint), say)
        self.vitals = Vitals(self.log, self.info, say)

    def run(self) -> int:
        """Play until SIGINT or SIGTERM; returns the exit code."""
        self._watch_signals()
        self._announce()
        self.log.event("daemon", "started", version=__version__, pid=os.getpid())
        self.player.start()
        self.generator.start()
        self._selector.register(self.socket, selectors.EVENT_READ, self.socket.answer)
        self.osc_room.start()
        self.midi.start()
        try:
            while self._rest_at is None or not self._rested():
                self._turn()
        finally:
            self._stop()
        return 0

    def _turn(self) -> None:
        for answer in what_is_ready(self._selector, min(TICK_SECONDS, self.osc_room.patience())):
            self.guard("daemon", answer)
        self.guard("osc", self.osc_room.turn)
        for event in self.player.events():
            self.guard("player", partial(player_said, self, event))
        for event in self.generator.events():
            self.guard("generator", partial(generator_said, self, event))
        self.guard("midi", self.midi.turn)
        self._manager.delivered(self.shared.player[PlayerStatus.FRAMES])
        if self.output:  # there is something to be remembered once it is heard
            self.guard("state", self.keeper.turn)
        self.guard("player", self.player.watch)
        self.guard("generator", self.generator.watch)
        if self.reloader:
            self.guard("plugins", self.reloader.turn)
        self.guard("presets", self.presets.turn)
        self.guard("day-parts", self._keep_day_parts)
        self.guard("vitals", self.vitals.turn)

    def _keep_day_parts(self) -> None:
        if self.day_parts and self.day_parts.turn():
            self._set_volume()

    # What OSC (and later MIDI and the web) may ask for; see control.osc.Instrument.

    def info(self) -> dict[str, Any]:
        """Everything about the running daemon, JSON-serialisable; also what most of `ambientd status` shows."""
        return info(self)

    def status(self) -> dict[str, Any]:
        """`info` and every parameter, for whoever asks on this machine: no datagram holds so much."""
        return self.info() | {"parameters": self.parameters.describe()}

    @property
    def roles(self) -> tuple[Supervised, ...]:
        """The children that there are."""
        midi = self.midi.supervised
        return (self.generator, self.player, *([midi] if midi.state is not ProcessState.STOPPED else []))

    # What `ambientd reload` may change; see lifecycle.reconfigure.

    def reload(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Read the configuration again, or another file. Raises AmbientdError, with nothing changed."""
        path = request.get("config")
        source = self.source.at(Path(path)) if isinstance(path, str) else self.source
        try:
            return reload(self, source, self.say)
        except AmbientdError:
            raise
        except Exception as error:
            self.guard.surprised("reload", error)
            raise DaemonError(f"the reload failed ({error})", "What plays goes on; see the log") from error

    def change_midi(self) -> None:
        """Another room, by the present configuration."""
        self.midi.close()
        self.midi = self._make_midi()
        self.midi.start()

    def change_day_parts(self, day_parts: DayParts | None) -> None:
        """None: no more of them."""
        self.day_parts = day_parts
        self._set_volume()

    def make_sink(self, name: str, section: Any) -> SinkThread:
        """One that plays what is heard from now on. Raises whatever its plugin does."""
        sink = self._open_sink(name, section)
        return self._sink_thread(name, lambda: sink)

    def _open_sink(self, name: str, section: Any) -> Sink:
        return self.plugins.sink(name)(section, self.sink_rate, self.config.audio.channels)

    def _sink_thread(self, name: str, make: Callable[[], Sink]) -> SinkThread:
        return SinkThread(name, make, self.shared.tap_reader(), self.log.saying(f"sink.{name}", self.print))

    def play(self, fade: float | None = None) -> None:
        """Fade in over `fade` seconds."""
        self._fade_to(1, PLAY_FADE_SECONDS if fade is None else fade)

    def stop(self, fade: float | None = None) -> None:
        """Fade out over `fade` seconds and rest: the generator pauses as well, and goes on where it was."""
        self._fade_to(0, PLAY_FADE_SECONDS if fade is None else fade)

    def panic(self, on: bool) -> None:
        """Silence within 50 ms until released."""
        self.shared.control[PlayerControl.PANIC] = float(on)

    def select_mashup(self, name: str) -> None:
        """Let another mashup decide. Raises PluginError when there is none of that name."""
        self.mashups.select(name)

    def reprime(self, slot: int, seed: int | None = None) -> None:
        """Let a slot's voice start over from a piece of its album, with this seed or one of its own making."""
        if slot not in (s.number for s in self.slots):
            raise UsageError(f"slot {slot} is empty", "Only a voice can start over")
        seeded = {} if seed is None else {"seed": seed}
        self._tell_generator({"cmd": "reprime", "slot": slot - 1, **seeded})

    def _tell_generator(self, command: Message) -> bool:
        """False where there is no generator at the moment."""
        if self.generator.child:
            self.generator.child.send(command)
        return self.generator.child is not None

    def load(self, slot: int, id: str, prime: str | None, tell: Tell) -> None:
        """Let a model of the library come into a slot, numbered from 1. See `LiveSlots.load`."""
        self.slots.load(slot, id, prime, tell)

    def unload(self, slot: int, tell: Tell) -> None:
        """Let a slot's voice go."""
        self.slots.unload(slot, tell)

    # What presets recall; see presets.desk.Stage.

    @property
    def mashup(self) -> str:
        """The selected one's name."""
        return self.mashups.selected

    @property
    def mashup_names(self) -> list[str]:
        """Of all that can be selected."""
        return list(self.plugins.mashups)

    @property
    def max_slots(self) -> int:
        return self.config.max_slots

    @property
    def models(self) -> dict[int, str]:
        """By the number of the slot they are in, or on their way to."""
        return self.slots.models

    def check_model(self, id: str) -> None:
        """Raises CheckpointError where the library has no such model, or one that cannot play with the others."""
        self.slots.check_model(id)

    def check_slot(self, slot: int) -> None:
        """Raises UsageError where that slot cannot change now."""
        self.slots.check_slot(slot)

    def change_slot(self, slot: int, id: str) -> None:
        """Let a model of the library come into a slot, or with an empty id the present one go."""
        if not id and set(self.models) == {slot}:
            raise UsageError(f"slot {slot} holds the only voice", "Load another one first")
        if id:
            self.slots.load(slot, id, None, _tell_nobody)
        else:
            self.slots.unload(slot, _tell_nobody)

    def learn_midi(self, address: str) -> None:
        """Let the next MIDI control that is moved be the one for an address. Raises ConfigError."""
        self.midi.learn(address)

    def _fade_to(self, playing: int, seconds: float) -> None:
        self.shared.control[PlayerControl.FADE_SECONDS] = seconds
        self.shared.control[PlayerControl.PLAYING] = float(playing)

    # Starting

    def _make_parameters(self, knobs: list[Parameter]) -> ParameterTable:
        """The table, at the values that the configuration asks for."""
        table = ParameterTable(knobs, self.shared.parameters)
        table.set_value("volume", self.config.volume)
        for number, slot in enumerate(self.config.slots, 1):
            for parameter in SLOT_PARAMETERS:
                table.set_value(f"slot/{number}/{parameter.id}", getattr(slot, parameter.id))
        self.mashups.use(table)
        return table

    def _parameter_changed(self, parameter: Parameter, value: float) -> None:
        if parameter.id == "volume":
            self._set_volume()

    def _set_volume(self) -> None:
        ceiling = self.day_parts.ceiling if self.day_parts else VOLUME.high
        self.shared.control[PlayerControl.VOLUME] = min(self.parameters.get("volume"), ceiling)

    def _make_midi(self, lenient: bool = False) -> MidiRoom:
        space = AddressSpace(self.parameters, commands(self))
        return MidiRoom(
            self.config.midi,
            self.parameters,
            perform=space.perform,
            transport=Transport(self.shared.transport_segment),
            selector=self._selector,
            say=self.say,
            lenient=lenient,
        )

    def _has_sink(self, sink: configuration.Sink) -> bool:
        checked = partial(check_sink, self.plugins, sink, "the configuration", self.config.sinks.index(sink))
        return self._lenient.has(f"sink {sink.name}", checked)

    def _open_day_parts(self) -> None:
        if self.config.dayparts:
            self.day_parts = DayParts(self.config.dayparts.expanduser(), self.presets, self.say)

    def start_sinks(self, sample_rate: int) -> None:
        """Once the player has said which rate the output really has."""
        stop_all(self.sinks)
        self.sink_rate = sample_rate
        self.sinks = [
            self._sink_thread(name, partial(self._open_sink, name, section)) for name, section in self.sink_configs
        ]

    def _announce(self) -> None:
        self.say(f"ambientd {__version__}")
        for slot in self.slots:
            album = slot.card.album
            self.say(f"  slot {slot.number}   {slot.id}: {album.title}, {album.artist} ({album.own_licence})")
        self.say(f"  mashup   {self.mashups.selected}")
        if osc := self.osc_room.server:
            query = f", described at http://{osc.host}:{osc.query.port}" if osc.query else ""
            self.say(f"  osc      {osc.host}:{osc.port}{query}")
        if self.config.midi.controllers:
            self.say(f"  midi     {', '.join(self.config.midi.controllers)}")

    # Stopping

    def _watch_signals(self) -> None:
        # A signal only wakes the selector; what it asks for is done in the loop.
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._terminal = Terminal()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._signalled(os.read(reader, 64)))

    def _signalled(self, numbers: bytes) -> None:
        ending = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGHUP} if self._terminal.closed else set())
        if not ending.intersection(numbers):
            if signal.SIGHUP in numbers:
                self._hung_up()
            return
        now = time.monotonic()
        if self._rest_at is not None:
            self._rest_at = now  # asked twice: no fade
            return
        end_for_sure()
        self.keeper.end()
        self.say("fading out")
        self._manager.stopping()
        self._fade_to(0, STOP_FADE_SECONDS)
        self._rest_at = now + STOP_FADE_SECONDS + self.shared.latency.device + 2 * TICK_SECONDS

    def _hung_up(self) -> None:
        try:
            self.reload({})
        except AmbientdError as error:
            self.say(f"reload refused: {error}")

    def _rested(self) -> bool:
        assert self._rest_at is not None
        playing = self.player.state is ProcessState.RUNNING
        return not playing or time.monotonic() >= self._rest_at

    def _stop(self) -> None:
        if self.reloader:
            self.reloader.close()
        stop_all(self.sinks)
        self.generator.stop()
        self.player.stop()
        self.midi.close()
        self.keeper.close()
        self.socket.close()
        self._manager.close()
        self.osc_room.close()
        self.log.event("daemon", "stopped")
        self.log.close()


def _tell_nobody(address: str, values: tuple[Any, ...]) -> None:
    """Whoever recalls a preset does not wait for what comes of it; `ambientd status` knows."""
