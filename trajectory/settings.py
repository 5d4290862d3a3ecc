"""What can be chosen, one frozen record a stage, kept as JSON beside every run. Knows no data and does no work."""

import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from trajectory.errors import TrajectoryError

Scale = Literal["linear", "decibel", "mel"]
Device = Literal["auto", "cpu", "cuda"]
Hue = Literal["time", "loudness", "brightness", "speed", "curvature", "section", "beat phase"]  # what colours a path
HEARD: tuple[Hue, ...] = ("loudness", "brightness")  # of them, those that need the sound
LONGEST_SENTENCE = 300  # letters: a value may come from a stranger's file
LEAST_WINDOW, MOST_WINDOW = 0.25, 4.0  # seconds
HUES: tuple[Hue, ...] = typing.get_args(Hue)
Pooling = Literal["mean", "max", "attention"]  # of a song's frames into one vector
Likeness = Literal["cosine", "euclidean"]

NAMED = re.compile(r"([A-Za-z0-9.-]{1,64}( [A-Za-z0-9.-]{1,64})*)?")
LARGEST_WHOLE = 10**300  # that is made a float
SONG_ENDINGS = ("wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "mp4", "aac", "aif", "aiff", "caf", "w64", "webm", "mka")
FILM_SIZES = {"1080p": (1920, 1080), "720p": (1280, 720), "4K": (3840, 2160), "portrait": (1080, 1920), "square": (1080, 1080)}
FORECASTERS = ("persistence", "mean", "knn", "delay-knn", "smap", "default", "ensemble", "mlp", "lstm", "causal", "branch")
RHYTHMS = ("rhythm", "rhythm-at-any-tempo")  # of a song's own path, not of its sound
ENCODERS = ("musicnn", "logmel-cnn", "rhythm", "rhythm-at-any-tempo", "wav2vec2", "hubert", "whisper")


class SettingsError(TrajectoryError):
    """A setting that makes no sense, or a settings file that cannot be read."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        raise SettingsError(line if len(line) <= LONGEST_SENTENCE else f"{line[:LONGEST_SENTENCE]}…")


@dataclass(frozen=True, kw_only=True)
class AudioLimits:
    """What a song may ask of the machine; checked against the header before anything is decoded."""

    bytes: int = 500_000_000
    seconds: float = 20 * 60.0  # of the section that is used; a longer file needs a section
    channels: int = 16
    lowest_rate: int = 8_000  # Hz
    highest_rate: int = 192_000  # Hz

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require(math.isfinite(value) and value > 0, f"a limit of {value} {name.replace('_', ' ')} leaves nothing; choose more than 0")


@dataclass(frozen=True, kw_only=True)
class SectionSettings:
    """The part of the song that is used, in its own seconds; `stop=None` is its end."""

    start: float = 0.0
    stop: float | None = None

    def __post_init__(self) -> None:
        for name in ("start", "stop"):  # 30 and 30.0 are the same moment and must give the same fingerprint
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else float(value))
        _require(math.isfinite(self.start) and self.start >= 0, f"a section cannot start at {self.start} s; choose 0 or later")
        if self.stop is not None:
            _require(
                math.isfinite(self.stop) and self.stop > self.start,
                f"a section from {self.start:g} s to {self.stop:g} s is empty; it must end after it starts",
            )


WHOLE = SectionSettings()


@dataclass(frozen=True, kw_only=True)
class SpectrogramSettings:
    """How sound becomes numbers: bins of `hop` samples, frequencies up to `highest_hz`."""

    scale: Scale = "linear"  # linear is the published one
    hop: int = 1024  # samples a bin, no overlap
    taper: float = 0.4  # Tukey's alpha
    highest_hz: float = 4_000.0
    decibels: float = 60.0  # range kept below the loudest value
    mel_bands: int = 94  # as many as linear frequencies

    def __post_init__(self) -> None:
        _require(self.scale in typing.get_args(Scale), f"there is no scale '{self.scale}'; choose linear, decibel or mel")
        _require(64 <= self.hop <= 16_384, f"a bin of {self.hop} samples is out of range; choose 64 to 16384")
        _require(0 <= self.taper <= 1, f"a taper of {self.taper} is out of range; choose 0 to 1")
        _require(200 <= self.highest_hz <= 22_050, f"a highest frequency of {self.highest_hz} Hz is out of range; choose 200 to 22050")
        _require(10 <= self.decibels <= 120, f"a range of {self.decibels} dB is out of range; choose 10 to 120")
        _require(8 <= self.mel_bands <= 256, f"{self.mel_bands} mel bands are out of range; choose 8 to 256")


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """How much sound one point stands for."""

    seconds: float = 0.5

    def __post_init__(self) -> None:
        _require(LEAST_WINDOW <= self.seconds <= MOST_WINDOW, f"a window of {self.seconds} s is out of range; choose 0.25 to 4 s")


HALF_SECOND = WindowSettings(seconds=0.5)
TWO_SECONDS = WindowSettings(seconds=2.0)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The network's free sizes; everything else follows from them and from the window."""

    dims: int = 3
    filters: tuple[int, ...] = (32, 64, 128)  # one stage each: convolution of width 3, ReLU, pooling by 2
    decoder_seeds: int = 64  # channels that the decoder starts from
    decoder_filters: int = 128
    history: int = 45  # points that the forecast branch looks back on
    branch_units: int = 16
    horizons: tuple[int, ...] = (1, 2, 4, 8)  # steps ahead that the branch predicts

    def __post_init__(self) -> None:
        _require(2 <= self.dims <= 32, f"{self.dims} dimensions are out of range; choose 2 to 32")
        _require(1 <= len(self.filters) <= 5 and all(1 <= n <= 1024 for n in self.filters), f"filters {self.filters} are out of range")
        _require(1 <= self.decoder_seeds <= 1024, f"{self.decoder_seeds} decoder seeds are out of range; choose 1 to 1024")
        _require(1 <= self.decoder_filters <= 1024, f"{self.decoder_filters} decoder filters are out of range; choose 1 to 1024")
        _require(2 <= self.history <= 512, f"a history of {self.history} points is out of range; choose 2 to 512")
        _require(1 <= self.branch_units <= 512, f"{self.branch_units} branch units are out of range; choose 1 to 512")
        _require(1 <= len(self.horizons) <= 32, "the branch needs 1 to 32 horizons")
        _require(
            all(1 <= h <= 256 for h in self.horizons) and list(self.horizons) == sorted(set(self.horizons)),
            f"horizons {self.horizons} must be rising steps from 1 to 256",
        )


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """How much each term of the loss counts; 0 switches it off."""

    reconstruction: float = 1.0  # beta
    forecast: float = 0.0  # alpha
    curvature: float = 0.0  # delta
    off_centre: float = 0.0  # gamma
    kl: float = 0.0  # makes the autoencoder variational

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require(math.isfinite(value) and value >= 0, f"the weight of {name} is {value}; it must be 0 or more")
        _require(any(dataclasses.astuple(self)), "every term of the loss is switched off; leave one on")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How the network is optimised."""

    steps: int | None = None  # None: as many as the song's length asks for
    batch: int = 128  # windows decoded a step
    rate: float = 0.012  # the one-cycle rate's peak
    stretch: int = 1_724  # bins embedded a step; longer songs are met in random stretches (40 s)
    until: float = 1.0  # share of the song that the network may see
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        _require(self.steps is None or 1 <= self.steps <= 100_000, f"{self.steps} steps are out of range; choose 1 to 100000")
        _require(2 <= self.batch <= 4_096, f"a batch of {self.batch} windows is out of range; choose 2 to 4096")
        _require(0 < self.rate <= 1, f"a rate of {self.rate} is out of range; choose above 0 and up to 1")
        _require(256 <= self.stretch <= 100_000, f"a stretch of {self.stretch} bins is out of range; choose 256 to 100000")
        _require(0.1 <= self.until <= 1, f"training until {self.until} of the song is out of range; choose 0.1 to 1")
        _require(0 <= self.seed < 2**31, f"seed {self.seed} is out of range; choose 0 to {2**31 - 1}")
        _require(self.device in typing.get_args(Device), f"there is no device '{self.device}'; choose auto, cpu or cuda")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides what a run is, given its song."""

    section: SectionSettings = WHOLE
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    window: WindowSettings = HALF_SECOND
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    encoder: str = ""  # another's name and version, where the path is not of the song's own network
    partner: str = ""  # the id of a second song, where one network was trained on both

    def __post_init__(self) -> None:
        for name in ("encoder", "partner"):  # they become part of labels, files and commands
            value = getattr(self, name)
            _require(NAMED.fullmatch(value) is not None, f"{name} is {value!r}; letters, digits, '.', '-' and single spaces are expected")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Takes what `to_dict` gave, checked field by field: the file may come from a stranger."""
        made: Self = _build(cls, values, "settings")
        return made

    @property
    def preset(self) -> str:
        """The name of the preset with these losses and horizons, else `custom`; of another encoder, its own."""
        if self.encoder:
            return self.encoder.partition(" ")[0]
        return next((name for name, (loss, horizons) in PRESETS.items() if loss == self.loss and horizons == self.model.horizons), "custom")

    def fingerprint(self) -> str:
        """The same for settings that give the same trajectory; where it is computed is left out."""
        values = self.to_dict()
        del values["training"]["device"]
        for name in ("encoder", "partner"):  # settings from before there were such keep their fingerprints
            if not values[name]:
                del values[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


_SEVERAL = (1, 2, 4, 8)
PRESETS: Mapping[str, tuple[LossSettings, tuple[int, ...]]] = types.MappingProxyType(
    {
        "pure": (LossSettings(), _SEVERAL),
        "conditioned": (LossSettings(forecast=0.003), _SEVERAL),
        "published": (LossSettings(forecast=0.001), (1,)),
        "smooth": (LossSettings(forecast=0.003, curvature=0.001), _SEVERAL),
        "variational": (LossSettings(kl=1e-4), _SEVERAL),
    }
)


def preset(name: str, **stages: Any) -> Settings:
    """The settings of a named preset; `stages` replace whole stages, its losses and horizons stay."""
    _require(name in PRESETS, f"there is no preset '{name}'; choose one of {', '.join(PRESETS)}")
    loss, horizons = PRESETS[name]
    model = stages.pop("model", ModelSettings())
    _require(
        model.horizons in (ModelSettings().horizons, horizons),
        f"the preset {name} has horizons {horizons}; set others with dataclasses.replace on what it gives",
    )
    model = dataclasses.replace(model, horizons=horizons)
    return Settings(loss=loss, model=model, **stages)


def _build(kind: type[Any], values: object, where: str) -> Any:
    if not isinstance(values, dict):
        raise SettingsError(f"{where} should be a table of names and values, not {values!r:.60}")
    hints = typing.get_type_hints(kind)
    unknown = [str(name) for name in values if name not in hints]
    _require(not unknown, f"{where} has no field '{', '.join(unknown)[:80]}'; it may come from another version")
    return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _read(hint: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type[Any], hint), value, where)
    choices = tuple(_choices(hint))
    if typing.get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
    elif value in choices and type(value) in {type(choice) for choice in choices}:
        return value
    elif float in choices and (type(value) is float or (type(value) is int and abs(value) < LARGEST_WHOLE)):
        return float(typing.cast(float, value))
    elif type(value) in choices:
        return value
    raise SettingsError(f"{where} cannot be {value!r:.60}")


def _choices(hint: Any) -> Iterator[Any]:
    """The types, or for a Literal the values, that a field takes."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        yield from typing.get_args(hint)
    elif origin is types.UnionType:
        for part in typing.get_args(hint):
            yield from _choices(part)
    else:
        yield hint
