"""The real daemon, a place for it to play to, and an ear at that place. The soak's process.

Where PulseAudio can be had it plays to a null sink of a server of the rig's own, and what that sink's monitor hears is
listened to. Elsewhere it plays to its clock, and what the player delivers is listened to through a sink plugin.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ambientd.audio.device import CLOCK_SPEED
from ambientd.soak import ear
from ambientd.soak.ear import Ear
from ambientd.soak.running import Running, makes_new_sound, process
from ambientd.soak.scenario import Missed
from ambientd.soak.sound_servers import RATE, Pulse

if TYPE_CHECKING:
    from ambientd.arrays import Floats

START_SECONDS = 240.0
"""The very first start compiles the kernels."""
FADE_IN_SECONDS = 1.0
LAST_WORDS = 5
"""Lines."""
MEMORY_LIMIT_MB = 1024
"""Of the generator: little, so that one that eats memory gets there soon."""


class Rig:
    """Use it in a `with`. models: checkpoints, one a slot. sets: configuration beside the rig's own.

    server: where to play; None: the clock. home: a folder that is there and empty.
    disk: another one, for models, configuration and state; by default home as well. speed: of the clock, how many
    times as fast as music; then there is no server. tapped: listen at the tap even where there is a server, which can
    then be taken away. options: of `ambientd run`, beside --set. environment: of the daemon, beside what it needs.
    """

    rate = RATE

    def __init__(
        self,
        home: Path,
        models: Sequence[Path],
        sets: Sequence[str] = (),
        server: Pulse | None = None,
        disk: Path | None = None,
        speed: float = 1.0,
        tapped: bool = False,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home, self.models, self.sets = home, tuple(models), tuple(sets)
        self.server = server if speed == 1 else None
        self.speed = speed
        self.disk = disk or home
        self.tapped = tapped or self.server is None
        self.options, self._environment = tuple(options), {CLOCK_SPEED: str(speed)} | dict(environment or {})
        self._stack = ExitStack()

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            self.furnish()
            self.said = self.home / "said.txt"
            log = stack.enter_context(self.said.open("wb"))
            listener = self._pipe() if self.tapped else None
            environment = dict(self.server.env if self.server else os.environ) | self._environment
            sets = [*self._sets(), *self.sets]
            self.daemon = Running(self.home, sets, environment, log, disk=self.disk, options=self.options)
            stack.callback(self._end)
            self.ear = Ear(self._recorder(stack) if listener is None else listener, RATE)
            self.until(makes_new_sound, START_SECONDS)
            self.until_heard(RATE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    # The daemon

    @property
    def output(self) -> str:
        """What it plays to, for people."""
        return "a PulseAudio null sink" if self.server else "the clock, heard through a sink plugin"

    def status(self) -> dict[str, Any]:
        """Raises Missed where it does not answer."""
        status = self.daemon.status()
        if status is None:
            raise Missed("the daemon does not answer")
        return status

    def until(self, condition: Callable[[dict[str, Any]], Any], seconds: float) -> dict[str, Any]:
        """The first status that fulfils `condition`. Raises Missed, with the daemon's last words."""
        try:
            return self.daemon.until(condition, seconds)
        except Missed as error:
            raise Missed(error.what, f"{error.remedy}; it printed {self.lines()[-LAST_WORDS:]}") from None

    def osc(self, address: str, *values: Any) -> None:
        """For example `rig.osc("/ambientd/volume/value", 0.5)`."""
        self.daemon.osc(address, *values)

    def pid(self, role: str) -> int:
        """Of the generator, player or supervisor that runs now. Raises Missed."""
        pid = process(self.status(), role)["pid"]
        if pid is None:
            raise Missed(f"there is no {role}")
        return int(pid)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to one of the daemon's processes."""
        os.kill(self.pid(role), number)

    def lines(self) -> list[str]:
        """What it has printed for people so far."""
        return self.said.read_text(errors="replace").splitlines()

    def furnish(self) -> None:
        """Put onto the disk what the daemon finds there when it starts; done by itself, unless it was done before."""
        library = self.disk / "data" / "ambientd" / "models"
        if library.exists():
            return
        library.mkdir(parents=True)
        for path in set(self.models):
            (library / path.name).symlink_to(path.resolve())
        self.add_plugin("ear", ear.SINK)

    def recorder(self, path: Path) -> list[str]:
        """The configuration of a wav sink beside the rig's own."""
        number = 1 if self.tapped else 0
        return [f"sinks.{number}.name=wav", f"sinks.{number}.path={path}"]

    def add_plugin(self, name: str, text: str) -> None:
        """A file in the daemon's plugin folder, which it reads when it starts: for the rig that is not yet entered."""
        folder = self.disk / "config" / "ambientd" / "plugins"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)

    @contextmanager
    def fresh(
        self,
        *sets: str,
        plugins: dict[str, str] | None = None,
        models: Sequence[Path] = (),
        disk: Path | None = None,
        speed: float = 1.0,
        options: Sequence[str] = (),
        start: bool = True,
        server: Pulse | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Rig]:
        """Another daemon with the same models (or others) and output, while this one rests.

        server: another one, which may be taken away: it is listened to at the tap.
        start: enter it as well. Without, what it has in its home can be arranged before.
        """
        self.osc("/ambientd/stop", 0.1)
        self.until(lambda status: status["rms"] == 0, 10)
        try:
            with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as folder:
                rig = Rig(
                    Path(folder), models or self.models, [*self.sets, *sets], server or self.server, disk, speed,
                    tapped=server is not None, options=options, environment=environment,
                )  # fmt: skip
                for name, text in (plugins or {}).items():
                    rig.add_plugin(name, text)
                if start:
                    with rig:
                        yield rig
                else:
                    yield rig
        finally:
            self.osc("/ambientd/play", 0.1)
            self.until(lambda status: status["rms"] > 0, 10)
            self.listen(FADE_IN_SECONDS)  # also what is in the server's buffer from before

    # The ear

    def mark(self) -> int:
        """Where in what is heard we are; for `since`."""
        return self.ear.frames

    def since(self, mark: int) -> Floats:
        """What was heard from a mark on [frames], mono."""
        return self.ear.since(mark)

    def until_heard(self, frames: int) -> None:
        """Wait until so many more have come. Raises Missed when they do not."""
        wanted = self.ear.frames + frames
        deadline = time.monotonic() + 10 + 2 * frames / RATE
        while self.ear.frames < wanted:
            if time.monotonic() > deadline:
                raise Missed("nothing is heard any more")
            time.sleep(0.02)

    def listen(self, seconds: float) -> None:
        """Let it play."""
        self.until_heard(int(seconds * RATE))

    # Setting up

    def _sets(self) -> list[str]:
        slots = ", ".join(f'{{model="{path.stem}"}}' for path in self.models)
        words = [f"slots=[{slots}]", f"audio.sample_rate={RATE}", f"engine.memory_limit_mb={MEMORY_LIMIT_MB}"]
        if self.tapped:
            words.append(f'sinks=[{{name="ear", path="{self.home / "ear"}"}}]')
        if self.server:
            return [*words, "audio.output=device", f"audio.device={self.server.device}"]
        return [*words, "audio.output=null"]

    def _pipe(self) -> int:
        os.mkfifo(self.home / "ear")
        # For writing as well, or opening it would wait for the daemon.
        return os.open(self.home / "ear", os.O_RDWR)

    def _recorder(self, stack: ExitStack) -> int:
        assert self.server
        child = subprocess.Popen(self.server.recorder(), env=self.server.env, stdout=subprocess.PIPE)
        stack.callback(child.wait)
        stack.callback(child.kill)
        assert child.stdout
        return os.dup(child.stdout.fileno())

    def _end(self) -> None:
        if self.daemon.process.poll() is None:
            try:
                self.daemon.end()
            except subprocess.TimeoutExpired:
                self.daemon.process.kill()
                self.daemon.process.wait()


@contextmanager
def sound_server() -> Iterator[Pulse | None]:
    """A PulseAudio of one's own; None where it is not installed or PortAudio does not see it."""
    with tempfile.TemporaryDirectory(prefix="ambientd-pulse-") as folder, ExitStack() as stack:
        if Pulse.missing():
            yield None
            return
        server = Pulse(Path(folder))
        stack.enter_context(server)
        find = f"from ambientd.audio.device import find_device; find_device({server.device!r})"
        found = subprocess.run([sys.executable, "-c", find], env=server.env, capture_output=True)
        yield server if found.returncode == 0 else None
