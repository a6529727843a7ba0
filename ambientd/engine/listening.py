"""One ear a slot, kept apart from the sound: the render thread only copies what voices drew; a thread listens.

Voices are listened to where they are heard: one that the mashup or the governor silences, that is turned down or
frozen on purpose, is not ill. Verdicts go up as events, once a second of audio while something is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.arrays import Tokens
from ambientd.engine.engine import Engine
from ambientd.engine.voice import Voice
from ambientd.types import BLOCK

if TYPE_CHECKING:
    from ambientd.engine.ear import Ear

WELL, UNHEARD = "healthy", "unheard"
"""An `ear.State`; and what is told of one that was ill when it was silenced."""
PAUSE = 0.1
"""Seconds between two looks of the listening thread."""
KEPT = 4
"""Seconds of tokens that wait for it; of a slot that it is later with than that, the oldest are lost."""
HEARD = 0.003
"""Gain (-50 dB) below which nobody hears a voice."""
HELD_FREEZE, HELD_STRETCH = 0.05, 1.5
"""From here on a voice is meant to stand still, or nearly."""

Report = Callable[[dict[str, Any]], None]


class _Slot:
    """What a voice drew lately. Written by the render thread; `written` last, so that what it counts is there."""

    def __init__(self, frames: int) -> None:
        self.tokens = np.zeros(frames, np.uint8)
        self.written = self.begun = 0
        """Tokens so far; and when its present voice was first to be heard without a break."""
        self.voice: Voice | None = None
        self.held = False
        self.missing = 0
        """Samples since it was heard last."""

    def begin(self, voice: Voice | None) -> None:
        self.begun, self.voice = self.written, voice

    def add(self, drawn: Tokens) -> None:
        place = self.written % len(self.tokens)
        self.tokens[place : place + BLOCK] = drawn
        self.written += BLOCK


class Listening:
    """report: called by the listening thread with {"event": "health", "slot", "id", "state", "at"}; at: in seconds of
    audio since the generator began."""

    def __init__(self, slots: int, sample_rate: int, report: Report) -> None:
        self._rate, self._report = sample_rate, report
        frames = KEPT * sample_rate // BLOCK * BLOCK
        self._slots = [_Slot(frames) for _ in range(slots)]
        self._position = 0
        self._ears: dict[int, tuple[Voice, int, Ear]] = {}
        self._read = [0] * slots

    def start(self) -> None:
        threading.Thread(target=self._run, name="listening", daemon=True).start()

    def block(self, engine: Engine) -> None:
        """Render thread, after each block: copies 256 bytes a voice, nothing else."""
        mix, playing, drawn = engine.mix, engine.playing, engine.drawn
        heard = np.abs(mix.gains).max(axis=1) > HEARD
        for number, slot in enumerate(self._slots):
            voice = engine.voices[number] if playing[number] and heard[number] else None
            slot.missing = 0 if voice else slot.missing + BLOCK
            # Between two voices there may be a moment without.
            if (voice or slot.missing >= self._rate) and voice is not slot.voice:
                slot.begin(voice)
            if voice:
                slot.held = bool(mix.freeze[number] > HELD_FREEZE or mix.stretch[number] > HELD_STRETCH)
                slot.add(drawn[number])
        self._position += BLOCK

    def forget(self, number: int) -> None:
        """Render thread: something was done for the voice, so what came before tells nothing."""
        self._slots[number].begun = self._slots[number].written

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(PAUSE):
            self.listen()

    def listen(self) -> None:
        """The listening thread, or a test: hear every whole second that is there."""
        for number in range(len(self._slots)):
            while self._hear(number):
                pass

    def _hear(self, number: int) -> bool:
        """One more second of a slot. False: there is none."""
        slot = self._slots[number]
        voice, begun, written = slot.voice, slot.begun, slot.written
        if voice is None:
            gone = self._ears.pop(number, None)
            if gone and gone[2].state != WELL:
                self._tell(number, gone[0].info.id, UNHEARD)
            return False
        known = self._ears.get(number)
        if known is None or known[0] is not voice:
            fault = known[2].state if known else None
            known = voice, begun, _ear(voice)
            known[2].state = fault or known[2].state  # the next one is well when it has shown it
        elif known[1] != begun:
            known = voice, begun, known[2]
            known[2].forget()
        self._ears[number] = known
        start = max(self._read[number], begun, written - len(slot.tokens) + self._rate)
        if written - start < self._rate:
            return False
        self._read[number] = start + self._rate
        self._judge(number, known[2], slot.tokens[np.arange(start, start + self._rate) % len(slot.tokens)])
        return True

    def _judge(self, number: int, ear: Ear, tokens: Tokens) -> None:
        slot, before = self._slots[number], ear.state
        state = ear.hear(tokens, slot.held)
        if state != WELL or before != WELL:
            self._tell(number, self._ears[number][0].info.id, state)

    def _tell(self, number: int, id: str, state: str) -> None:
        at = round(self._position / self._rate, 2)
        self._report({"event": "health", "slot": number, "id": id, "state": str(state), "at": at})


def _ear(voice: Voice) -> Ear:
    # SciPy's part of it takes a while to import: here, and not before the first sound.
    from ambientd.engine.ear import Ear
    from ambientd.samplernn.scores import Scores

    return Ear(voice.info, Scores.from_dict(dict(voice.album_scores)))
