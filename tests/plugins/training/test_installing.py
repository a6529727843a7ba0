"""Into the library, and never over somebody else's model."""

import pytest

from ambientd.samplernn.library import user_folder
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.folder import RunFolder
from ambientd_plugins.training.installing import install_best, library_place


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """trained(name, content) -> a run folder with that best checkpoint."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def make(name, content=b"weights"):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.write(folder.best, content)
        return folder.path

    return make


def test_a_run_may_replace_what_it_has_installed(trained):
    target = install_best(trained("tones"), "tones", replace=False)
    assert target == user_folder() / "tones.safetensors"
    install_best(trained("tones", b"better"), "tones", replace=False)
    assert target.read_bytes() == b"better"


def test_a_model_of_other_origin_is_only_replaced_when_asked(trained):
    target = library_place(trained("tones"), "tones", replace=False)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"imported")
    for refused in (library_place, install_best):
        with pytest.raises(TrainingError, match="--replace"):
            refused(trained("tones"), "tones", replace=False)
    assert target.read_bytes() == b"imported"
    install_best(trained("tones"), "tones", replace=True)
    assert target.read_bytes() == b"weights"
    target.write_bytes(b"imported again")
    with pytest.raises(TrainingError, match="of other origin"):
        library_place(trained("tones"), "tones", replace=False)


def test_a_full_disk_is_one_clear_error(trained, no_room):
    run = trained("tones", b"weights" * 100)
    with no_room(), pytest.raises(TrainingError, match=r"could not be installed .* \(File too large\)\. Make room"):
        install_best(run, "tones", replace=False)
    assert not library_place(run, "tones", replace=False).exists()
    install_best(run, "tones", replace=False)
