"""The generator process: `python -m ambientd.generator`, spawned by the supervisor.

It stands outside `ambientd.engine` because it brings engine and plugins together: the engine must not know
where mashups come from, or the import law would have a circle.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Mapping
from typing import Any

from ambientd.config import validate
from ambientd.ipc.child import ParentLink, child_main
from ambientd.plugin import Mashup
from ambientd.plugin_manager import Plugins
from ambientd.types import VoiceInfo


class Repertoire:
    """The mashups that there are; see engine.podium. Changed files are loaded by whoever makes the next mashup."""

    def __init__(self, files: Mapping[str, str] | None) -> None:
        self._plugins = Plugins.discover(files=files)
        self._changes: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def change(self, path: str, text: str) -> None:
        self._changes.put((path, text))

    def make(self, name: str, options: Mapping[str, Any], slots: tuple[VoiceInfo | None, ...]) -> Mashup:
        while not self._changes.empty():
            self._plugins.update(*self._changes.get())
        kind = self._plugins.mashup(name)
        return kind(validate(kind.Config, options, f"mashup {name!r}"), slots)


def run(link: ParentLink) -> int:
    """The process's life, in order."""
    from ambientd.engine.generator_config import GeneratorConfig
    from ambientd.engine.kernels.cache import is_empty
    from ambientd.engine.memory_limit import limit_memory

    config = GeneratorConfig.from_json(link.config)
    if is_empty():
        link.send({"event": "notice", "what": "compiles its kernels for this processor first, once; the bed plays"})
    from ambientd.engine.generator import Generator

    limit_memory(config.memory_limit_mb)
    # The render thread wants the interpreter between two kernel calls only, but then at once.
    sys.setswitchinterval(0.0005)
    return Generator(config, link, Repertoire(config.plugin_files)).run()


if __name__ == "__main__":
    child_main(run)
