"""The journal's parts: the ring between its threads, its files, and what happens when there is no room."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.engine.engine import Engine
from ambientd.engine.entry_ring import EntryRing
from ambientd.engine.journal import Journal
from ambientd.engine.journal_files import Log, LogError, Segments
from ambientd.engine.journal_writer import JournalWriter
from ambientd.engine.mix_words import MixWords, apply, difference
from ambientd.engine.replay import Replay, survey
from ambientd.engine.voice import VoiceLoader
from ambientd.samplernn.checkpoint import save
from ambientd.types import BLOCK, Mix

RATE = 16_000
HEADER = {"format": 2, "ambientd": "0", "kernel": "k", "precision": "int8", "sample_rate": RATE, "channels": 1,
          "slots": 2, "began": 0.0}  # fmt: skip


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 300), max_size=3)), max_size=60))
def test_what_goes_into_the_ring_comes_out_in_order(steps) -> None:
    """None takes one out; sizes append so many parts."""
    ring, expected = EntryRing(1024), deque()
    for number, step in enumerate(steps):
        if step is None:
            assert ring.take() == (expected.popleft() if expected else None)
            continue
        parts = [np.full(size, (number + size) % 256, np.uint8) for size in step]
        if ring.append(number % 6, number << 20, parts):
            expected.append((number % 6, number << 20, b"".join(part.tobytes() for part in parts)))
        else:
            assert expected or sum(step) > 512 - 64
    while expected:
        assert ring.take() == expected.popleft()
    assert ring.take() is None


def test_an_entry_that_never_fits_is_refused_and_the_ring_lives_on() -> None:
    ring = EntryRing(1024)
    assert not ring.append(0, 0, [np.zeros(2000, np.uint8)])
    assert ring.append(1, 256, [np.ones(500, np.uint8)])
    assert ring.take() == (1, 256, b"\1" * 500)


@given(st.data())
def test_a_mix_survives_as_words_and_as_a_difference(data) -> None:
    rng, words = np.random.default_rng(data.draw(st.integers(0, 99))), MixWords(3, 2)
    last, there = words.empty(), words.empty()
    for _ in range(3):
        mix, back = Mix.solo(3, 2), Mix.solo(3, 2)
        for name in words.fields:
            array = getattr(mix, name)
            array[rng.random(array.shape) < 0.3] = rng.integers(0, 3) + rng.random(dtype=np.float32)
        now = words.of(mix)
        apply(difference(last, now), there)
        last = now
        words.get(there, back)
        for name in words.fields:
            np.testing.assert_array_equal(getattr(back, name), getattr(mix, name))


@pytest.mark.parametrize("written_at", [0, 4_000_000_000], ids=["long ago", "before the clock was set back"])
def test_the_oldest_segments_go_and_each_that_stays_can_be_read(tmp_path: Path, written_at: int) -> None:
    old = Segments(tmp_path / "1-old", HEADER, 1 << 20)
    old.write({"at": 0, "snapshot": {}}, bytes(300_000))
    old.close()
    for path in (tmp_path / "1-old").iterdir():
        os.utime(path, (written_at, written_at))
    segments = Segments(tmp_path / "2-new", HEADER, 1 << 20)
    for at in range(0, 60 * BLOCK, BLOCK):
        segments.write({"at": at, "snapshot": {"n": at}}, bytes(50_000))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) < 1 << 20
    segments.close()
    assert not (tmp_path / "1-old").exists()
    log = Log(tmp_path / "2-new")
    contents = survey(log)
    assert [p.at for p in contents.points] == list(range(contents.points[0].at, 60 * BLOCK, BLOCK))
    assert 5 < len(contents.points) < 20


class Show:
    """An engine with one voice, its journal, and a writer that writes when it is told to."""

    def __init__(self, folder: Path, model: Path, ring_bytes: int) -> None:
        self.engine, self.heard = Engine(2, 1, RATE), np.zeros((0, 1), np.float32)
        self.journal = Journal(2, 1, np.zeros(1), snapshot_blocks=10_000)
        self.journal.ring = EntryRing(ring_bytes)
        self.said: list[str] = []
        self.writer = JournalWriter(
            self.journal, lambda: Segments(folder, HEADER, 1 << 26), MixWords(2, 1), {0: "volume"}, self.said.append
        )
        self.engine.witness = self.journal
        self.engine.place(0, VoiceLoader().load(model, 1))
        self._rng = np.random.default_rng(0)

    def render(self, blocks: int) -> None:
        """With another mix for each block."""
        out, mix = np.zeros((BLOCK, 1), np.float32), Mix.solo(2, 1)
        for _ in range(blocks):
            mix.gains[1] = 0.5
            mix.gains[0], mix.temperature[0] = self._rng.random(2, dtype=np.float32) + np.float32(0.5)
            self.engine.render(mix, out)
            self.journal.turn(self.engine)
            self.heard = np.concatenate((self.heard, out))


def test_what_had_no_room_is_a_gap_and_a_snapshot_ends_it(tmp_path, model_files) -> None:
    folder = tmp_path / "show"
    show = Show(folder, model_files[0], ring_bytes=100_000)
    show.writer.open()
    for _ in range(4):
        show.render(10)
        show.writer.drain()
    show.render(1500)  # while nobody writes
    show.writer.drain()
    show.render(100)
    show.writer.drain()
    show.render(50)
    show.writer._time_due = 0.0
    show.writer.drain()
    log = Log(folder)
    contents = survey(log)
    (gap,) = contents.gaps
    (first, second) = (point.at for point in contents.points)
    assert (first, contents.end) == (0, len(show.heard))
    assert 40 * BLOCK < gap <= second < contents.end
    for start, end in ((0, 40 * BLOCK), (second, contents.end)):
        again = np.concatenate(list(Replay(log, contents, start, end).blocks()))
        np.testing.assert_array_equal(again, show.heard[start:end])
    with pytest.raises(LogError, match="has a gap"):
        Replay(log, contents, 0, gap + BLOCK)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_told_once_and_the_music_goes_on(tmp_path, model_files) -> None:
    folder = tmp_path / "show"
    folder.mkdir()
    (folder / "000001.jsonl").symlink_to("/dev/full")
    show = Show(folder, model_files[0], ring_bytes=100_000)
    show.writer.start()
    show.writer._thread.join(60)
    show.render(1200)
    assert len(show.said) == 1
    assert "not logged any more" in show.said[0]
    assert np.abs(show.heard[-BLOCK:]).max() > 0


def test_a_voice_that_rests_over_a_snapshot_comes_back_as_it_was(tmp_path, model_files) -> None:
    """As the governor lets it."""
    folder = tmp_path / "show"
    show = Show(folder, model_files[0], ring_bytes=1 << 20)
    show.writer.open()
    voice = VoiceLoader().load(model_files[1], 2)
    show.engine.place(1, voice)
    show.render(9)
    show.engine.place(1, None)
    show.render(5)
    assert show.journal._snapshot(show.engine)
    show.render(3)
    show.engine.place(1, voice)
    show.render(9)
    show.writer.drain()
    log = Log(folder)
    contents = survey(log)
    assert [point.at for point in contents.points] == [0, 14 * BLOCK]
    for start in (0, 14 * BLOCK):
        again = np.concatenate(list(Replay(log, contents, start, 26 * BLOCK).blocks()))
        np.testing.assert_array_equal(again, show.heard[start:])


def test_morphed_weights_are_replayed_as_they_were_and_when_they_were(tmp_path, make_checkpoint) -> None:
    paths, folder = [], tmp_path / "show"
    for seed in range(2):
        checkpoint = make_checkpoint(dim=32, frame_sizes=(4, 512), seed=seed)
        card = checkpoint.card.model_copy(update={"family": "sea"})
        paths.append(tmp_path / f"sibling-{seed}.safetensors")
        save(paths[-1], card, checkpoint.tensors, checkpoint.prime)
    show = Show(folder, paths[0], ring_bytes=1 << 20)
    show.writer.open()
    show.engine.place(1, VoiceLoader().load(paths[1], 2))
    out, mix = np.zeros((BLOCK, 1), np.float32), Mix.solo(2, 1)
    mix.gains[0] = 1
    for block in range(60):
        mix.morph[:] = [[1, block / 30], [0, 0]]
        show.engine.render(mix, out)
        show.journal.turn(show.engine)
        show.heard = np.concatenate((show.heard, out))
        if block == 40:
            show.engine.place(1, None)
        if block in (20, 50):
            assert show.journal._snapshot(show.engine)
    show.writer.drain()
    log = Log(folder)
    contents = survey(log)
    assert [point.at // BLOCK for point in contents.points] == [0, 21, 51]
    assert sum("morph" in line for _, line in log.lines()) > 4
    for point in contents.points:
        heard = np.concatenate(list(Replay(log, contents, point.at, contents.end).blocks()))
        np.testing.assert_array_equal(heard, show.heard[point.at :])
