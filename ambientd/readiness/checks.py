"""The list of checks, from the configuration to the machine. Command line; what may hang or crash is probed aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ambientd.config import Config, load, validate
from ambientd.plugin_manager import Plugins
from ambientd.readiness.connected import warn_of_number
from ambientd.readiness.finding import Report
from ambientd.readiness.probe import DEVICE, ENGINE, MIDI, run_probe
from ambientd.readiness.room import (
    check_bed,
    check_daemon,
    check_day_parts,
    check_folders,
    check_osc,
    running_daemon,
)


def check_all(path: Path | None, sets: Sequence[str], controllers: Sequence[str], seconds: float) -> Report:
    """Everything `ambientd run` would need with these arguments. seconds: of the benchmark."""
    report = Report()
    with report.row("configuration"):
        config = load(path, sets)
        config.midi.controllers += controllers
        report.ok("configuration", f"{path or 'the defaults'}{' with --set' if sets else ''}")
    if not report.ready:  # nothing else can be known
        return report
    running = running_daemon()
    plugins = Plugins.discover()
    check_daemon(running, report)
    check_plugins(plugins, report)
    check_mashup(config, plugins, report)
    check_sinks(config, plugins, report)
    check_models(config, seconds, report)
    check_bed(report)
    check_device(config, running, report)
    check_osc(config, running, report)
    check_midi(config, plugins, report)
    check_day_parts(config, report)
    check_folders(config, report)
    return report


def check_plugins(plugins: Plugins, report: Report) -> None:
    """A plugin that fails costs nothing but itself; what the configuration asks of it is another row."""
    for plugin in plugins.found:
        if plugin.failed:
            report.warn(
                "plugins", f"{plugin.name}: {plugin.state.value}, {plugin.reason}", f"Mend or remove {plugin.place}"
            )
    loaded = [plugin.name for plugin in plugins.found if plugin.hooks]
    report.ok("plugins", f"{', '.join(loaded) or 'none'} loaded")


def check_mashup(config: Config, plugins: Plugins, report: Report) -> None:
    """That it is there, and conducts a few blocks with these options."""
    from ambientd.rehearsal import rehearse

    with report.row("mashup"):
        name = config.mashup.name
        kind = plugins.mashup(name)
        validate(kind.Config, config.mashup.options, "the configuration", "mashup")
        rehearse(kind, config.mashup.options, channels=config.audio.channels)
        report.ok("mashup", f"{name}: it conducts")


def check_sinks(config: Config, plugins: Plugins, report: Report) -> None:
    """That they are there, and take these options."""
    for index, sink in enumerate(config.sinks):
        with report.row(f"sink {sink.name}"):
            validate(plugins.sink(sink.name).Config, sink.options, "the configuration", f"sinks.{index}")


def check_models(config: Config, seconds: float, report: Report) -> None:
    """Each one, and all of them together; one that cannot be opened would cost the daemon a slot."""
    from ambientd.supervisor.slots import LoadedSlot, models_to_begin_with, open_slot

    found: list[LoadedSlot] = []
    for number, id in enumerate(models_to_begin_with(config), 1):
        with report.row(f"slot {number}"):
            found.append(open_slot(number, id, number, found[0] if found else None))
    if not found:
        report.fail("slots", "no model can be played", "See `ambientd models list`, or train one (`ambientd train`)")
        return
    settings = {
        "slots": [{"number": slot.number, "id": slot.id, "path": str(slot.path)} for slot in found],
        "precision": config.engine.precision,
        "channels": config.audio.channels,
        "mashup": config.mashup.name,
        "options": config.mashup.options,
        "seconds": seconds,
        "memory_limit_mb": config.engine.memory_limit_mb,
    }
    run_probe(ENGINE, settings, report)


def check_device(config: Config, running: dict[str, Any] | None, report: Report) -> None:
    """Silence is played to it; the running daemon may hold it alone."""
    from ambientd.supervisor.shared_state import LATENCIES

    audio = config.audio
    device = "default" if audio.device is None else str(audio.device)
    playing = (running or {}).get("output", {}).get("output")
    if audio.output == "null":
        report.ok("audio device", "none asked for: a clock sets the pace")
    elif playing:
        report.ok("audio device", f"in use by the running daemon: {playing}")
        warn_of_number(device, "Set audio.device to a name: `ambientd devices`", report)
    else:
        settings = {
            "device": device,
            "sample_rate": audio.sample_rate,
            "block": audio.block or LATENCIES[config.latency].block,
            "channels": audio.channels,
            "latency": LATENCIES[config.latency].device,
        }
        run_probe(DEVICE, settings, report)


def check_midi(config: Config, plugins: Plugins, report: Report) -> None:
    """The controllers' files, with every address they name; then their ports."""
    from ambientd.midi import mapping
    from ambientd.parameters import builtin_parameters, mashup_parameters

    knobs = [parameter.id for parameter in builtin_parameters(config.max_slots)]
    knobs += [p.id for name, kind in plugins.mashups.items() for p in mashup_parameters(name, kind.parameters)]
    learned = mapping.learned_path()
    patterns = [config.midi.clock] if config.midi.clock else []
    with report.row("midi"):
        files = [mapping.find(name) for name in config.midi.controllers] + [learned] * learned.exists()
        mappings = [one for file in files for one in mapping.load(file, mapping.Addresses(knobs))]
        patterns += [one.port for one in mappings if one.port]
        if not files and not patterns:
            report.ok("midi", "no controller asked for")
        elif patterns:
            run_probe(MIDI, {"api": config.midi.api, "patterns": list(dict.fromkeys(patterns))}, report)
        else:
            report.ok("midi", f"{len(mappings)} mapping(s), of any port")
