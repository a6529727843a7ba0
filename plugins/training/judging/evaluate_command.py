"""`ambientd evaluate`. Imports only click until it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd_plugins.training.errors import AlbumError
from ambientd_plugins.training.progress import PATH, bar

if TYPE_CHECKING:
    from ambientd.samplernn.checkpoint import Card, HeldOut
    from ambientd_plugins.training.dataset import Tokens


@click.command()
@click.argument("checkpoint")
@click.argument("album", type=PATH)
@click.option("--split", type=click.Choice(["all", "held-out"]), default="all", show_default=True,
              help="The whole album, or what the checkpoint's training on this very folder held out.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Which chose what is held out.  [default: the training's]")
@click.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def evaluate(checkpoint: str, album: Path, split: str, seed: int | None, threads: int | None, as_json: bool) -> None:
    """Say in bits per sample how well CHECKPOINT predicts ALBUM: each track, and all together.

    CHECKPOINT is one of `ambientd models list`, or a path. The audio is quantized as the checkpoint's own album was;
    a base of several albums learnt each at a gain of its own, so it hears ALBUM at ALBUM's. The model's state is
    carried along each track. Fewer bits are better; only models of the same quantization, gain and pre-emphasis
    compare.
    """
    import torch

    from ambientd.samplernn.checkpoint import load
    from ambientd.samplernn.library import resolve_local
    from ambientd.samplernn.model import SampleRNN
    from ambientd_plugins.training.judging.evaluate import mean_bits, track_bits

    if threads:
        torch.set_num_threads(threads)
    loaded = load(resolve_local(checkpoint))
    held_out = loaded.card.training.held_out
    if seed is not None:
        held_out = held_out.model_copy(update={"seed": seed})
    parts = _parts(loaded.card, album, held_out if split == "held-out" else None)
    model = SampleRNN(loaded.card.architecture).eval()
    model.restore(loaded.tensors)
    tokens = [part for _, part in parts]
    with bar(f"{loaded.id} hears {album.name}") as progress:
        task = progress.add_task("", total=sum(map(len, tokens)))
        bits = track_bits(model, tokens, lambda samples: progress.advance(task, samples))
    rows = [
        {"track": name, "samples": len(part), "seconds": round(len(part) / loaded.card.sample_rate, 2),
         "bits": round(found, 5)}
        for (name, part), found in zip(parts, bits, strict=True)
    ]  # fmt: skip
    whole = {"bits": round(mean_bits(bits, tokens), 5), "samples": sum(map(len, tokens))}
    if as_json:
        about = {"checkpoint": loaded.id, "album": str(album), "split": split}
        click.echo(json.dumps(about | whole | {"tracks": rows}))
    else:
        _print(rows, whole, loaded.card.sample_rate)


def _parts(card: Card, album: Path, held_out: HeldOut | None) -> list[tuple[str, Tokens]]:
    """What is to be judged, each part with its track's name; `held_out`: no more than that."""
    import numpy as np

    from ambientd_plugins.training import dataset
    from ambientd_plugins.training.albums.chunks import read_dataset

    _, tracks = read_dataset(album, card.sample_rate)
    if not any(len(track.audio) for track in tracks):
        raise AlbumError(f"{album} holds no sound", "Give an album with some")
    dc, gain = dataset.scale(tracks, card.architecture.pre_emphasis)
    own = {"album_gain": gain} if card.training.albums > 1 else {}
    tokens = [dataset.tokenise(track, dc, card.architecture.model_copy(update=own)) for track in tracks]
    names = [track.name for track in tracks]
    if held_out is None:
        return [(name, whole) for name, whole in zip(names, tokens, strict=True) if len(whole)]
    try:
        held = dataset.split(tokens, held_out.shortest, held_out.split, np.random.default_rng(held_out.seed))
    except AlbumError as error:
        raise AlbumError(f"{album}: {error.what}", "Leave --split away, or give the album of the training") from None
    pieces = [[p for p in (*held.validation, *held.test) if np.may_share_memory(p, whole)] for whole in tokens]
    return [(name, np.concatenate(own)) for name, own in zip(names, pieces, strict=True) if own]


def _print(rows: list[dict[str, Any]], whole: dict[str, Any], rate: int) -> None:
    width = max(len(row["track"]) for row in rows)
    for row in rows:
        click.echo(f"{row['track']:{width}}  {row['seconds'] / 60:7.1f} min  {row['bits']:.3f} bits per sample")
    click.echo(f"{'all':{width}}  {whole['samples'] / rate / 60:7.1f} min  {whole['bits']:.3f} bits per sample")
