"""A run as one zip that comes back as it was, with all that says how it was made.

A bundle may come from a stranger: it is read with limits, and nothing in it is believed before it was looked at.
"""

import hashlib
import io
import json
import math
import os
import re
import shlex
import stat
import struct
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np

from trajectory import holding, runs
from trajectory.colouring import hues
from trajectory.errors import DAMAGE, TrajectoryError
from trajectory.features import Features
from trajectory.runs import Run
from trajectory.settings import AudioLimits, Hue, Settings, preset

VERSION = 1
MANIFEST, README, FEATURES = "manifest.json", "README.md", "features.npz"
SOUND = re.compile(r"sound\.[a-z0-9]{1,5}")
NEEDED = {MANIFEST, README, *runs.FILES}
LARGEST = {".md": 1_000_000, ".json": 16_000_000, ".npz": 128_000_000, ".safetensors": 128_000_000}  # bytes of a member
UNPACKED_BYTES = 160_000_000  # of all members but the sound, and of the arrays in one npz
SOUND_SHRINKS = 8  # times at most, when it is packed
ARRAYS = {  # the type and the number of axes of each
    "trajectory.npz": {"points": ("float32", 2), "times": ("float64", 1)},
    "forming.npz": {"steps": ("int64", 1), "points": ("float32", 3), "times": ("float64", 1)},
    FEATURES: {
        "start": ("float64", 0),
        "bin_seconds": ("float64", 0),
        "loudness": ("float32", 1),
        "brightness": ("float32", 1),
        "waveform": ("float32", 2),
        "picture": ("uint8", 2),
        "highest_hz": ("float64", 0),
    },
}
LONGEST_NAME = 80  # letters of a file's
LONGEST_TEXT = 10_000  # letters of a text in a run
FARTHEST = 1e6  # that a camera stands away

FLAGS = {
    "spectrogram.scale": "--scale",
    "window.seconds": "--window",
    "model.dims": "--dims",
    "model.history": "--history",
    "model.horizons": "--horizons",
    "section.start": "--from",
    "section.stop": "--to",
    "training.until": "--train-until",
    "training.device": "--device",
    "training.steps": "--steps",
    "training.batch": "--batch",
    "training.rate": "--rate",
    "training.seed": "--seed",
    "loss.forecast": "--alpha",
    "loss.reconstruction": "--beta",
    "loss.off_centre": "--gamma",
    "loss.curvature": "--delta",
    "loss.kl": "--kappa",
}
SAYS = """\
# {title}

The shape of this song: a small network was trained on it alone and turned it into a path of {points} points in {dims} dimensions, one for
every window of {window:g} s.

- `settings.json`: every setting, with the seed ({seed}), and what is known of the song
- `model.safetensors`: the network's weights
- `trajectory.npz`: `points`, and `times` in seconds of the song
- `training.json`: the losses step by step, and the versions it was made with: {versions}
- `forming.npz`: snapshots of the path while it trained
- `features.npz` and `sound.*`, where they are there: what is heard in the song, and the song itself
- `manifest.json`: the SHA-256 of each of these files

## Open it

    python -m trajectory import BUNDLE.zip

## Make it again

From the song's own file, with the versions above:

{again}

The same machine gives the same numbers (here it took {seconds:.0f} s on {device}); another gives the same shape with other last digits.
"""


MARKDOWN = "\\`*_[]<>#|!~&$"  # what a README would not show as it is


class ExportError(TrajectoryError):
    """What cannot be exported, or not taken back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """What came back: a run as it was, and what is needed to see it as it was seen."""

    run: Run
    features: Features | None
    sound: bytes | None
    sound_name: str | None
    hue: Hue
    camera: tuple[float, ...] | None  # eye, centre and up: nine numbers, as a link to Explore has them


def stem(name: str) -> str:
    """A file's name, without its ending, that every system takes and that leads nowhere else."""
    letters = unicodedata.normalize("NFC", name)
    kept = "".join(letter if unicodedata.category(letter)[0] in "LMN" or letter in " -_.,()" else "_" for letter in letters)
    return kept[:LONGEST_NAME].encode()[:200].decode(errors="ignore").strip(" .") or "trajectory"


