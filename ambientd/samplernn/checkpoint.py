"""The checkpoint: one `NAME.safetensors` with weights, prime audio and card. NumPy only; any process.

Format: https://github.com/huggingface/safetensors#format (8 bytes of header length, JSON header, tensors).
The card is JSON under the header's metadata key `ambientd`. Nothing is unpickled, and the header, the
tensor count and every size are bounded before anything is allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ambientd.arrays import Floats, Tokens
from ambientd.errors import CheckpointError
from ambientd.types import MOST_TIERS, Quantization, VoiceInfo

FORMAT = 1
METADATA_KEY = "ambientd"
MAX_HEADER_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 30
MAX_TENSORS = 256
LEVEL_DB, MOST_TRIM_DB = -20.0, 12.0
"""What voices are trimmed to, dBFS (mean square), and at most by how much."""
MAX_PROFILE = 512
MAX_GUIDE = 65_536


Temperature = Annotated[float, Field(gt=0, le=4)]


class _Section(BaseModel):
    # A newer version may add facts to a card; an older reader must still play it.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Forecast(_Section):
    """The adaptive linear forecast that a sample tier may hear; see `samplernn.forecast`."""

    orders: tuple[Annotated[int, Field(ge=16, le=4096, multiple_of=16)], ...] = Field(
        default=(2048, 256, 16), min_length=1, max_length=8
    )
    """Taps of each filter of the cascade."""
    rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.005, 0.002, 0.002)
    """How fast each adapts. Slow ones hold a tone; fast ones predict better, and turn free-running tones to noise."""

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.orders) != len(self.rates):
            raise ValueError(f"{len(self.orders)} orders need as many rates, got {len(self.rates)}")
        return self


class Architecture(_Section):
    """The hyperparameters, from which every tensor's shape follows."""

    dim: int = Field(ge=1, le=4096)
    frame_sizes: tuple[Annotated[int, Field(ge=2, le=4096)], ...] = Field(min_length=1, max_length=MOST_TIERS)
    """In samples, lowest tier first; each divides the next."""
    n_rnn: int = Field(ge=1, le=8)
    cell: str = Field(default="gru", pattern="^gru$")
    q_levels: int = Field(default=256, ge=2, le=256)
    quantization: Quantization = "mu-law"
    pre_emphasis: float = Field(default=0.0, ge=0, lt=1)
    album_gain: float = Field(default=1.0, gt=0, lt=1e6)
    forecast: Forecast | None = None
    """None: plain SampleRNN."""

    @field_validator("frame_sizes")
    @classmethod
    def _nested(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        for low, high in pairwise(sizes):
            if high % low or high == low:
                raise ValueError(f"each frame size must be a multiple of the one below it, got {sizes}")
        return sizes

    @property
    def ratios(self) -> tuple[int, ...]:
        """How many vectors each tier hands to the one below per frame."""
        return tuple(b // a for a, b in zip((1, *self.frame_sizes), self.frame_sizes, strict=False))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the model with its shape."""
        d, q = self.dim, self.q_levels
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (size, ratio) in enumerate(zip(self.frame_sizes, self.ratios, strict=True)):
            shapes |= {f"tiers.{k}.input.weight": (d, size), f"tiers.{k}.input.bias": (d,)}
            for layer in range(self.n_rnn):
                cell = f"tiers.{k}.rnn.{layer}"
                shapes |= {f"{cell}.weight_ih": (3 * d, d), f"{cell}.weight_hh": (3 * d, d)}
                shapes |= {f"{cell}.bias_ih": (3 * d,), f"{cell}.bias_hh": (3 * d,), f"{cell}.h0": (d,)}
            shapes |= {f"tiers.{k}.upsample.weight": (ratio * d, d), f"tiers.{k}.upsample.bias": (ratio * d,)}
        shapes |= {"sample.table": (self.frame_sizes[0], q, d)}
        shapes |= {"sample.hidden.weight": (d, d), "sample.hidden.bias": (d,)}
        shapes |= {"sample.output.weight": (q, d), "sample.output.bias": (q,)}
        if self.forecast:
            shapes |= {"forecast.table": (3, 256, d), "forecast.width": (2, 256), "forecast.slope": (1,)}
        return shapes


class Album(_Section):
    """Whose music this is; kept in every checkpoint, because the licence asks for it."""

    title: str = "untitled"
    artist: str = "unknown"
    licence: str = "unknown"
    licence_url: str = ""
    attribution: str = ""
    character: str = ""
    sources: tuple[str, ...] = ()
    """SHA-256 of each track."""

    @property
    def own_licence(self) -> str:
        """Without that of the base which the model began as: `licence` names both."""
        return self.licence.partition("; base: ")[0]


class HeldOut(_Section):
    """Which part of each album a training held out; the words of its `--split` and `--seed`."""

    split: str = "auto"
    seed: int = Field(default=1, ge=0)
    shortest: int = Field(default=1, ge=1)
    """Samples: what of a track is shorter was left away."""


class Training(_Section):
    """How the weights came about, and how good they measured."""

    steps: int = 0
    hours_heard: float = 0.0
    """With those of the checkpoint that it was fine-tuned from."""
    cpu_minutes: float = 0.0
    validation_bits: float | None = None
    """Negative log-likelihood of the held-out part that chose the checkpoint, bits per sample."""
    test_bits: float | None = None
    """The same of a held-out part that chose nothing."""
    albums: int = 1
    """So many were learnt together, each at a gain of its own; of several the card's gain is only the mean."""
    held_out: HeldOut = HeldOut()
    software: dict[str, str] = {}


class Card(_Section):
    """Everything about a checkpoint that is not a number in its network."""

    format: int = FORMAT
    architecture: Architecture
    sample_rate: int = Field(ge=1000, le=384_000)
    album: Album = Album()
    training: Training = Training()
    temperature: Temperature = 1.0
    """The best one found by free-running."""
    temperature_range: tuple[Temperature, Temperature] | None = None
    """From the lowest to the highest temperature at which free-running audio neither died, nor drowned, nor looped."""
    scores: dict[str, float] = {}
    """`ambientd.samplernn.scores` of free-running audio at `temperature`."""
    album_scores: dict[str, float] = {}
    """The same of the album; `distance` is that between its own parts."""
    family: str | None = None
    """The fingerprint of the checkpoint that this one, and all that may share conditioning with it, began as."""

    @property
    def trim(self) -> float:
        """The gain that takes its voices to LEVEL_DB, as far as MOST_TRIM_DB goes; 1 where no level was measured.

        By what it plays by itself rather than by its album: a network may be louder or softer than what it learnt.
        """
        level = self.scores.get("level_db", self.album_scores.get("level_db"))
        if level is None or not math.isfinite(level):
            return 1.0
        return float(10 ** (min(max(LEVEL_DB - level, -MOST_TRIM_DB), MOST_TRIM_DB) / 20))


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory. tensors: float32 by name; prime: uint8 [places, samples].

    profile: float32 [1 + F, F], the mean and the covariance of the album's F features, where it was kept.
    guide: float32 [frames, order + 1], what a voice with a forecast follows; see `samplernn.guide`.
    """

    id: str
    card: Card
    tensors: Mapping[str, Floats]
    prime: Tokens
    profile: Floats | None = None
    guide: Floats | None = None
    levelled: bool = True
    """Whether its voices are to come out as loud as all others."""

    @property
    def family(self) -> str:
        """Of the card, else the one it would found."""
        return self.card.family or fingerprint(self.tensors)

    @property
    def info(self) -> VoiceInfo:
        a = self.card.architecture
        return VoiceInfo(
            id=self.id,
            title=self.card.album.title,
            sample_rate=self.card.sample_rate,
            dim=a.dim,
            frame_sizes=a.frame_sizes,
            q_levels=a.q_levels,
            quantization=a.quantization,
            pre_emphasis=a.pre_emphasis,
            album_gain=a.album_gain,
            temperature=self.card.temperature,
            family=self.family,
            trim=self.card.trim if self.levelled else 1.0,
        )


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, or raise CheckpointError naming the file and the remedy."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card, entries = _read_header(path)
    wanted = card.architecture.shapes()
    _check_shapes(path, wanted, entries)
    _check_extras(path, card.architecture, entries)
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error})", "Fetch the file again") from None
    prime = arrays["prime"]
    tensors = {name: arrays[name].astype(np.float32) for name in wanted}
    extras = {name: arrays[name] for name in ("profile", "guide") if name in entries}
    for name, tensor in (tensors | extras).items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity", "Train it again, or use another")
    if int(prime.max(initial=0)) >= card.architecture.q_levels:
        raise CheckpointError(f"{path}: the prime audio holds tokens above q_levels", "Export it again")
    guide = extras.get("guide")
    if guide is not None and not ((guide[:, :1] > 0) & (np.abs(guide[:, 1:]) <= guide[:, :1])).all():
        raise CheckpointError(f"{path}: the guide holds what is no autocorrelation", "Export it again")
    return Checkpoint(path.stem, card, tensors, prime, extras.get("profile"), guide)


def load_card(path: Path) -> Card:
    """Read only the card."""
    return _read_header(path)[0]


def save(
    path: Path,
    card: Card,
    tensors: Mapping[str, NDArray[Any]],
    prime: Tokens,
    half: bool = True,
    profile: NDArray[Any] | None = None,
    guide: NDArray[Any] | None = None,
) -> None:
    """Write a checkpoint atomically. half: store float16, which costs nothing audible and halves the file."""
    write_atomically(path, dump(card, tensors, prime, half, profile, guide))


def dump(
    card: Card,
    tensors: Mapping[str, NDArray[Any]],
    prime: Tokens,
    half: bool = True,
    profile: NDArray[Any] | None = None,
    guide: NDArray[Any] | None = None,
) -> bytes:
    """The file that `save` writes."""
    from safetensors.numpy import save as serialise

    wanted = card.architecture.shapes()
    if missing := wanted.keys() - tensors.keys():
        raise CheckpointError(f"tensors are missing: {', '.join(sorted(missing))}")
    dtype = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        arrays: dict[str, NDArray[Any]] = {n: np.ascontiguousarray(tensors[n], dtype) for n in wanted}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"tensor {name} holds NaN, infinity or what its type cannot hold", "Train it again")
    card = card.model_copy(update={"family": card.family or fingerprint(tensors)})
    arrays["prime"] = np.ascontiguousarray(prime, np.uint8)
    arrays |= {
        name: np.ascontiguousarray(extra, np.float32)
        for name, extra in (("profile", profile), ("guide", guide))
        if extra is not None and extra.size
    }
    data: bytes = serialise(arrays, metadata={METADATA_KEY: card.model_dump_json()})
    return data


def fingerprint(tensors: Mapping[str, NDArray[Any]]) -> str:
    """16 hex digits of a SHA-256 over the weights, as half floats: the family that a checkpoint founds.

    It is the same whether the weights come from the file or from memory, and whatever the card says. A
    checkpoint that descends from none is written as a member of its own family, so that those fine-tuned from
    it are of one family with it; a file without a family (of an older version) is of its fingerprint's.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        with np.errstate(over="ignore"):
            digest.update(name.encode() + np.ascontiguousarray(tensors[name], np.float16).tobytes())
    return digest.hexdigest()[:16]


def write_atomically(path: Path, data: bytes) -> None:
    """Either the whole file is there afterwards, or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_header(path: Path) -> tuple[Card, dict[str, Any]]:
    """(card, tensor entries as the file states them); file, header and tensor count are bounded here."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            raw = file.read(length) if length <= min(MAX_HEADER_BYTES, size) else b""
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist", "See `ambientd models list`") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from None
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", "That is no SampleRNN checkpoint")
    foreign = CheckpointError(
        f"{path} is not an ambientd checkpoint", "Use a .safetensors file written by `ambientd train`"
    )
    if size < 10 or len(raw) != length or not raw.startswith(b"{"):
        raise foreign
    try:
        header = json.loads(raw)
        metadata = json.loads(header.pop("__metadata__", {})[METADATA_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise foreign from None
    if not isinstance(metadata, dict) or metadata.get("format", 0) > FORMAT:
        raise CheckpointError(f"{path} is of a newer format than this version reads", "Update ambientd")
    if len(header) > MAX_TENSORS:
        raise CheckpointError(f"{path} has {len(header)} tensors, more than {MAX_TENSORS}", "It is not to be trusted")
    try:
        card = Card.model_validate(metadata)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: card field {where}: {first['msg']}", "Export it again") from None
    return card, header


def _check_shapes(path: Path, wanted: dict[str, tuple[int, ...]], entries: dict[str, Any]) -> None:
    """Sizes follow from the card, so a file cannot ask for more memory than its card admits."""
    for name, shape in wanted.items():
        entry = entries.get(name, {})
        if entry.get("shape") != list(shape) or entry.get("dtype") not in ("F16", "F32"):
            found = f"{entry.get('dtype')} {entry.get('shape')}" if entry else "missing"
            raise CheckpointError(f"{path}: tensor {name} should be {list(shape)} and is {found}", "Export it again")
    prime = entries.get("prime", {})
    if prime.get("dtype") != "U8" or len(prime.get("shape", ())) != 2:
        raise CheckpointError(f"{path}: the prime audio (uint8 [places, samples]) is missing", "Export it again")


def _check_extras(path: Path, architecture: Architecture, entries: dict[str, Any]) -> None:
    """The tensors that a checkpoint may have or lack."""
    if profile := entries.get("profile"):
        shape = profile.get("shape", ())
        if profile.get("dtype") != "F32" or len(shape) != 2 or shape[0] != shape[1] + 1 or shape[0] > MAX_PROFILE:
            raise CheckpointError(f"{path}: the profile should be float32 [1 + F, F] and is {shape}", "Export it again")
    if guide := entries.get("guide"):
        shape = guide.get("shape", ())
        orders = architecture.forecast.orders if architecture.forecast else (0,)
        fits = len(shape) == 2 and 0 < shape[0] <= MAX_GUIDE and 0 < shape[1] - 1 <= orders[0] and shape[1] % 16 == 1
        if guide.get("dtype") != "F32" or not fits:
            raise CheckpointError(
                f"{path}: the guide should be float32 [frames, order + 1], order up to {orders[0]}, and is {shape}",
                "Export it again",
            )


def valid_id(text: str) -> bool:
    """Whether `text` may name a checkpoint in a library: never a path."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None
