"""Where the configuration comes from: the file, and what the command line puts on top. Supervisor, command line."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from ambientd import config as configuration
from ambientd.config import Config


@dataclass(frozen=True)
class Source:
    """path: of the file, if any. sets: of `--set`. controllers: of `--controller`."""

    path: Path | None = None
    sets: tuple[str, ...] = ()
    controllers: tuple[str, ...] = ()

    def load(self) -> Config:
        """Read it, as it is now. Raises ConfigError."""
        config = configuration.load(self.path, self.sets)
        if self.controllers:
            together = [*config.midi.controllers, *self.controllers]
            config.midi = config.midi.model_copy(update={"controllers": together})
        return config

    def at(self, path: Path) -> Source:
        """The same with another file."""
        return replace(self, path=path)

    def fingerprint(self, config: Config) -> str:
        """Another one for another file, or other contents: a state belongs to what it was played with."""
        place = str(self.path.resolve()) if self.path else ""
        said = config.model_dump(mode="json", exclude_unset=True)
        return hashlib.sha256(json.dumps([place, said], sort_keys=True).encode()).hexdigest()