def line(text: str) -> str:
    """Nothing but letters that can be shown: a title may come from a stranger's file."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def title(run: Run) -> str:
    """What the run's song is called."""
    return line(run.song.title or run.song.name)


def read(path: Path) -> bytes:
    """A file's bytes, or the sentence that says why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error


# --- Writing


def command(run: Run) -> str | None:
    """The command line that makes the run again; None where Python alone can set what it was made with."""
    if run.settings.encoder or run.settings.partner:
        return None
    name = run.settings.preset if run.settings.preset != "custom" else "conditioned"
    base, wanted = _flat(preset(name)), _flat(run.settings)
    changed = {field: value for field, value in wanted.items() if value != base[field] or field == "training.seed"}
    if not changed.keys() <= FLAGS.keys():
        return None
    values = {field: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for field, value in changed.items()}
    options = " ".join(f"{FLAGS[field]} {value}" for field, value in values.items())
    return f"python -m trajectory embed {shlex.quote(line(run.song.name))} --preset {name} {options} --out run"


def _flat(settings: Settings) -> dict[str, Any]:
    stages = {stage: fields for stage, fields in settings.to_dict().items() if isinstance(fields, dict)}
    return {f"{stage}.{field}": value for stage, fields in stages.items() for field, value in fields.items()}


def _readme(run: Run) -> str:
    in_python = (
        "import json, trajectory\n"
        'values = json.load(open("settings.json", encoding="utf-8"))["settings"]\n'
        f"run = trajectory.fit({line(run.song.name)!r}, trajectory.Settings.from_dict(values))"
    )
    if run.settings.encoder:
        in_python = (
            "import trajectory\nfrom trajectory import encoders, pipeline\n"
            f"run = pipeline.heard_path(trajectory.load({line(run.song.name)!r}), encoders.load({run.settings.preset!r}))"
        )
    if run.settings.partner:
        in_python = f"# its network was trained on this song and on the one with the id {line(run.settings.partner)}: pipeline.fit_pair"
    return SAYS.format(
        title="".join(f"\\{letter}" if letter in MARKDOWN else letter for letter in title(run)),
        points=len(run.trajectory.points),
        dims=run.trajectory.dims,
        window=run.settings.window.seconds,
        seed=run.settings.training.seed,
        versions=line(", ".join(f"{name} {version}" for name, version in run.training.versions.items())),
        again="\n".join(f"    {row}" for row in (command(run) or in_python).splitlines()),
        device=run.training.device,
        seconds=run.training.seconds,
    )


def write(
    file: BinaryIO, run: Run, *, features: Features | None, sound: Path | None, hue: Hue, camera: tuple[float, ...] | None = None
) -> None:
    """The same run gives the same bytes: no date and no owner is kept."""
    members = {README: _readme(run).encode(), **_run_files(run)}
    if features is not None:
        members[FEATURES] = features.to_bytes()
    if sound is not None:
        members[_sound_member(sound)] = read(sound)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    members[MANIFEST] = json.dumps({"version": VERSION, "hue": hue, "camera": camera, "sha256": hashes}, indent=1).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_STORED if SOUND.fullmatch(name) else zipfile.ZIP_DEFLATED)


def _run_files(run: Run) -> dict[str, bytes]:
    with holding.apart() as place:
        try:
            folder = runs.save(run, place / "run")
        except runs.RunError as error:
            raise ExportError(f"the run cannot be packed: {error}") from error
        return {name: read(folder / name) for name in runs.FILES}


def _sound_member(sound: Path) -> str:
    name = f"sound{sound.suffix.lower()}"
    if not SOUND.fullmatch(name):
        raise ExportError(f"{sound.name[:60]!r} has no ending that says what it is; rename it to end like .mp3 or .wav")
    return name


# --- Taking back


def import_bundle(bundle: str | Path | bytes) -> Bundle:
    """Takes back what was exported, or says in one sentence why not."""
    name = "the bundle" if isinstance(bundle, bytes) else repr(PurePath(bundle).name[:80])
    try:
        with io.BytesIO(bundle) if isinstance(bundle, bytes) else Path(bundle).open("rb") as file:
            members = _members(file)
        return _bundle(members)
    except (TrajectoryError, *DAMAGE) as error:
        reason = getattr(error, "strerror", None) or line(str(error))[:200] or type(error).__name__
        raise ExportError(f"{name} cannot be taken: {reason}") from error


def _members(file: BinaryIO) -> dict[str, bytes]:
    """Reads no more than a bundle may hold, and nothing to disk."""
    _check_end(file)
    with zipfile.ZipFile(file) as archive:
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            _check_entry(entry)
            if entry.filename in entries:
                raise ExportError(f"it holds {entry.filename} twice")
            entries[entry.filename] = entry
        if sum(entry.compress_size for entry in entries.values()) > file.seek(0, os.SEEK_END):
            raise ExportError("it lists more than it holds")
        unpacked = sum(entry.file_size for name, entry in entries.items() if not SOUND.fullmatch(name))
        if unpacked > UNPACKED_BYTES:
            raise ExportError(f"it unpacks to {unpacked / 1e6:.0f} MB beside its sound; {UNPACKED_BYTES / 1e6:g} MB are the most")
        found = {}
        for name, entry in entries.items():
            with archive.open(entry) as member:
                found[name] = member.read(entry.file_size)  # zipfile stops where the member was said to end
        return found


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if not (name in NEEDED or name == FEATURES or SOUND.fullmatch(name)):
        raise ExportError(f"it holds {name[:60]!r}, which is no part of a bundle")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.flag_bits & 1:
        raise ExportError(f"its {name} is no plain file")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ExportError(f"its {name} is packed in a way that no bundle uses")
    most = AudioLimits().bytes if SOUND.fullmatch(name) else LARGEST[PurePath(name).suffix]
    if entry.file_size > most:
        raise ExportError(f"its {name} is {entry.file_size / 1e6:.0f} MB large; {most / 1e6:g} MB are the most")
    if SOUND.fullmatch(name) and entry.file_size > max(1_000_000, SOUND_SHRINKS * entry.compress_size):
        raise ExportError(f"its {name} unpacks to more than sound does")


def _check_end(file: BinaryIO) -> None:
    """Before zipfile reads the list of members, which alone could fill the memory: a bundle's is short, and ends the file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    tail = file.read()
    if len(tail) < 22 or tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise ExportError("it is no zip, or was cut short")
    (length,) = struct.unpack("<L", tail[-10:-6])
    if length > 10_000 or tail[:4] == b"PK\6\7":
        raise ExportError("it lists more than a bundle holds")


