"""Splits that share nothing, streams that can be resumed."""

import numpy as np
import pytest

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import forecast_track
from ambientd_plugins.training import dataset
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.errors import AlbumError

ARCHITECTURE = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1)


def numbered(*lengths):
    """Tracks in which every pair of neighbours tells where it stands."""
    return [((np.arange(n) * 7 + i * 50) % 256).astype(np.uint8) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("lengths", [(40_000,), (9000, 8000), (5000, 6000, 4000, 7000, 5000, 9000)])
@pytest.mark.parametrize("how", ["auto", "time", "track"])
def test_a_tenth_is_held_out_and_shares_nothing(lengths, how):
    tracks = numbered(*lengths)
    split = dataset.split(tracks, 200, how, np.random.default_rng(1))
    held = sum(map(len, split.validation + split.test))
    assert split.train_samples + held == sum(lengths)
    assert 0.04 * sum(lengths) < held < 0.25 * sum(lengths)
    parts = [*split.train, *split.validation, *split.test]
    assert split.test
    assert not any(np.shares_memory(a, b) for i, a in enumerate(parts) for b in parts[:i])


def test_a_short_album_is_refused():
    with pytest.raises(AlbumError, match="too short"):
        dataset.split(numbered(1500), 1024, "auto", np.random.default_rng(1))


def test_a_short_album_has_nothing_left_to_test_on():
    split = dataset.split(numbered(4000), 300, "time", np.random.default_rng(1))
    assert (len(split.validation[0]), split.test) == (400, [])


def test_albums_are_balanced_by_the_square_root_of_their_length():
    tracks = numbered(1600, 1600, 800)
    share = dataset.shares(tracks, 1, [0, 0, 1])
    assert np.allclose(share[:2].sum() / share[2], 2)
    assert np.allclose(dataset.shares(tracks, 1), [0.4, 0.4, 0.2])


def test_rows_of_two_processes_are_those_of_one():
    tracks = numbered(50_000, 30_000)
    whole = streams(tracks)
    parts = [dataset.Streams(tracks, 4, 64, ARCHITECTURE, 100, 3, rows) for rows in (range(2), range(2, 4))]
    for _ in range(20):
        tokens, jumped, forecasts = whole.next()
        assert forecasts is None
        (a, jumped_a, _), (b, jumped_b, _) = (part.next() for part in parts)
        assert np.array_equal(tokens, np.concatenate([a, b]))
        assert np.array_equal(jumped, np.concatenate([jumped_a, jumped_b]))


def test_forecasts_go_along_with_the_samples_they_are_of():
    hearing = ARCHITECTURE.model_copy(update={"forecast": Forecast(orders=(32,), rates=(0.01,))})
    tracks = numbered(5000, 3000)
    walk = dataset.Streams(tracks, 4, 64, hearing, 100, 3)
    known = [forecast_track(track, hearing) for track in tracks]
    for _ in range(10):
        _, _, forecasts = walk.next()
        for row, (track, end) in enumerate(zip(walk.track, walk.position, strict=True)):
            wanted = known[track][end - 64 : end]
            assert np.array_equal(forecasts.centre[row], wanted.centre)
            assert np.array_equal(forecasts.scales[row], wanted.scales)


def streams(tracks, seed=3, batch=4):
    return dataset.Streams(tracks, batch, 64, ARCHITECTURE, 100, seed)


def test_streams_walk_on_and_hear_what_came_before():
    walk = streams(numbered(50_000, 30_000))
    before, _, _ = walk.next()
    jumps = 0
    for _ in range(60):
        tokens, jumped, _ = walk.next()
        for row in np.flatnonzero(~jumped):
            assert np.array_equal(tokens[row, :8], before[row, -8:])
            assert np.array_equal((tokens[row, 1:].astype(int) - tokens[row, :-1]) % 256, np.full(71, 7))
        jumps += int(jumped.sum())
        before = tokens
    assert 0 < jumps < 60


def test_streams_go_on_as_if_never_stopped():
    tracks = numbered(50_000, 30_000)
    one, other = streams(tracks), streams(tracks, seed=9)
    for _ in range(10):
        one.next()
    other.restore(one.state())
    for _ in range(40):
        a, b = one.next(), other.next()
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])


def test_a_track_of_one_sequence_still_trains():
    tokens, jumped, _ = streams(numbered(64)).next()
    assert jumped.all()
    assert (tokens[:, :8] == 128).all()


def test_the_whole_album_gets_one_gain():
    loud = Track("a", np.full(1000, 0.5, np.float32) * np.sin(np.arange(1000)).astype(np.float32), "")
    quiet = Track("b", loud.audio / 20, "")
    dc, gain = dataset.scale([loud, quiet], 0.0)
    a = ARCHITECTURE.model_copy(update={"album_gain": gain, "quantization": "linear"})
    spread = [np.ptp(dataset.tokenise(t, dc, a).astype(int)) for t in (loud, quiet)]
    assert spread[0] > 15 * spread[1]


def test_primes_are_neither_silent_nor_the_loudest():
    rng = np.random.default_rng(0)
    quiet, usual, loud = (rng.integers(128 - w, 128 + w + 1, 60 * 100).astype(np.uint8) for w in (0, 20, 100))
    primes = dataset.prime([quiet, usual, usual, loud], 100, 4)
    assert primes.shape == (4, 400)
    for prime in primes:
        assert 5 < np.abs(prime.astype(int) - 128).mean() < 40


def test_a_guide_is_of_the_forecasts_order_and_of_music_long_enough():
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8)
    short = Architecture(dim=8, frame_sizes=(4,), n_rnn=1, forecast=Forecast(orders=(64,), rates=(0.01,)))
    assert dataset.guide([noise], short, 1000).shape == (7, 65)
    assert dataset.guide([noise[:900]], short, 1000) is None
