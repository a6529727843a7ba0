"""Handover and clock here; real devices in test_player.py, through a private sound server."""

import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from scipy.signal import resample_poly

from ambientd.audio import device, pacing
from ambientd.audio.controls import PlayerControl
from ambientd.audio.device import Clock, DeviceInfo, find_device, list_devices
from ambientd.audio.device_process import Converted, DeviceConfig, Gate
from ambientd.audio.fades import PANIC_SECONDS, PanicFade
from ambientd.audio.handover import Handover
from ambientd.audio.limiter import Limiter
from ambientd.audio.pacing import Pacing
from ambientd.audio.player import PlayerConfig
from ambientd.audio.resampler import Resampler
from ambientd.errors import DeviceError
from ambientd.ipc.memory import Segment
from ambientd.ipc.values import Values


def test_blocks_arrive_in_order_and_the_producer_waits_for_room():
    handover = Handover(4, 1)
    produced = []

    def produce():
        for number in range(50):
            handover.put(np.full((4, 1), number, np.float32))
            produced.append(number)

    thread = threading.Thread(target=produce)
    thread.start()
    out = np.zeros((4, 1), np.float32)
    for number in range(50):
        handover.take_into(out, patience=5.0)
        assert np.all(out == number)
        assert len(produced) <= number + 4
    thread.join()
    assert (handover.frames, handover.late) == (200, 0)


def test_a_block_that_is_not_ready_is_silence_and_counted():
    handover = Handover(4, 1)
    out = np.ones((4, 1), np.float32)
    handover.take_into(out, patience=0.001)
    assert not out.any()
    assert (handover.frames, handover.late) == (4, 1)


def test_the_clock_keeps_a_devices_time():
    handover = Handover(480, 2)
    block = np.zeros((480, 2), np.float32)

    def produce():
        while True:
            handover.put(block)

    threading.Thread(target=produce, daemon=True).start()
    clock = Clock(48000, 480, 2)
    started = time.monotonic()
    clock.start(handover)
    while handover.frames < 48000:
        time.sleep(0.01)
        assert time.monotonic() - started < 10
    elapsed = time.monotonic() - started
    # Never ahead of the time that has passed, but for the block in hand.
    assert handover.frames <= (elapsed + 0.02) * 48000
    clock.stop()
    frames = handover.frames
    clock.start(handover)
    while handover.frames < frames + 4800:
        time.sleep(0.01)
        assert time.monotonic() - started < 10
    clock.stop()


def test_a_device_that_is_not_there_is_named_with_what_is_there():
    try:
        names = [info.name for info in list_devices()]
    except DeviceError as error:
        pytest.skip(str(error))
    with pytest.raises(DeviceError, match="no audio device") as caught:
        find_device("a device nobody has")
    assert all(name in caught.value.remedy for name in names)
    assert "\n" not in str(caught.value)


LIST = (
    "from ambientd.audio.device import *; print([d.name for d in list_devices()]); print(find_device('AMBIENT').name)"
)


def listed(monkeypatch, *names):
    found = [DeviceInfo(index, name, "ALSA", 2, 48_000, default=False) for index, name in enumerate(names)]
    monkeypatch.setattr(device, "list_devices", lambda: found)


def test_a_device_that_is_held_to_is_found_wherever_it_is_and_no_other(monkeypatch):
    listed(monkeypatch, "HDMI: USB Audio Monitor", "USB Audio")
    assert find_device("USB Audio").name == "USB Audio"
    assert find_device("0").name == "HDMI: USB Audio Monitor"
    assert find_device("0", held="USB Audio").index == 1
    listed(monkeypatch, "HDMI: USB Audio Monitor")
    for asked in ("USB Audio", "0"):
        with pytest.raises(DeviceError, match="no audio device 'USB Audio'"):
            find_device(asked, held="USB Audio")


def test_a_card_is_known_by_its_name_whatever_alsas_number(monkeypatch):
    listed(monkeypatch, "USB: - (hw:0,1)", "USB: - (hw:2,0)")
    assert find_device("USB: - (hw:1,0)", held="USB: - (hw:1,0)").index == 1
    assert find_device("USB: - (hw:1,0)").index == 1
    listed(monkeypatch, "USB: - (hw:2,0)", "USB: - (hw:1,0)")
    assert find_device("0", held="USB: - (hw:1,0)").index == 1
    listed(monkeypatch, "USB: - (hw:2,0)", "USB: - (hw:3,0)")
    with pytest.raises(DeviceError, match="More than one"):
        find_device("0", held="USB: - (hw:1,0)")