def _bundle(members: dict[str, bytes]) -> Bundle:
    hue, camera = _check_manifest(members)
    for name in ARRAYS.keys() & members.keys():
        _check_arrays(name, members[name])
    with holding.apart() as place:
        for name in runs.FILES:
            (place / name).write_bytes(members[name])
        try:
            run = runs.load(place)
        except runs.RunError as error:
            raise ExportError(str(error).replace(str(place), "its run")) from error
    _check_run(run)
    features = Features.from_bytes(members[FEATURES]) if FEATURES in members else None
    if features is not None:
        _check_features(features)
    if hue not in hues(features, run.song.beat):
        raise ExportError("it is coloured by what it does not hold")
    sound = next((name for name in members if SOUND.fullmatch(name)), None)
    return Bundle(
        run=run,
        features=features,
        sound=members[sound] if sound else None,
        sound_name=stem(PurePath(run.song.name).stem) + PurePath(sound).suffix if sound else None,
        hue=hue,
        camera=camera,
    )


def _check_manifest(members: dict[str, bytes]) -> tuple[Hue, tuple[float, ...] | None]:
    """Every member is there, and is what was put in; how it was seen."""
    missing = NEEDED - members.keys()
    if missing:
        raise ExportError(f"{', '.join(sorted(missing))} is missing in it")
    if sum(bool(SOUND.fullmatch(name)) for name in members) > 1:
        raise ExportError("it holds more than one sound")
    about = json.loads(members[MANIFEST])
    if about["version"] != VERSION:
        raise ExportError(f"it is of version {str(about['version'])[:20]}, and this program reads {VERSION}; use the one that made it")
    found = {name: hashlib.sha256(data).hexdigest() for name, data in members.items() if name != MANIFEST}
    listed = about["sha256"]
    changed = sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name))
    if changed:
        raise ExportError(f"its {changed[0][:60]} is not what was put in; it was changed or damaged on its way")
    hue: Hue = about["hue"]
    camera = about.get("camera")
    if camera is None:
        return hue, None
    if not (len(camera) == 9 and all(isinstance(number, int | float) and abs(number) < FARTHEST for number in camera)):
        raise ExportError("its camera is not nine numbers")
    return hue, tuple(map(float, camera))


