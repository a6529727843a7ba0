"""What SECURITY.md claims and no room shows by itself; and that each test it names is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ambientd.control.osc_commands import commands

from .control.wire import Recorder
from .running import Running

ROOT = Path(__file__).parents[1]
LIVE = ("ambientd.daemon", "ambientd.audio.player", "ambientd.midi.process", "ambientd.engine.generator_config")


def test_every_claim_has_its_test() -> None:
    named = re.findall(r"(tests/\S+\.py)::(test_\w+)", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 15
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss (Debian: iproute2)")
def test_every_listener_is_on_loopback_by_default(run: Callable[..., Running]) -> None:
    daemon = run("osc.advertise=true")
    status = daemon.until(lambda status: status["osc"]["advertised"] == "yes")
    ours = {process["pid"] for process in status["processes"]}
    shown = subprocess.run(["ss", "-Hlntup"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if ours & set(map(int, re.findall(r"pid=(\d+)", line)))]
    addresses = [line.split()[4] for line in lines]
    assert len(addresses) >= 4  # OSC over UDP and TCP, OSCQuery, zeroconf
    assert [a for a in addresses if not a.startswith(("127.", "[::1]")) and "%lo:" not in a] == []


def test_no_text_from_the_network_is_a_path_a_command_or_a_url(run: Callable[..., Running], tmp_path: Path) -> None:
    """Every address that takes a text, and every kind of text; then all is as it was, and nothing new is anywhere."""
    daemon = run('slots=[{model="calm"}]')
    daemon.until(lambda status: status["slots"][0]["state"] == "playing")
    # Everything that it writes by itself has been begun.
    before = daemon.until(lambda _: all(any(tmp_path.rglob(name)) for name in ("state.json", "*.part", "0*.jsonl")))
    daemon.until(lambda _: not any(tmp_path.rglob("*.new")))
    files = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    texts = (
        str(tmp_path / "data" / "ambientd" / "models" / "loud.safetensors"),
        "../models/loud", "/etc/passwd", "~/loud", "C:\\loud", "file:///etc/passwd", "http://127.0.0.1:9/loud",
        f"$(touch {tmp_path / 'made'})", f"`touch {tmp_path / 'made'}`", f"x; touch {tmp_path / 'made'}", "a\nb", "",
    )  # fmt: skip
    taking = {"mashup/select", "preset/recall", "preset/store", "preset/exclude", "midi/learn", "slot/1/load"}
    for text in texts:
        for address in sorted(taking):
            daemon.osc(f"/ambientd/{address}", text)
    sent = len(texts) * len(taking)
    after = daemon.until(lambda status: status["osc"]["handled"] + status["osc"]["rejected"] >= sent)
    assert [_who(row) for row in after["slots"]] == [_who(row) for row in before["slots"]]
    assert (after["mashup"], after["loading"]) == (before["mashup"], before["loading"])
    assert after["preset"]["current"] == before["preset"]["current"]
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} - files == set()
    there = {method.id for method in commands(Recorder()) if "s" in method.tags and method.act}
    assert taking == {id for id in there if not id.startswith("slot/") or id.startswith("slot/1/")}


def _who(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["slot"], row["id"], row["seed"], row["state"]


def test_the_live_processes_unpickle_nothing() -> None:
    """They import no torch, whose files are pickles, and nowhere is anything unpickled but in the importer's reader."""
    words = "import sys\n" + "".join(f"import {module}\n" for module in LIVE) + "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    sources = [path for path in (ROOT / "ambientd").rglob("*.py") if "foreign" not in path.name]
    unpickles = re.compile(r"pickle\.loads?\(|torch\.load\(|np\.load\(")
    assert [path for path in sources if unpickles.search(path.read_text("utf-8"))] == []
