"""The supervisor: what `ambientd run` is. One thread and one selector loop; it makes no sound itself.

It owns everything that must outlive its children: ring, bed, tap, parameters, OSC. The generator and the
player may die, hang or be killed at any time; they are started again, and the music goes on.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientd import __version__
from ambientd import config as configuration
from ambientd.audio.bed import Bed
from ambientd.audio.chain import PlayerControl
from ambientd.audio.device import DEFAULT, NULL
from ambientd.audio.player import MODULE as PLAYER
from ambientd.audio.player import PlayerConfig, PlayerStatus
from ambientd.config import Config
from ambientd.control.osc import OscServer
from ambientd.engine.generator_config import MODULE as GENERATOR
from ambientd.engine.generator_config import GeneratorConfig, GeneratorStatus, SlotConfig
from ambientd.errors import CheckpointError, UsageError
from ambientd.ipc.child import Child, Message
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.runtime import status_socket_path
from ambientd.ipc.tap import Tap, TapReader
from ambientd.ipc.values import Values
from ambientd.parameters import (
    SLOT_PARAMETERS,
    Parameter,
    ParameterTable,
    builtin_parameters,
    mashup_parameters,
)
from ambientd.plugin_manager import Plugins
from ambientd.samplernn import library
from ambientd.samplernn.checkpoint import Card, load_card
from ambientd.sink_threads import SinkThread
from ambientd.status_socket import StatusSocket
from ambientd.supervised import ProcessState, Supervised

TICK_SECONDS = 0.05
TAP_SECONDS = 4.0
BED_SECONDS = 180.0
DEFAULT_MODELS = 2
STOP_FADE_SECONDS = 1.0
PLAY_FADE_SECONDS = 2.0


@dataclass(frozen=True)
class Latency:
    """Seconds. ahead: how full the generator keeps the ring. device: asked of the audio device."""

    ahead: float
    device: float
    fade_to_bed: float


COUNTERS = (PlayerStatus.RING_UNDERRUNS, PlayerStatus.UNDERFLOWS, PlayerStatus.LATE, PlayerStatus.BED_SECONDS)
SEED_STRIDE = 1_000_003
DEVICE_ATTEMPTS = 3
LATENCIES = {"normal": Latency(0.5, 0.25, 0.15), "live": Latency(0.12, 0.06, 0.04)}


@dataclass
class LoadedSlot:
    """What the supervisor knows of a slot; the voice itself is the generator's."""

    number: int
    id: str
    path: Path
    card: Card
    seed: int
    state: str = "loading"


