"""A small network over log-mel spectrograms, trained on one's own songs as Siamese twins: two pieces of a song are drawn together.

A few songs teach little about the next, so each step makes up songs out of them: mixed, transposed and filtered, both twins
alike. What differs between twins (the moment, the level, missing bands) is what the network learns to overlook.
"""

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from trajectory import training
from trajectory.encoders import EncoderError, Report, at_rate
from trajectory.encoders.musicnn import BANDS, HOP, SAMPLE_RATE, WINDOW, log_mel
from trajectory.errors import DAMAGE
from trajectory.records import Floats, Recording, Trajectory

CODE = 1  # counts changes of what is done with the weights
FILES = ("settings.json", "model.safetensors")

CHANNELS = (16, 32, 64)  # of the three blocks
STRIDE = 8  # spectra from one column of what the blocks make to the next
REACH = 23  # spectra that one column has heard
COLUMNS_APART = 4  # from frame to frame: half a second
FRAMES_AT_ONCE = 64  # bounds the memory, however long the song
LEARNED_SECONDS = 120.0  # from the middle of each song: bounds the memory, however many songs

TEMPERATURE = 0.1  # of the contrast: how much the nearest strangers count
MIXED = 0.5  # share of the songs that get a second one mixed in
SEMITONES = 6.0  # up and down
TRANSPOSITIONS = 25
RIPPLES = 4  # of the filter over all bands
FILTER_DECIBELS = 4.0  # standard deviation of each ripple
LEVEL_DECIBELS = 6.0  # up and down
BANDS_MISSING = 16  # at most


@dataclass(frozen=True, kw_only=True)
class LogmelSettings:
    """How long and on what the twins are trained."""

    steps: int = 150
    batch: int = 16  # songs in a step, two pieces of each
    seconds: float = 2.0  # of a piece
    dims: int = 64
    rate: float = 0.003  # the highest
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"steps": (1, 1e6), "batch": (2, 1024), "seconds": (0.5, 20), "dims": (2, 1024), "rate": (1e-6, 1), "seed": (0, 2**63 - 1)}
        for name, (low, high) in limits.items():
            value, kind = getattr(self, name), float if name in ("seconds", "rate") else int
            if not (isinstance(value, int | kind) and low <= value <= high):
                raise EncoderError(f"logmel-cnn cannot be trained with {name} = {value}; choose {low:g} to {high:g}")

    @property
    def columns(self) -> int:
        """What the blocks make of a piece."""
        return 1 + round((self.seconds * SAMPLE_RATE / HOP - REACH) / STRIDE)

    @property
    def spectra(self) -> int:
        return REACH + (self.columns - 1) * STRIDE


