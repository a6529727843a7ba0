"""Brings the generator's voices onto a GPU while they already play on the CPU. A thread that opens it; render thread.

The seat is taken once, between two blocks. Whatever goes wrong before that is told, and the CPU goes on; what goes
wrong after it ends the process (`GpuFault`), for a GPU's fault poisons all that was on it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ambientd.errors import AmbientdError, DeviceError

if TYPE_CHECKING:
    from ambientd.engine.engine import Engine
    from ambientd.engine.kernels.cuda.bank import DeviceBank
    from ambientd.engine.kernels.cuda.choose import Gpu
    from ambientd.engine.voice import Voice


class GpuSeat:
    """tell: prints a line. playing: called with the GPU's name when it plays."""

    def __init__(self, tell: Callable[[str], None], playing: Callable[[str], None]) -> None:
        self._tell, self._playing = tell, playing
        self._bank: DeviceBank | None = None
        self._opened: queue.SimpleQueue[tuple[Gpu, DeviceBank] | AmbientdError] = queue.SimpleQueue()
        self._taken = False

    @staticmethod
    def load() -> None:
        """Import what it takes, before the first block: that would hold the interpreter, and the music, for seconds."""
        try:
            from ambientd.engine.kernels.cuda.bank import warm

            warm()
        except ImportError as error:
            raise DeviceError(f"the GPU cannot be used ({error})", 'Set engine.device to "cpu"') from None

    def open(self, engine: Engine) -> None:
        """Begin to look for a GPU, on a thread of its own."""
        threading.Thread(target=self._open, args=(engine,), name="gpu", daemon=True).start()

    def _open(self, engine: Engine) -> None:
        try:
            from ambientd.engine.kernels.cuda.choose import open_gpu

            gpu = open_gpu()
            gpu.warm(engine.places, engine.channels)
            bank = gpu.bank(engine.places, engine.channels)
            for voice in engine.voices:
                if voice:
                    bank.check(voice)
            self._opened.put((gpu, bank))
        except AmbientdError as error:
            self._opened.put(error)
        except Exception as error:  # torch missing, a broken driver
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._opened.put(DeviceError(f"the GPU cannot be used ({reason})", 'Set engine.device to "cpu"'))

    def prepare(self, voice: Voice) -> None:
        """Loading thread: get a voice ready. Raises DeviceError where the GPU plays and cannot play this one."""
        if self._bank:
            self._bank.check(voice)

    def turn(self, engine: Engine, fallback: bool) -> None:
        """Between two blocks: move over when all is ready. Raises DeviceError where that fails without a fallback."""
        if self._taken or self._opened.empty():
            return
        self._taken = True
        found = self._opened.get()
        try:
            if isinstance(found, AmbientdError):
                raise found
            gpu, bank = found
            for voice in engine.voices:
                if voice:
                    bank.check(voice)
        except AmbientdError as error:
            if not fallback:
                raise
            self._tell(f"{error.what}; playing goes on with the CPU")
            return
        engine.hand_over(bank)
        self._bank = bank
        for notice in gpu.notices:
            self._tell(notice)
        self._playing(gpu.name)
