# make run: hear it.  make test: check it.  Both do all of their own set-up in .venv.

BIN := .venv/bin
SETUP := pyproject.toml constraints.txt scripts/install.sh

.PHONY: run test check format docs surfaces bench bench-osc bench-latency live-set midi-cycles device-cycles soak install clean

run: install
	$(BIN)/ambientd run

install: .venv/.installed

test: check
	$(BIN)/pytest -n 2

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed
	$(BIN)/python scripts/hook_docs.py
	$(BIN)/python scripts/config_docs.py

# The default layout and its picture, as they are without presets and plugins of one's own.
surfaces: .venv/.installed
	XDG_CONFIG_HOME=$$(mktemp -d) XDG_DATA_HOME=$$(mktemp -d) \
		$(BIN)/ambientd surface touchosc configs/touchosc/ambientd.tosc
	$(BIN)/python scripts/touchosc_picture.py configs/touchosc/ambientd.tosc docs/touchosc.svg

bench: install
	$(BIN)/ambientd bench engine

# Eight minutes of models coming and going, at the speed of music.
live-set: install
	$(BIN)/python benchmarks/live_set.py --operations 200 --fade 1

# Breaks the daemon on this machine and writes a certificate into soak/: ten minutes, or SOAK=short: two.
SOAK := usual
SOAK_HOURS := $(if $(filter short,$(SOAK)),0.034,0.167)
soak: install
	$(BIN)/ambientd soak --hours $(SOAK_HOURS) --faults

# Unplug and replug a controller a hundred times; `make test` does it five times.
midi-cycles: .venv/.installed-dev
	AMBIENTD_MIDI_CYCLES=100 $(BIN)/pytest tests/midi/test_room.py -k unplugged -s

# Take the audio device away and give it back, a hundred times for each fault; `make test` does it once.
DEVICE_CYCLES := 100
device-cycles: .venv/.installed-dev
	$(BIN)/python benchmarks/device_faults.py --cycles $(DEVICE_CYCLES)

# 500 sound and 5 000 malformed datagrams a second against a real daemon.
FLOOD_SECONDS := 60
bench-osc: install
	$(BIN)/python benchmarks/osc_flood.py --seconds $(FLOOD_SECONDS)

# From a knob to its sound, through PulseAudio and JACK; some twenty-five minutes.
LATENCY_STEPS := 200
bench-latency: .venv/.installed-dev
	$(BIN)/python benchmarks/latency.py --steps $(LATENCY_STEPS)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamps make a second call quick; a change of the requirements installs again.
.venv/.installed: $(SETUP)
	scripts/install.sh run
	touch $@

.venv/.installed-dev: .venv/.installed
	scripts/install.sh dev
	touch $@
