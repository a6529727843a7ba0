"""Where presets lie: one TOML file each, in the user's configuration folder or bundled. Supervisor and command line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ambientd.errors import ConfigError
from ambientd.presets import preset as contents
from ambientd.presets.preset import Preset, check_name, nearest

SUFFIX = ".toml"
MOST = 1000
"""Presets that can be stored."""


def user_folder() -> Path:
    """Where presets are stored."""
    from platformdirs import user_config_path

    return user_config_path("ambientd") / "presets"


def bundled_folder() -> Path:
    """configs/presets of the checkout, or of the installed package."""
    return Path(str(resources.files("ambientd_configs"))) / "presets"


class Shelf:
    """The presets by name; the user's own stand before bundled ones of the same name."""

    def __init__(self, user: Path | None = None, bundled: Path | None = None) -> None:
        self._user, self._bundled = user or user_folder(), bundled or bundled_folder()

    def names(self) -> list[str]:
        """Sorted, at most `MOST` of each kind; files whose names are no preset's are not there."""
        return sorted(self._paths())

    def path(self, name: str) -> Path:
        """Raises ConfigError naming the nearest."""
        paths = self._paths()
        if check_name(name) not in paths:
            raise ConfigError(f"there is no preset {name!r}", nearest(name, paths, "preset"))
        return paths[name]

    def load(self, name: str) -> Preset:
        """Raises ConfigError."""
        return contents.load(self.path(name))

    def store(self, name: str, preset: Preset) -> Path:
        """Whole or not at all: a power cut leaves the old file or the new one. Raises ConfigError."""
        from ambientd.samplernn.checkpoint import write_atomically

        path = self._user / f"{check_name(name)}{SUFFIX}"
        try:
            if not path.exists() and len(list(self._user.glob(f"*{SUFFIX}"))) >= MOST:
                raise ConfigError(f"{self._user} holds {MOST} presets already", "Remove some")
            write_atomically(path, preset.to_toml().encode())
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error.strerror})", "Make room, or mend its rights") from None
        return path

    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in (self._bundled, self._user):
            if folder.is_dir():
                files = sorted(folder.glob(f"*{SUFFIX}"))
                found |= {path.stem: path for path in files[:MOST] if _is_name(path.stem)}
        return found


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except ConfigError:
        return False
