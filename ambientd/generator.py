"""The generator process: `python -m ambientd.generator`, spawned by the supervisor.

It stands outside `ambientd.engine` because it brings engine and plugins together: the engine must not know
where mashups come from, or the import law would have a circle.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ambientd.config import validate
from ambientd.ipc.child import ParentLink, child_main
from ambientd.plugin import Mashup
from ambientd.plugin_manager import Plugins
from ambientd.types import VoiceInfo


def run(link: ParentLink) -> int:
    """The process's life, in order."""
    from ambientd.engine.generator import Generator, limit_memory
    from ambientd.engine.generator_config import GeneratorConfig

    config = GeneratorConfig.from_json(link.config)
    limit_memory(config.memory_limit_mb)
    # The render thread wants the interpreter between two kernel calls only, but then at once.
    sys.setswitchinterval(0.0005)
    plugins = Plugins.discover()

    def make(name: str, options: Mapping[str, Any], slots: tuple[VoiceInfo | None, ...]) -> Mashup:
        kind = plugins.mashup(name)
        return kind(validate(kind.Config, options, f"mashup {name!r}"), slots)

    return Generator(config, link, make).run()


if __name__ == "__main__":
    child_main(run)