class Daemon:
    """Rooms start in order and stop in reverse. say: prints a line for the person who started it."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self.config, self._say = config, say
        self.plugins = Plugins.discover()
        self.slots = self._find_slots()
        self.sample_rate = self.slots[0].card.sample_rate
        self.latency = LATENCIES[config.latency]
        self.mashup = config.mashup.name
        self.output: Message = {}
        self.shed: list[str] = []
        """What the generator does without because the machine is too slow for it."""
        self._mashup_options = self._check_mashups()
        self._sink_configs = self._check_sinks()
        self._started = time.monotonic()
        self._rest_at: float | None = None
        self._selector = selectors.DefaultSelector()

        self._make_memory()
        self.parameters = self._make_parameters()
        self.socket = StatusSocket(status_socket_path(), self.info)
        self.osc = OscServer(config.osc, self) if config.osc.enabled else None
        self.player = self._make_player()
        self.generator = self._make_generator()
        self.sinks: list[SinkThread] = []

    def run(self) -> int:
        """Play until SIGINT or SIGTERM; returns the exit code."""
        self._watch_signals()
        self._announce()
        self.player.start()
        self.generator.start()
        self._selector.register(self.socket, selectors.EVENT_READ, self.socket.answer)
        if self.osc:
            self._selector.register(self.osc, selectors.EVENT_READ, self.osc.handle_ready)
        try:
            while self._rest_at is None or not self._rested():
                self._turn()
        finally:
            self._stop()
        return 0

    def _turn(self) -> None:
        for key, _ in self._selector.select(TICK_SECONDS):
            key.data()
        for event in self.player.events():
            self._player_said(event)
        for event in self.generator.events():
            self._generator_said(event)
        self.player.watch()
        self.generator.watch()

    # What OSC (and later MIDI and the web) may ask for; see control.osc.Instrument.

    def info(self) -> dict[str, Any]:
        """Everything about the running daemon, JSON-serialisable; also what `ambientd status` shows."""
        status, made = self._player_status, self._generator_status
        return {
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "processes": [
                {"role": "supervisor", "pid": os.getpid(), "state": "running", "restarts": 0, "faults": []},
                *(self._process(role) for role in (self.generator, self.player)),
            ],
            "slots": [
                {"slot": s.number, "id": s.id, "title": s.card.album.title, "seed": s.seed, "state": s.state}
                for s in self.slots
            ],
            "mashup": self.mashup,
            "playing": self._control[PlayerControl.PLAYING] > 0,
            "panic": self._control[PlayerControl.PANIC] > 0,
            "output": self.output,
            "sample_rate": self.sample_rate,
            "margin": round(made[GeneratorStatus.MARGIN], 3),
            "governor": {"level": len(self.shed), "shed": self.shed},
            "ring_seconds": round((self._ring.written - self._ring.read) / self.sample_rate, 3),
            "underruns": int(self._counted(PlayerStatus.RING_UNDERRUNS)),
            "device_underflows": int(self._counted(PlayerStatus.UNDERFLOWS)),
            "late_blocks": int(self._counted(PlayerStatus.LATE)),
            "bed_seconds": round(self._counted(PlayerStatus.BED_SECONDS), 2),
            "rms": round(status[PlayerStatus.RMS], 5),
            "osc": self.osc.info() if self.osc else None,
            "sinks": [{"name": s.sink.name, "state": s.state, "lost_frames": s.lost} for s in self.sinks],
        }

    def play(self, fade: float | None = None) -> None:
        """Fade in over `fade` seconds."""
        self._fade_to(1, PLAY_FADE_SECONDS if fade is None else fade)

    def stop(self, fade: float | None = None) -> None:
        """Fade out over `fade` seconds and rest: the generator pauses as well, and goes on where it was."""
        self._fade_to(0, PLAY_FADE_SECONDS if fade is None else fade)

    def panic(self, on: bool) -> None:
        """Silence within 50 ms until released."""
        self._control[PlayerControl.PANIC] = float(on)

    def select_mashup(self, name: str) -> None:
        """Let another mashup decide. Raises PluginError when there is none of that name."""
        self.plugins.mashup(name)
        self.mashup = name
        self.parameters.point("mashup", f"mashup/{name}")
        if self.generator.child:
            self.generator.child.send({"cmd": "select", "name": name, "options": self._mashup_options[name]})

    def reprime(self, slot: int, seed: int | None = None) -> None:
        """Let a slot's voice start over from a piece of its album, with this seed or one of its own making."""
        if slot not in (s.number for s in self.slots):
            raise UsageError(f"slot {slot} is empty", "Only a voice can start over")
        if self.generator.child:
            seeded = {} if seed is None else {"seed": seed}
            self.generator.child.send({"cmd": "reprime", "slot": slot - 1, **seeded})

    def _fade_to(self, playing: int, seconds: float) -> None:
        self._control[PlayerControl.FADE_SECONDS] = seconds
        self._control[PlayerControl.PLAYING] = float(playing)

    # Starting

    def _find_slots(self) -> list[LoadedSlot]:
        """The configured models that can be played. One that cannot costs a line, all of them the start."""
        ids = [slot.model for slot in self.config.slots] or [e.id for e in library.entries()][:DEFAULT_MODELS]
        seed = self.config.engine.seed
        base = secrets.randbits(30) if seed is None else seed
        found: list[LoadedSlot] = []
        for number, id in enumerate(ids, 1):
            own = self.config.slots[number - 1].seed if self.config.slots else None
            try:
                path = library.resolve(id)
                card = load_card(path)
                if found and card.sample_rate != found[0].card.sample_rate:
                    raise CheckpointError(
                        f"{id} runs at {card.sample_rate} Hz, the first model at {found[0].card.sample_rate} Hz",
                        "Play models of one sample rate together",
                    )
                found.append(LoadedSlot(number, id, path, card, base + number if own is None else own))
            except CheckpointError as error:
                self._say(f"slot {number} stays empty: {error}")
        if not found:
            raise CheckpointError(
                "no model can be played", "See `ambientd models list`, or train one (`ambientd train`)"
            )
        return found

    def _check_mashups(self) -> dict[str, dict[str, Any]]:
        """Each mashup's options; the configured one's are checked, with the file's key in the message."""
        chosen = self.plugins.mashup(self.config.mashup.name)
        configuration.validate(chosen.Config, self.config.mashup.options, "the configuration", "mashup")
        return {name: self.config.mashup.options if name == self.mashup else {} for name in self.plugins.mashups}

    def _check_sinks(self) -> list[tuple[str, Any]]:
        return [
            (
                sink.name,
                configuration.validate(
                    self.plugins.sink(sink.name).Config, sink.options, "the configuration", f"sinks.{index}"
                ),
            )
            for index, sink in enumerate(self.config.sinks)
        ]

    def _make_memory(self) -> None:
        rate, channels = self.sample_rate, self.config.audio.channels
        self._ring_frames = int(self.latency.ahead * rate)
        self._ring_segment = Segment.create(Ring.nbytes(self._ring_frames, channels))
        self._ring = Ring(self._ring_segment, self._ring_frames, channels)
        self._bed_frames = int(BED_SECONDS * rate)
        self._bed_segment = Segment.create(Bed.nbytes(self._bed_frames, channels))
        load_first_bed(Bed(self._bed_segment, self._bed_frames, channels, rate), self._say)
        self._tap_frames = int(TAP_SECONDS * self.config.audio.sample_rate)
        self._tap_segment = Segment.create(Tap.nbytes(self._tap_frames, channels))
        self._control_segment = Segment.create(Values.nbytes(len(PlayerControl)))
        self._control = Values(self._control_segment, len(PlayerControl))
        self._control[PlayerControl.VOLUME] = self.config.volume
        self._control[PlayerControl.PLAYING] = float(self.config.autoplay)
        self._player_segment = Segment.create(Values.nbytes(len(PlayerStatus)))
        self._player_status = Values(self._player_segment, len(PlayerStatus))
        self._earlier_players = dict.fromkeys(COUNTERS, 0.0)
        self._generator_segment = Segment.create(Values.nbytes(len(GeneratorStatus)))
        self._generator_status = Values(self._generator_segment, len(GeneratorStatus))

    def _make_parameters(self) -> ParameterTable:
        """Every knob there can be: indices never change, so that the generator reads them from shared cells."""
        parameters: list[Parameter] = list(builtin_parameters(self.config.max_slots))
        for name, mashup in self.plugins.mashups.items():
            parameters += mashup_parameters(name, mashup.parameters)
        self._cells_segment = Segment.create(Values.nbytes(len(parameters)))
        table = ParameterTable(parameters, Values(self._cells_segment, len(parameters)))
        table.point("mashup", f"mashup/{self.mashup}")
        table.listen(self._parameter_changed)
        table.set_value("volume", self.config.volume)
        for number, slot in enumerate(self.config.slots, 1):
            for parameter in SLOT_PARAMETERS:
                table.set_value(f"slot/{number}/{parameter.id}", getattr(slot, parameter.id))
        for name, mashup in self.plugins.mashups.items():
            options = mashup.Config.model_validate(self._mashup_options[name])
            for id, value in mashup.initial_values(options).items():
                table.set_value(f"mashup/{name}/{id}", value)
        return table

    def _parameter_changed(self, parameter: Parameter, value: float) -> None:
        if parameter.id == "volume":
            self._control[PlayerControl.VOLUME] = value

    def _make_player(self) -> Supervised:
        status = self._player_status
        return Supervised(
            "player",
            self._spawn_player,
            progress=lambda: status[PlayerStatus.FRAMES],
            busy=lambda: True,
            grace=15.0,
            patience=1.5,
            report=self._say,
        )

    def _make_generator(self) -> Supervised:
        return Supervised(
            "generator",
            self._spawn_generator,
            progress=lambda: self._ring.written,
            busy=lambda: self._ring.free > self._ring_frames // 2,
            grace=180.0,  # the very first start compiles the kernels
            patience=3.0,
            report=self._say,
        )

    def _counted(self, counter: PlayerStatus) -> float:
        """Over all players since the start: each begins at zero."""
        return self._earlier_players[counter] + self._player_status[counter]

    def _spawn_player(self) -> Child:
        for counter in COUNTERS:
            self._earlier_players[counter] = self._counted(counter)
            self._player_status[counter] = 0
        audio = self.config.audio
        device = NULL if audio.output == "null" else str(audio.device if audio.device is not None else DEFAULT)
        had_a_device = self.output.get("output", NULL) != NULL
        if not self.output and self.player.restarts >= DEVICE_ATTEMPTS and device != NULL:
            self._say("the sound system ends whoever opens it; playing to a clock instead, sinks and OSC work")
            device = NULL
        config = PlayerConfig(
            ring_fd=self._ring_segment.fd,
            ring_frames=self._ring_frames,
            resume_frames=int(0.7 * self._ring_frames),
            bed_fd=self._bed_segment.fd,
            bed_frames=self._bed_frames,
            tap_fd=self._tap_segment.fd,
            tap_frames=self._tap_frames,
            control_fd=self._control_segment.fd,
            status_fd=self._player_segment.fd,
            source_rate=self.sample_rate,
            channels=audio.channels,
            device=device,
            # A device that once played will come back; until it does, a clock would play to nobody.
            allow_null=not had_a_device,
            device_rate=audio.sample_rate,
            block=audio.block,
            latency=self.latency.device,
            fade_to_bed=self.latency.fade_to_bed,
        )
        return Child.spawn(PLAYER, config.to_json(), config.fds)

    def _spawn_generator(self) -> Child:
        config = GeneratorConfig(
            # Another seed each time, or a restart would play the same minutes again.
            slots=[
                SlotConfig(slot.number - 1, slot.id, str(slot.path), slot.seed + SEED_STRIDE * self.generator.restarts)
                for slot in self.slots
            ],
            max_slots=self.config.max_slots,
            sample_rate=self.sample_rate,
            channels=self.config.audio.channels,
            mashup=self.mashup,
            mashup_options=self._mashup_options[self.mashup],
            ring_fd=self._ring_segment.fd,
            ring_frames=self._ring_frames,
            values_fd=self._cells_segment.fd,
            cells={p.id: self.parameters.index(p.id) for p in self.parameters},
            status_fd=self._generator_segment.fd,
            precision=self.config.engine.precision,
            memory_limit_mb=self.config.engine.memory_limit_mb,
        )
        return Child.spawn(GENERATOR, config.to_json(), config.fds)

    def _start_sinks(self, sample_rate: int) -> None:
        """Once the player has said which rate the output really has."""
        channels = self.config.audio.channels
        for name, section in self._sink_configs:
            sink = self.plugins.sink(name)(section, sample_rate, channels)
            reader = TapReader(self._tap_segment, self._tap_frames, channels)
            self.sinks.append(SinkThread(sink, reader, self._say))

    def _announce(self) -> None:
        self._say(f"ambientd {__version__}")
        for slot in self.slots:
            album = slot.card.album
            self._say(f"  slot {slot.number}   {slot.id}: {album.title}, {album.artist} ({album.licence})")
        self._say(f"  mashup   {self.mashup}")
        if self.osc:
            self._say(f"  osc      {self.osc.host}:{self.osc.port}")

    # What the children say

    def _player_said(self, event: Message) -> None:
        if event["event"] == "started":
            self.player.ready()
            first = not self.output
            self.output = {k: v for k, v in event.items() if k != "event"}
            if event.get("notice"):
                self._say(f"{event['notice']} Playing to a clock instead; sinks and OSC work.")
            if first:
                self._start_sinks(event["sample_rate"])
                self._say(f"  output   {event['output']}, {event['sample_rate']} Hz")
        elif event["event"] == "failed":
            self._say(f"player: {event['what']}. {event['remedy']}")

    def _generator_said(self, event: Message) -> None:
        kind = event["event"]
        if kind == "ready":
            self.generator.ready()
            self.shed = []
        elif kind == "loaded":
            self._slot_state(event["slot"], "playing", event["seed"])
        elif kind == "failed":
            self._slot_state(event.get("slot"), f"failed: {event['what']}")
            self._say(f"generator: {event['what']}. {event['remedy']}".rstrip(". ") + ".")
        elif kind == "governor":
            self.shed = event["shed"]
            if event["state"] == "shed":
                self._say(f"too slow for everything, so {event['step']} rests for now")
            elif event["state"] == "restored":
                self._say(f"{event['step']} is back")
            elif event["state"] == "exhausted":
                self._say("this machine is too slow even for the rest; the bed helps out. Play smaller models")
        elif kind == "notice":
            self._say(f"generator: {event['what']}")
        elif kind == "mashup" and event["state"] != "running":
            self._say(f"mashup {event['name']}: {event['state']}, {event['reason']}")

    def _slot_state(self, index: int | None, state: str, seed: int | None = None) -> None:
        for slot in self.slots:
            if index is not None and slot.number == index + 1:
                slot.state = state
                slot.seed = slot.seed if seed is None else seed

    def _process(self, supervised: Supervised) -> dict[str, Any]:
        return {
            "role": supervised.role,
            "pid": supervised.pid,
            "state": supervised.state.value,
            "restarts": supervised.restarts,
            "faults": list(supervised.faults),
        }

    # Stopping

    def _watch_signals(self) -> None:
        # A signal only wakes the selector; what it asks for is done in the loop.
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._signalled(os.read(reader, 64)))

    def _signalled(self, numbers: bytes) -> None:
        if not {signal.SIGINT, signal.SIGTERM}.intersection(numbers):
            return
        now = time.monotonic()
        if self._rest_at is not None:
            self._rest_at = now  # asked twice: no fade
            return
        self._say("fading out")
        self._fade_to(0, STOP_FADE_SECONDS)
        self._rest_at = now + STOP_FADE_SECONDS + self.latency.device + 2 * TICK_SECONDS

    def _rested(self) -> bool:
        assert self._rest_at is not None
        playing = self.player.state is ProcessState.RUNNING
        return not playing or time.monotonic() >= self._rest_at

    def _stop(self) -> None:
        for sink in self.sinks:
            sink.stop()
        self.generator.stop()
        self.player.stop()
        if self.osc:
            self.osc.close()
        self.socket.close()


def load_first_bed(bed: Bed, say: Callable[[str], None]) -> None:
    """Fill the bed with what was rendered beforehand, until the generator has made minutes of its own."""
    import numpy as np
    import soundfile
    import soxr

    path = library.bundled_folder() / "bed.flac"
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        say(f"no bed to begin with ({path}: {error}); the first seconds are silent")
        return
    if rate != bed.sample_rate:
        audio = soxr.resample(audio, rate, bed.sample_rate)
    bed.load(np.ascontiguousarray(np.broadcast_to(audio[:, :1], (len(audio), bed.channels))))