def _check_arrays(name: str, data: bytes) -> None:
    """Reads the heads of an npz alone: how large its arrays will be, of which type, and that nothing is pickled."""
    wanted = ARRAYS[name]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if sorted(entry.filename for entry in entries) != sorted(f"{array}.npy" for array in wanted):
            raise ExportError(f"its {name} holds other arrays than {', '.join(wanted)}")
        if sum(entry.file_size for entry in entries) > UNPACKED_BYTES:
            raise ExportError(f"its {name} unpacks to more than {UNPACKED_BYTES / 1e6:g} MB")
        for entry in entries:
            array = entry.filename.removesuffix(".npy")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
                raise ExportError(f"the {array} in its {name} are packed in a way that no bundle uses")
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ExportError(f"the {array} in its {name} are not as numpy writes them")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                whole = math.prod(shape) * dtype.itemsize == entry.file_size - file.tell()
            if (dtype.name, len(shape)) != wanted[array] or not whole:
                raise ExportError(f"the {array} in its {name} have another type or shape than a bundle's: {dtype} {shape}"[:160])


def _check_run(run: Run) -> None:
    """What the records of a run do not ask of each other, since only a stranger's can get it wrong."""
    path, song, log, forming, scaling = run.trajectory, run.song, run.training, run.forming, run.scaling
    start = run.settings.section.start
    beat = () if song.beat is None else (song.beat.bpm, song.beat.confidence, song.beat.first)
    texts = [song.name, song.title or "", song.artist or "", log.device, *log.versions, *log.versions.values()]
    numbers = [song.seconds, log.seconds, log.reconstruction, log.mean_reconstruction, *beat]
    numbers += [scaling.bin_seconds, scaling.low, scaling.high, *scaling.frequencies]
    sense = {
        "texts": all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in texts),
        "numbers": all(isinstance(number, int | float) and math.isfinite(number) for number in numbers) and all(beat[:1]),
        "losses": all(values.ndim == 1 for values in log.losses.values()),
        "dimensions": path.dims == forming.points.shape[2] == run.settings.model.dims,
        "snapshots": forming.points.size > 0 and bool(np.isfinite(forming.points).all()) and bool((np.diff(forming.times) > 0).all()),
        "times": start <= path.times[0] and path.times[-1] <= start + song.seconds and 1e-3 < scaling.bin_seconds < 1,
    }
    wrong = [name for name, holds in sense.items() if not holds]
    if wrong:
        raise ExportError(f"the {wrong[0]} of its run make no sense")


def _check_features(heard: Features) -> None:
    numbers = (heard.start, heard.bin_seconds, heard.highest_hz, heard.loudness, heard.brightness, heard.waveform)
    bins = {len(heard.loudness), len(heard.brightness), len(heard.picture)}
    fits = len(bins) == 1 and 0 not in bins and heard.waveform.shape[1] == 2 and heard.picture.shape[1] > 0 and heard.bin_seconds > 0
    if not (fits and all(np.isfinite(values).all() for values in numbers)):
        raise ExportError("what was heard in its song makes no sense")