def test_of_two_devices_with_one_name_the_number_says_which(monkeypatch):
    listed(monkeypatch, "Duet", "Duet")
    assert [find_device(asked).index for asked in ("0", "1", "Duet")] == [0, 1, 0]
    assert find_device("1", held="Duet").index == 1


def test_devices_are_listed_and_found_by_part_of_their_name(pulse):
    listed = subprocess.run([sys.executable, "-c", LIST], env=pulse.env, capture_output=True, text=True, check=True)
    names, found = listed.stdout.splitlines()
    assert "'ambient'" in names
    assert found == "ambient"
    assert listed.stderr == ""


def test_who_looks_for_a_device_is_replaced_now_and_then_and_nobody_is_told(monkeypatch):
    spawned, told = [], []
    spawn = pacing.Child.spawn
    monkeypatch.setattr(pacing, "DeviceConfig", partial(DeviceConfig, looks=1))
    monkeypatch.setattr(pacing.Child, "spawn", lambda *words: spawned.append(spawn(*words)) or spawned[-1])
    control = Segment.create(Values.nbytes(len(PlayerControl)))
    config = PlayerConfig(*[control.fd] * 9, source_rate=16_000, device="a device nobody has")
    pace = Pacing(config, Handover(config.block, 2), told.append)
    back_off = pace._back_off
    deadline = time.monotonic() + 60
    while len(spawned) < 3:
        assert time.monotonic() < deadline
        pace.turn()
        time.sleep(0.01)
    pace.close()
    pace._clock.stop()
    assert [child.returncode for child in spawned[:2]] == [0, 0]
    assert [(event["output"], event["waiting_for"]) for event in told] == [("null", "a device nobody has")]
    assert pace._back_off == back_off


def test_panic_overtakes_the_blocks_that_wait_and_goes_back_when_released():
    count, block, rate = len(PlayerControl), 480, 48_000
    control = Values(Segment.create(Values.nbytes(count)), count)
    gate, source, out = Gate(PanicFade(control, rate)), Handover(block, 1), np.empty((block, 1), np.float32)
    gate.open(source, fade=0)

    def heard(blocks):
        parts = []
        for _ in range(blocks):
            source.put(np.ones((block, 1), np.float32))
            gate.take_into(out, patience=1.0)
            parts.append(out[:, 0].copy())
        return np.concatenate(parts)

    source.put(np.ones((block, 1), np.float32))  # one that was rendered before
    assert (heard(3) == 1).all()
    control[PlayerControl.PANIC] = 1.0
    fade = heard(8)
    frames = int(PANIC_SECONDS * rate)
    assert (fade[frames - 1 :] == 0).all()
    assert (np.diff(fade[:frames]) < 0).all()
    assert np.abs(np.diff(fade, prepend=1)).max() < 2 / frames  # a raised cosine at its steepest
    control[PlayerControl.PANIC] = 0.0
    assert heard(8)[frames:].min() == 1


@pytest.mark.parametrize("rate", [44_100, 32_000])
def test_what_a_devices_own_rate_makes_of_limited_sound_is_limited_again(rate):
    angle = 2 * np.pi * 0.172 * rate / 48_000 * np.arange(24_000)
    flat = np.sin(angle) + np.sin(3 * angle) / 3  # without its third partial, which that rate has not, it is higher
    limited = Limiter(48_000, 1).process(flat[:, None].astype(np.float32))
    source = Handover(480, 1)
    config = DeviceConfig("any", source.fds, 48_000, 480, 1, 0.1, control_fd=-1)
    converted = Converted(source, config, rate)
    converted.start()
    threading.Thread(target=lambda: [source.put(block) for block in limited.reshape(-1, 480, 1)], daemon=True).start()
    heard = np.zeros((rate // 5 // 480, 480, 1), np.float32)
    for block in heard:
        converted.take_into(block, patience=30.0)
    assert converted.late == 0
    assert np.abs(heard).max() > 0.5
    assert np.abs(resample_poly(heard.reshape(-1).astype(float), 4, 1)).max() <= 10 ** (-1 / 20)
    assert np.abs(resample_poly(Resampler(48_000, rate, 1).process(limited)[:, 0], 4, 1)).max() > 10 ** (-1 / 20)
