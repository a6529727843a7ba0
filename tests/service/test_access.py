"""What the machine's service may read, told from the rights of real files."""

import os
import pwd
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from ambientd.config import Config
from ambientd.errors import CheckpointError, UsageError
from ambientd.service import access
from ambientd.service.access import READ, Reader, check_played, check_readable
from ambientd.service.commands import _permits, service
from ambientd.service.installer import Service

from ..running import write_calm_model

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such service")
NOBODY = Reader("other users", access.NOBODY, frozenset())
BUNDLED = "naev-bright-synth"


@pytest.fixture
def home(monkeypatch):
    """Open to everybody, which pytest's own folders are not; the service's is in it, and no place is hidden."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setattr(access, "STATE", folder / "state")
        monkeypatch.setattr(access, "HIDDEN", ())
        monkeypatch.setattr(access.library, "bundled_folder", lambda: folder / "bundled")
        write_calm_model(folder / "bundled" / f"{BUNDLED}.safetensors")
        yield folder


@pytest.fixture
def room(home):
    """A configuration that everybody may read."""
    path = home / "etc" / "room.toml"
    path.parent.mkdir()
    path.write_text(f'slots = [{{ model = "{BUNDLED}" }}]\n')
    path.chmod(0o644)
    return path


def config(*models, **more):
    return Config(slots=[{"model": model} for model in models], **more)


def test_what_is_open_is_accepted(room):
    check_played(room, config(BUNDLED), NOBODY)
    check_readable(Path("/bin/sh"), NOBODY, "")


@pytest.mark.parametrize(("closed", "mode"), [("etc/room.toml", 0o600), ("etc", 0o700), ("etc", 0o744)])
def test_a_configuration_that_the_user_cannot_read_is_refused(home, room, closed, mode):
    (home / closed).chmod(mode)
    with pytest.raises(UsageError, match=f"{home / closed} is closed to other users") as error:
        check_played(room, config(), NOBODY)
    assert error.value.remedy
    check_played(room, config(), Reader("its owner", os.getuid(), frozenset()))


def test_a_link_does_not_hide_what_is_closed(home, room):
    (home / "link.toml").symlink_to(room)
    room.parent.chmod(0o700)
    with pytest.raises(UsageError, match="is closed"):
        check_played(home / "link.toml", config(), NOBODY)


def test_a_group_may_read_what_it_may_read(home, room):
    room.chmod(0o640)
    check_played(room, config(), Reader("its group", access.NOBODY, frozenset({room.stat().st_gid})))
    room.chmod(0o604)  # the kernel takes the first that fits
    with pytest.raises(UsageError, match="is closed"):
        check_played(room, config(), Reader("its group", access.NOBODY, frozenset({room.stat().st_gid})))


def test_the_models_are_those_of_the_services_own_library(home, room):
    with pytest.raises(CheckpointError, match="has no model 'calm'") as error:
        check_played(room, config("calm"), NOBODY)
    assert str(home / "state" / "models") in error.value.remedy
    (home / "bundled" / f"{BUNDLED}.safetensors").chmod(0o600)
    with pytest.raises(UsageError, match=f"{BUNDLED}.safetensors is closed"):
        check_played(room, config(BUNDLED), NOBODY)


def test_the_services_own_folder_is_handed_over_once(home, room):
    model = home / "state" / "models" / "calm.safetensors"
    write_calm_model(model)
    model.chmod(0o400)
    check_played(room, config("calm"), NOBODY)  # it belongs to somebody else before the first start
    check_played(room, config("calm"), Reader("its owner", os.getuid(), frozenset()))
    model.chmod(0)
    with pytest.raises(UsageError, match="is closed"):
        check_played(room, config("calm"), Reader("its owner", os.getuid(), frozenset()))


def test_files_that_the_configuration_names_are_looked_for_from_the_services_home(home, room):
    with pytest.raises(UsageError, match=f"{home}/state/score.toml cannot be read"):
        check_played(room, config(dayparts="~/score.toml"), NOBODY)
    with pytest.raises(UsageError, match=r"stage\.toml"):
        check_played(room, config(midi={"controllers": ["midimix", str(home / "stage.toml")]}), NOBODY)


def test_a_folder_that_the_service_has_its_own_of_is_refused(home, room, monkeypatch):
    monkeypatch.setattr(access, "HIDDEN", (home,))
    with pytest.raises(UsageError, match="of its own"):
        check_played(room, config(), NOBODY)


def test_a_program_that_others_cannot_reach_is_not_made_the_systems(home):
    program = home / "private" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    check_readable(program, NOBODY, "", READ)
    (home / "private").chmod(0o700)
    with pytest.raises(UsageError, match="closed to other users"):
        check_readable(program, NOBODY, "", READ)


def test_a_user_is_known_with_all_groups():
    own = pwd.getpwuid(os.getuid())
    who = access.reader(own.pw_name)
    assert (who.uid, own.pw_gid in who.groups) == (own.pw_uid, True)


def test_a_plugin_is_looked_for_where_the_service_will_find_it(home):
    (home / "state" / "plugins").mkdir(parents=True)
    (home / "state" / "plugins" / "tide.py").write_text("tide = 1")
    assert _permits(("tide",), system=True).startswith("tide=")
    with pytest.raises(UsageError, match="no plugin of yours"):
        _permits(("ebb",), system=True)


def test_the_command_refuses_before_anything_is_written(home, room, monkeypatch):
    """Whoever installs may read it; the user that the service is to run as may not."""
    monkeypatch.setattr(access, "check_program", lambda who: None)
    monkeypatch.setattr(Service, "install", lambda *_: pytest.fail("it was installed"))
    room.chmod(0o600)
    done = CliRunner().invoke(service, ["install", "--system", "--as", "daemon", str(room)])
    assert isinstance(done.exception, UsageError), done.output
    assert f"{room} is closed to the user daemon" in str(done.exception)
