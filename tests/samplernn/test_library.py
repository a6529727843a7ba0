"""Ids find files; the user's own come first."""

import pytest

from ambientd.errors import CheckpointError
from ambientd.samplernn import library


@pytest.fixture
def folders(tmp_path, monkeypatch):
    user, bundled = tmp_path / "user", tmp_path / "bundled"
    user.mkdir()
    bundled.mkdir()
    monkeypatch.setattr(library, "user_folder", lambda: user)
    monkeypatch.setattr(library, "bundled_folder", lambda: bundled)
    return user, bundled


def test_the_users_own_shadow_the_bundled(folders, write):
    user, bundled = folders
    for path in (bundled / "a.safetensors", bundled / "b.safetensors", user / "a.safetensors"):
        write(path)
    assert [(e.id, e.origin) for e in library.entries()] == [("a", "user"), ("b", "bundled")]
    assert library.resolve("a") == user / "a.safetensors"


def test_an_unknown_id_names_the_nearest(folders, write):
    write(folders[1] / "drone.safetensors")
    with pytest.raises(CheckpointError, match="Did you mean 'drone'"):
        library.resolve("drome")


def test_only_a_local_command_may_name_a_path(folders, tmp_path):
    with pytest.raises(CheckpointError):
        library.resolve(str(tmp_path / "x.safetensors"))
    assert library.resolve_local(str(tmp_path / "x.safetensors")) == tmp_path / "x.safetensors"
