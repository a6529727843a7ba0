"""Properties of the limiter, for any input that hypothesis thinks of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from ambientd.audio.limiter import MARGIN_DB, Limiter
from ambientd.audio.true_peak import TruePeak

RATE, CHANNELS = 48000, 2


def noise(seed, frames, level=1.0):
    return (np.random.default_rng(seed).standard_normal((frames, CHANNELS)) * level).astype(np.float32)


def in_blocks(limiter, audio, sizes):
    out, start = [], 0
    while start < len(audio):
        size = sizes[len(out) % len(sizes)]
        out.append(limiter.process(audio[start : start + size]))
        start += size
    return np.concatenate(out)


# ITU-R BS.1770-4, Annex 2: the interpolator's first two phases; the others are these the other way round.
ANNEX_2 = np.array(
    [
        [0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625,
         0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500],
        [-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250,
         0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375],
    ]
)  # fmt: skip


def true_peaks(audio):
    """dBTP by two others' filters: SciPy's and the standard's."""
    scipys = max(np.abs(resample_poly(channel, 4, 1)).max() for channel in audio.T.astype(float))
    phases = (*ANNEX_2, *ANNEX_2[:, ::-1])
    standards = max(np.abs(np.convolve(channel, phase)).max() for channel in audio.T.astype(float) for phase in phases)
    return [20 * np.log10(max(peak, 1e-9)) for peak in (scipys, standards)]


def wild(kind, seed, frames=3000):
    """What plugins and models may do at their worst, near full scale."""
    random, time = np.random.default_rng(seed), np.arange(frames)
    match kind:
        case "noise":
            sound = random.standard_normal(frames)
        case "bits":
            sound = np.sign(random.standard_normal(frames))
        case "rails":
            sound = np.repeat(np.sign(random.standard_normal(frames // 3)), 3)
        case "nyquist":
            sound = np.where(time % 2, 1.0, -1.0) * np.sin(time * random.uniform(0.001, 0.1))
        case "quarter":
            sound = np.sin(np.pi * time / 2 + random.uniform(0, np.pi))
        case "steps":
            sound = np.sin(2 * np.pi * time * random.uniform(0.01, 0.499)) * np.repeat(random.uniform(0, 2, 30), 100)
        case _:
            sound = random.standard_normal(frames) * (random.uniform(size=frames) > 0.99)
    return np.stack([sound, sound[::-1]], axis=1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["noise", "bits", "rails", "nyquist", "quarter", "steps", "spikes"]),
    seed=st.integers(0, 2**32 - 1),
    gain_db=st.sampled_from([-3.0, 0.0, 6.0, 20.0, 40.0]),
    broken=st.lists(
        st.tuples(st.integers(0, 2999), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38])), max_size=6
    ),
)
def test_no_true_peak_exceeds_the_ceiling(kind, seed, gain_db, broken):
    audio = wild(kind, seed) * np.float32(10 ** (gain_db / 20))
    for position, value in broken:
        audio[position, position % CHANNELS] = value
    out = in_blocks(Limiter(RATE, CHANNELS), np.concatenate([audio, np.zeros((1000, 2), np.float32)]), [256])
    assert np.isfinite(out).all()
    assert max(true_peaks(out)) <= -1


def test_the_true_peak_of_a_tone_between_the_samples_is_found():
    """A quarter of the rate, an eighth of a turn late: every sample is 3 dB below the tone's peak."""
    tone = np.sin(np.pi * np.arange(4800) / 2 + np.pi / 4).astype(np.float32)[:, None]
    meter = TruePeak(1)
    for start in range(0, len(tone), 100):
        meter.add(tone[start : start + 100])
    assert 20 * np.log10(meter.peak) == pytest.approx(0, abs=0.1)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.floats(0.0, 1e6),
    spikes=st.lists(
        st.tuples(st.integers(0, 2999), st.floats(width=32, allow_nan=False, allow_infinity=False)), max_size=8
    ),
)
def test_nothing_exceeds_the_ceiling(seed, level, spikes):
    audio = noise(seed, 3000, level)
    for position, value in spikes:
        audio[position, position % CHANNELS] = value
    limiter = Limiter(RATE, CHANNELS)
    out = limiter.process(np.concatenate([audio, np.zeros((limiter.latency, CHANNELS), np.float32)]))
    assert out.dtype == np.float32
    assert np.abs(out).max() <= limiter.ceiling
    assert limiter.ceiling == pytest.approx(10 ** (-1 / 20))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=6))
def test_how_the_input_is_split_changes_nothing(seed, sizes):
    audio = noise(seed, 4000, 0.8)
    whole = Limiter(RATE, CHANNELS).process(audio)
    np.testing.assert_array_equal(in_blocks(Limiter(RATE, CHANNELS), audio, sizes), whole)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 1000))
def test_below_the_ceiling_it_is_only_a_delay(seed, size):
    limiter = Limiter(RATE, CHANNELS)
    audio = noise(seed, 3000)
    meter = TruePeak(CHANNELS)  # near Nyquist it reads more than either of the others, and is what decides
    meter.add(np.pad(audio, ((0, 200), (0, 0))))
    peak = max(meter.peak, *(10 ** (dbtp / 20) for dbtp in true_peaks(audio)))
    audio *= np.float32(limiter.ceiling * 10 ** (-(MARGIN_DB + 0.01) / 20) / peak)
    out = in_blocks(limiter, audio, [size])
    np.testing.assert_array_equal(out[: limiter.latency], 0)
    np.testing.assert_array_equal(out[limiter.latency :], audio[: -limiter.latency])


def test_what_is_not_finite_becomes_silence_and_leaves_no_trace():
    audio = noise(3, 3000, 0.1)
    clean = audio.copy()
    audio[700, 0], audio[701, 1], audio[702, 0] = np.nan, np.inf, -np.inf
    clean[700, 0] = clean[701, 1] = clean[702, 0] = 0
    np.testing.assert_array_equal(Limiter(RATE, CHANNELS).process(audio), Limiter(RATE, CHANNELS).process(clean))


def test_a_loud_tone_keeps_its_shape_and_the_gain_comes_back():
    """A tone 12 dB above the ceiling comes out as a tone (no clipping), and the music after it as itself."""
    limiter = Limiter(RATE, CHANNELS)
    time = np.arange(RATE * 3) / RATE
    level = np.where(time < 1.0, 4.0, 0.25)
    tone = (level * np.sin(2 * np.pi * 441 * time)).astype(np.float32)
    out = limiter.process(np.stack([tone, tone], axis=1))[limiter.latency :, 0]
    steady = out[RATE // 4 : RATE // 4 + 24000]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)))) ** 2
    near = spectrum[int(441 * 0.5) - 5 : int(441 * 0.5) + 6].sum()
    assert near / spectrum.sum() > 0.9999
    assert np.abs(steady).max() > 0.98 * limiter.ceiling * 10 ** (-MARGIN_DB / 20)
    ending = slice(-RATE // 2, None)
    np.testing.assert_allclose(out[ending], tone[: len(out)][ending], atol=0.01)


def test_the_gain_falls_in_a_ramp_not_a_step():
    limiter = Limiter(RATE, 1)
    audio = np.full((4800, 1), 0.5, np.float32)
    audio[2400:] = 5.0
    gain = (limiter.process(audio)[limiter.latency :] / audio[: -limiter.latency]).ravel()
    assert np.abs(np.diff(gain)).max() < 1 / (0.005 * RATE)
    assert gain[2000] == 1.0
