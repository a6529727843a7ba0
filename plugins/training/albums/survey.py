"""What an album is like, in numbers a musician can use, and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd_plugins.training.albums.loudness import block_powers, gated_loudness
from ambientd_plugins.training.albums.recording import Source, clipping, upsampled_from
from ambientd_plugins.training.albums.silence import level_db, silent_seconds
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.report.pictures import MELS, log_mel

if TYPE_CHECKING:
    from ambientd.plugin import Floats

WINDOW_SECONDS = 8.0
COLUMNS = 20
"""Of the picture, a window."""
SILENCE_DB, SILENCE_SECONDS = -60.0, 0.5
CLIPPED_TOO_OFTEN = 1e-4


def survey(tracks: Sequence[Track], sample_rate: int) -> dict[str, Any]:
    """The facts of an album in memory; see `Survey.facts`."""
    found = Survey(sample_rate)
    for track in tracks:
        found.add_source(track)
        found.add(track.audio)
    return found.facts()


class Survey:
    """Gathers facts stretch by stretch, so that an album need not be in memory at once."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.sources: list[Source] = []
        self.upsampled: Counter[int] = Counter()
        self.starts: list[float] = []
        self.columns: list[Floats] = []
        self.samples = self.sum = self.peak = self.silent = 0.0
        self.powers = [np.empty(0)]
        self.levels: list[float] = []
        self.within: list[Floats] = []
        self.means: list[Floats] = []

    def add_source(self, track: Track) -> None:
        """One file as it came: its rate, its clipping, and whether it reaches as high as its rate promises."""
        source = track.source or _as_it_is(track.audio, self.sample_rate)
        self.sources.append(source)
        if source.sample_rate >= self.sample_rate and (rate := upsampled_from(track.audio, self.sample_rate)):
            self.upsampled[rate] += 1

    def add(self, audio: Floats) -> None:
        """One stretch that will be trained on. audio: [samples], mono."""
        self.starts.append(self.samples / self.sample_rate)
        self.samples += len(audio)
        self.sum += float(audio.sum(dtype=np.float64))
        self.peak = max(self.peak, float(audio.max(initial=0)), -float(audio.min(initial=0)))
        self.silent += silent_seconds(audio, self.sample_rate, SILENCE_DB, SILENCE_SECONDS)
        self.powers.append(block_powers(audio, self.sample_rate))
        length = round(WINDOW_SECONDS * self.sample_rate)
        for offset in range(0, len(audio), length):
            window = audio[offset : offset + length]
            # A spectrum needs a little more than half a frame of sound.
            mel = log_mel(np.pad(window, (0, max(0, self.sample_rate // 10 - len(window)))), self.sample_rate)
            columns = max(1, round(COLUMNS * len(window) / length))
            self.columns += [part.mean(axis=1) for part in np.array_split(mel, columns, axis=1)]
            if offset and len(window) < length:
                continue  # a rest would weigh as much as a window
            self.levels.append(level_db(window))
            self.within.append(mel.std(axis=1))
            self.means.append(mel.mean(axis=1))

    def facts(self) -> dict[str, Any]:
        """Minutes, level, dynamics, DC, clipping, variety within and across 8 s windows, and warnings.

        Loudness is ITU-R BS.1770's; dynamics are between the quiet and the loud tenth of the windows; clipped
        runs are three samples and more in a row at full scale; silences are half a second and more under
        -60 dBFS. Variety is the standard deviation of the log-mel spectrum in dB, averaged over its bands: over
        time inside each window, and between the windows' means.
        """
        quiet, loud = np.quantile(self.levels, [0.1, 0.9]) if self.levels else (0, 0)
        sampled = sum(s.samples for s in self.sources)
        return {
            "minutes": self.samples / self.sample_rate / 60,
            "tracks": len(self.starts),
            "stretches": len(self.starts),
            "silent_minutes": self.silent / 60,
            "loudness_lufs": gated_loudness(np.concatenate(self.powers)),
            "peak_dbfs": float(20 * np.log10(self.peak + 1e-9)),
            "dynamics_db": float(loud - quiet),
            "dc": self.sum / max(1, self.samples),
            "clipped_share": sum(s.clipped for s in self.sources) / max(1, sampled),
            "clipped_runs": sum(s.clipped_runs for s in self.sources),
            "variety_within_db": float(np.mean(self.within)) if self.within else 0.0,
            "variety_across_db": float(np.std(self.means, axis=0).mean()) if self.means else 0.0,
            "sample_rates": sorted({s.sample_rate for s in self.sources}),
            "warnings": list(self._warnings()),
        }

    def _warnings(self) -> Iterable[str]:
        wanted, files = self.sample_rate, len(self.sources)
        for rate, count in sorted(Counter(s.sample_rate for s in self.sources).items()):
            if rate < wanted:
                yield f"{count} of {files} files have {rate} Hz, less than the model's {wanted}: treble is missing"
        for rate, count in sorted(self.upsampled.items()):
            yield f"{count} of {files} files hold nothing above {rate // 2} Hz, as if upsampled from {rate}"
        share = sum(s.clipped for s in self.sources) / max(1, sum(s.samples for s in self.sources))
        if share > CLIPPED_TOO_OFTEN:
            yield f"{share:.2%} of the samples are clipped: the model will learn the distortion too"

    def png(self, title: str) -> bytes:
        """The album's mel spectrogram; a line where a stretch begins."""
        from ambientd_plugins.training.albums.picture import album_png

        image = np.stack(self.columns, axis=1) if self.columns else np.zeros((MELS, 1), np.float32)
        return bytes(album_png(image, self.starts, self.samples / self.sample_rate, title))


def _as_it_is(audio: Floats, sample_rate: int) -> Source:
    clipped = clipping(audio[:, None])
    return Source(sample_rate, 1, len(audio), clipped.samples, clipped.runs)
