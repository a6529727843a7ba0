"""`ambientd models import`. Imports only click until it runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambientd.errors import CheckpointError, UsageError
from ambientd.options import Several
from ambientd.types import QUANTIZATIONS, Quantization

if TYPE_CHECKING:
    from ambientd.arrays import Floats, Tokens
    from ambientd.samplernn.checkpoint import Album, Architecture

PRIME_PLACES, PRIME_SECONDS = 4, 2.0
PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("file", type=PATH)
@click.option("--name", metavar="ID", help="What the library calls it.  [default: FILE's name]")
@click.option("--out", type=PATH, help="Write this .safetensors file, and leave the library alone.")
@click.option("--sample_rate", type=click.IntRange(1000, 384_000), default=16_000, show_default=True, metavar="HZ",
              help="Of the audio it was trained on.")  # fmt: skip
@click.option("--frame_sizes", cls=Several, type=int, metavar="N N...",
              help="As it was trained, in multiples: 16 4. The file tells them; this is a check.")  # fmt: skip
@click.option("--quantization", type=click.Choice(QUANTIZATIONS), default="linear", show_default=True)
@click.option("--album", type=PATH, help="An album.toml with title, artist, licence, attribution.")
@click.option("--title")
@click.option("--artist")
@click.option("--licence", help="Of the album, as an SPDX identifier: CC-BY-4.0")
@click.option("--attribution", help="The line that the licence asks for.")
@click.option("--prime", type=PATH, help="A recording of the album to start from.  [default: silence]")
@click.option("--half", is_flag=True, help="Store 16 bits a weight: half the size, logits off by a few thousandths.")
def import_model(
    file: Path,
    name: str | None,
    out: Path | None,
    sample_rate: int,
    frame_sizes: tuple[int, ...],
    quantization: Quantization,
    album: Path | None,
    prime: Path | None,
    half: bool,
    **facts: str | None,
) -> None:
    """Take over a model that samplernn-pytorch or a fork of it trained.

    FILE is what torch.save wrote: the state dict, or a trainer's file that holds it. It is read in a process of
    its own without network, and no code in it is run.
    """
    from ambientd.samplernn.checkpoint import Card, Training, save
    from ambientd.samplernn.foreign import convert
    from ambientd.samplernn.foreign_reader import read

    target = _target(file, name, out)
    about = _album(album, {key: value for key, value in facts.items() if value is not None}, file.stem)
    recording = None if prime is None else _read_audio(prime, sample_rate)
    state = read(file)
    try:
        architecture, tensors = convert(state, quantization)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error.what}", error.remedy) from None
    _check_frame_sizes(frame_sizes, architecture)
    tokens = _silence(architecture) if recording is None else _primes(recording, architecture, sample_rate)
    if half:
        _check_half(tensors)
    training = Training(software={"imported": f"{file.name} (samplernn-pytorch)"})
    card = Card(architecture=architecture, sample_rate=sample_rate, album=about, training=training)
    try:
        save(target, card, tensors, tokens, half=half)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written ({error.strerror})", "Make room, or give --out") from None
    _report(target, architecture, sample_rate, named=target.stem if out is None else str(target))
    if about.licence == "unknown":
        click.echo("its licence is unknown: import it again with --licence before you pass it on", err=True)


def _target(file: Path, name: str | None, out: Path | None) -> Path:
    """Where the checkpoint goes; refused before any work."""
    from ambientd.samplernn.checkpoint import valid_id
    from ambientd.samplernn.library import SUFFIX, user_folder

    if out is not None:
        if name is not None:
            raise UsageError("--name and --out exclude each other", "Give one of them")
        if out.suffix != SUFFIX:
            raise UsageError(f"{out} does not end in {SUFFIX}", "Checkpoints are told by it")
        return out
    name = name or file.stem
    if not valid_id(name):
        raise UsageError(f"{name!r} cannot name a model", "Give --name with letters, digits, -, _ and dots")
    target = user_folder() / f"{name}{SUFFIX}"
    if target.exists():
        raise UsageError(f"the library has a {name!r} already ({target})", "Give another --name, or delete that file")
    return target


def _album(path: Path | None, facts: dict[str, str], fallback_title: str) -> Album:
    """What album.toml says, and the options over it."""
    from ambientd.samplernn.checkpoint import Album

    found: dict[str, object] = {"title": fallback_title}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror})", "Give an album.toml") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not valid TOML ({error})", "Correct it, or leave --album away") from None
        found |= {key: data[key] for key in Album.model_fields if isinstance(data.get(key), str)}
        tracks = data.get("tracks")
        if isinstance(tracks, list):
            found["sources"] = tuple(str(t["sha256"]) for t in tracks if isinstance(t, dict) and "sha256" in t)
    return Album.model_validate(found | facts)


def _check_frame_sizes(multiples: tuple[int, ...], architecture: Architecture) -> None:
    if multiples and multiples != architecture.ratios:
        theirs = " ".join(map(str, architecture.ratios))
        given = " ".join(map(str, multiples))
        raise UsageError(f"the model was trained with --frame_sizes {theirs}, not {given}", "Leave the option away")


def _check_half(tensors: dict[str, Floats]) -> None:
    for name, tensor in tensors.items():
        if abs(tensor).max() > 65_504:
            raise CheckpointError(f"{name} has weights that 16 bits cannot hold", "Import it without --half")


def _silence(a: Architecture) -> Tokens:
    """One frame of it, uint8 [1, samples], which is how these projects start."""
    import numpy as np

    from ambientd.samplernn.quantize import silence

    return np.full((1, a.frame_sizes[-1]), silence(a.q_levels), np.uint8)


def _primes(audio: Floats, a: Architecture, sample_rate: int) -> Tokens:
    """uint8 [places, samples] of a recording, scaled to the full range as these projects scale what they train on."""
    import numpy as np

    from ambientd.samplernn import quantize

    if len(audio) < a.frame_sizes[-1]:
        raise UsageError(f"--prime is shorter than one frame of {a.frame_sizes[-1]} samples", "Give a longer recording")
    dc = quantize.album_dc([audio])
    gain = quantize.album_gain([audio], a.pre_emphasis, dc)
    tokens = quantize.encode((audio - np.float32(dc)) * np.float32(gain), a.q_levels, a.quantization)
    length = min(round(PRIME_SECONDS * sample_rate), len(tokens))
    starts = np.linspace(0, len(tokens) - length, PRIME_PLACES + 2).astype(int)[1:-1]
    return np.stack([tokens[start : start + length] for start in starts])


def _read_audio(path: Path, sample_rate: int) -> Floats:
    """[samples], mono, at `sample_rate`."""
    import numpy as np
    import soundfile
    import soxr

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise UsageError(f"{path} cannot be read as audio ({error})", "Convert it to WAV or FLAC") from None
    mono: Floats = np.nan_to_num(audio.mean(axis=1, dtype=np.float32))
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    return mono


def _report(target: Path, a: Architecture, sample_rate: int, named: str) -> None:
    from ambientd.samplernn.library import hear_it

    frames = " and ".join(map(str, a.frame_sizes))
    facts = f"dim {a.dim}, frames of {frames} samples, {a.n_rnn} GRU layers, {a.q_levels} levels ({a.quantization})"
    click.echo(f"{target}: {facts}, {sample_rate} Hz")
    click.echo(hear_it(named, target.stem))