@dataclass(frozen=True, kw_only=True, eq=False)
class LogmelEncoder:
    """The encoder: a frame is what the network makes of one piece, and has length 1."""

    network: "Network"
    settings: LogmelSettings
    version: str
    name: str = "logmel-cnn"

    @property
    def dims(self) -> int:
        return self.settings.dims

    def frames(self, recording: Recording, *, report: Report | None = None) -> Trajectory:
        samples, piece = at_rate(recording, SAMPLE_RATE), self.settings.spectra
        spectra = 1 + len(samples) // HOP
        apart = min(COLUMNS_APART, (spectra - piece) // STRIDE)  # a song of barely a piece gives two frames all the same
        if apart < 1:
            raise EncoderError(f"{recording.name} lasts {recording.seconds:.3g} s; this logmel-cnn needs {_seconds(piece + STRIDE):.3g} s")
        firsts = range(0, spectra - piece + 1, apart * STRIDE)
        found: list[Floats] = []
        with training.one_thread(), torch.inference_mode():
            for at in range(0, len(firsts), FRAMES_AT_ONCE):
                batch = firsts[at : at + FRAMES_AT_ONCE]
                found.append(self.network(log_mel(samples, batch[0], batch[-1] + piece)[None], apart)[0].numpy())
                if report is not None:
                    report((at + len(batch)) / len(firsts))
        centres = (np.array(firsts) + (piece - 1) / 2) * HOP / SAMPLE_RATE
        return Trajectory(points=np.concatenate(found), times=recording.start + centres)


class Network(nn.Module):
    """Three blocks of convolution, norm and halving; mean and maximum over frequency and time; a head; unit length.

    Nothing is padded in time, so that a piece gives the same alone as within its song.
    """

    def __init__(self, settings: LogmelSettings) -> None:
        super().__init__()
        first, second, third = CHANNELS
        self.columns = settings.columns
        self.blocks = nn.Sequential(
            *(nn.Conv2d(2, first, 5, stride=2, padding=(0, 2), bias=False), nn.BatchNorm2d(first), nn.ReLU()),
            *(nn.Conv2d(first, second, 3, padding=(0, 1), bias=False), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(second, third, 3, padding=(0, 1), bias=False), nn.BatchNorm2d(third), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.head = nn.Linear(2 * third, settings.dims)  # a hidden layer before it told unheard songs apart less well

    def forward(self, spectra: Tensor, apart: int = COLUMNS_APART) -> Tensor:
        """(songs, spectra, BANDS) -> (songs, frames, dims), a frame every `apart` columns."""
        height = torch.linspace(-1, 1, BANDS).expand_as(spectra)  # lets a filter tell low from high, which pooling would forget
        maps = self.blocks(torch.stack([spectra - 1.5, height], dim=3).permute(0, 3, 1, 2))  # a view that lies channels last
        mean = F.avg_pool1d(maps.mean(dim=3), self.columns, apart)
        highest = F.max_pool1d(maps.amax(dim=3), self.columns, apart)
        return F.normalize(self.head(torch.cat([mean, highest], dim=1).transpose(1, 2)), dim=2)


def fit(recordings: Sequence[Recording], settings: LogmelSettings, *, report: training.Report | None = None) -> LogmelEncoder:
    """Trains on these songs; each is asked for once and let go, so the sequence may load them as it goes."""
    if len(recordings) < 2:
        raise EncoderError(f"{len(recordings)} songs have nothing to be told from; logmel-cnn needs at least 2")
    with training.one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        songs = [_learned(recording, settings.spectra) for recording in recordings]
        network = Network(settings)
        twins = Twins(network, songs, settings)
        training.train(network.parameters(), twins, {"contrast": 1.0}, steps=settings.steps, rate=settings.rate, report=report)
    return _encoder(network, settings)


def _learned(recording: Recording, piece: int) -> Tensor:
    """A song's log-mel spectra in half the memory."""
    kept = round(LEARNED_SECONDS * recording.sample_rate)
    first = max(0, len(recording.samples) - kept) // 2
    samples = at_rate(dataclasses.replace(recording, samples=recording.samples[first : first + kept]), SAMPLE_RATE)
    spectra = 1 + len(samples) // HOP
    if spectra < piece:
        raise EncoderError(f"{recording.name} lasts {recording.seconds:.3g} s; pieces of {_seconds(piece):.3g} s cannot be cut from it")
    return torch.cat([log_mel(samples, at, min(at + 1000, spectra)).half() for at in range(0, spectra, 1000)])


class Twins:
    """One step's loss: two pieces from each of so many songs, some of them made up."""

    def __init__(self, network: Network, songs: list[Tensor], settings: LogmelSettings) -> None:
        self.network, self.songs = network, songs
        self.batch, self.piece = settings.batch, settings.spectra
        self.transpositions = transpositions()

    def __call__(self) -> dict[str, Tensor]:
        count = len(self.songs)
        chosen = torch.cat([torch.randperm(count) for _ in range(math.ceil(self.batch / count))])[: self.batch]
        others = (chosen + torch.randint(1, count, chosen.shape)) % count
        power = self._pieces(chosen) + _some(self.batch, MIXED)[:, None, None, None] * self._pieces(others)
        shift = self.transpositions[torch.randint(len(self.transpositions), chosen.shape)]
        power = (power.flatten(1, 2) @ shift).view_as(power)
        heard = torch.log10(1 + power * _alike(self.batch) * _apart(self.batch))
        points = self.network(heard.flatten(0, 1))[:, 0].unflatten(0, (self.batch, 2))
        return {"contrast": contrast(points)}

    def _pieces(self, chosen: Tensor) -> Tensor:
        """The mel bands' power in two places of each song, in units in which log_mel adds 1: (songs, 2, spectra, BANDS)."""
        places = [(self.songs[song], at) for song in chosen.tolist() for at in self._places(song)]
        log = torch.stack([song[at : at + self.piece] for song, at in places]).float()
        return torch.expm1(log * math.log(10)).unflatten(0, (len(chosen), 2))

    def _places(self, song: int) -> list[int]:
        return torch.randint(len(self.songs[song]) - self.piece + 1, (2,)).tolist()


def contrast(points: Tensor) -> Tensor:
    """NT-Xent: -log of exp(a.b / T) over the sum of exp(a.c / T) for all c but a, with b the twin of a; (songs, 2, dims) -> a number."""
    songs = len(points)
    flat = torch.cat([points[:, 0], points[:, 1]])
    itself = torch.eye(2 * songs, dtype=torch.bool)
    return F.cross_entropy((flat @ flat.T / TEMPERATURE).masked_fill(itself, -math.inf), torch.arange(2 * songs).roll(songs))


def transpositions() -> Tensor:
    """Matrices that move the mel bands' power up or down: each new band reads, between two old ones, where its sound has come from."""
    bands = melscale_fbanks(WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney").double()
    hertz = (torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1).double() @ bands / bands.sum(dim=0)).numpy()  # the bands' centres
    semitones = np.linspace(-SEMITONES, SEMITONES, TRANSPOSITIONS)
    origin = np.interp(hertz / 2 ** (semitones[:, None] / 12), hertz, np.arange(BANDS))
    return torch.from_numpy(np.maximum(0, 1 - np.abs(np.arange(BANDS)[:, None] - origin[:, None, :]))).float()  # (shifts, old, new)


def _some(count: int, share: float) -> Tensor:
    """How loud the second song is: nothing for most."""
    return torch.rand(count) * (torch.rand(count) < share)


def _alike(count: int) -> Tensor:
    """A filter for each song, the same for both twins: (songs, 1, 1, BANDS)."""
    ripples = torch.cos(math.pi * torch.arange(1, RIPPLES + 1)[:, None] * torch.arange(BANDS) / BANDS)
    return _of_decibels(FILTER_DECIBELS * torch.randn(count, 1, 1, RIPPLES) @ ripples / math.sqrt(2))


def _apart(count: int) -> Tensor:
    """A level and a few missing bands for each twin: (songs, 2, 1, BANDS)."""
    level = _of_decibels(LEVEL_DECIBELS * (2 * torch.rand(count, 2, 1, 1) - 1))
    first = torch.randint(BANDS, (count, 2, 1, 1))
    last = first + torch.randint(BANDS_MISSING + 1, (count, 2, 1, 1))
    band = torch.arange(BANDS)
    return level * ((band < first) | (band >= last))


def _of_decibels(decibels: Tensor) -> Tensor:
    return 10 ** (decibels / 10)


def _seconds(spectra: int) -> float:
    return spectra * HOP / SAMPLE_RATE


def _encoder(network: Network, settings: LogmelSettings) -> LogmelEncoder:
    digest = hashlib.sha256(f"{CODE} {settings.spectra}".encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode() + values.contiguous().numpy().tobytes())
    return LogmelEncoder(network=network.eval(), settings=settings, version=digest.hexdigest()[:16])


def save(encoder: LogmelEncoder, folder: str | Path) -> Path:
    """Writes the encoder beside its place and moves it there; one that stood there before is replaced only then."""
    folder = Path(folder).resolve()
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} in (set(), set(FILES))):
        raise EncoderError(f"{folder} exists and is no logmel-cnn; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            fresh, old = Path(beside) / "new", Path(beside) / "old"
            fresh.mkdir()
            _write(encoder, fresh)
            if folder.exists():
                folder.rename(old)
            try:
                fresh.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def _write(encoder: LogmelEncoder, folder: Path) -> None:
    about = {"encoder": encoder.name, "settings": dataclasses.asdict(encoder.settings)}
    weights = {name: values.contiguous() for name, values in encoder.network.state_dict().items()}
    for name, content in zip(FILES, (json.dumps(about, indent=1).encode(), safetensors.torch.save(weights)), strict=True):
        with (folder / name).open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())


def opened(folder: str | Path) -> LogmelEncoder:
    """An encoder that was trained and saved before; a damaged one is refused."""
    folder = Path(folder)
    missing = [name for name in FILES if not os.path.isfile(folder / name)]  # noqa: PTH113 - unlike Path's, it never raises
    if missing:
        raise EncoderError(f"{folder} is no logmel-cnn: {' and '.join(missing)} missing; train one and give the folder it was saved in")
    try:
        about = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        if about["encoder"] != "logmel-cnn":
            raise ValueError("its settings are another encoder's")
        settings = LogmelSettings(**about["settings"])
        network = Network(settings)
        weights = safetensors.torch.load_file(folder / FILES[1])
        network.load_state_dict(weights)
        if not all(values.isfinite().all() for values in weights.values()):
            raise ValueError("it holds weights that are not numbers")
    except (*DAMAGE, SafetensorError, EncoderError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EncoderError(f"the logmel-cnn in {folder} cannot be opened ({reason}); train it again") from error
    return _encoder(network, settings)
