"""Any file -> Recording: the only code that decodes.

A file may come from a stranger: its header is checked before it is decoded, what it promises is never allocated, and nothing
but the file itself is opened. libsndfile reads first and FFmpeg second, since either refuses files that the other reads.
"""

import io
import math
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import av
import av.error
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from trajectory.containers import mp3_frames, ogg_is_cut, promised_share, texts_are_there
from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Recording
from trajectory.resampling import ratios, resampled
from trajectory.settings import WHOLE, AudioLimits, SectionSettings

SAMPLE_RATE = 44_100  # Hz, of every Recording
LIMITS = AudioLimits()

# FFmpeg also reads playlists and scripts that name other files and addresses; these formats name none.
FFMPEG_OPTIONS = {"format_whitelist": "wav,w64,aiff,flac,mp3,ogg,mov,mp4,m4a,matroska,webm,aac,caf", "protocol_whitelist": "file"}
# No mp3: where one does not count its frames libsndfile guesses its length from the first of them, and cuts the song there.
SOUNDFILE_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"caff")
SOUNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "CAF"}
CHOICE = "choose a whole wav, flac, ogg, opus, mp3, m4a, aac, aiff, mp4, mov or webm file"

BLOCK = 65_536  # samples read at once
SHORTAGE = 0.5  # seconds that may be missing at the end: containers count a little differently
SHORTAGE_IF_DAMAGED = 0.1
SHORTAGE_OF_FLAC = 0.01  # it counts its samples; what is short is a frame that was skipped, and all after it came too early
UNSTEADY = 0.1  # seconds that time stamps may run ahead of the sound
QUIETEST = 2e-5  # between the lowest and the highest sample: less than one step of 16 bits
LOUDEST = 1e9  # beyond any sound, even one that was kept as whole numbers
COVER_BYTES = 5_000_000
UNKNOWN_LENGTH = 1 << 62  # samples, where libsndfile knows no better
MATROSKA_LENGTH = re.compile(r"(\d+):(\d+):(\d+\.\d+)")

Blocks = Iterator[tuple[int, Floats]]  # one channel of sound, and the sample of the song at which it begins


class AudioError(TrajectoryError):
    """A file that gives no usable sound."""


class _DamagedError(AudioError):
    """Sound is missing that the file promises; the other reader may still find it."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a song file says of itself; nothing of it is decoded yet."""

    name: str
    format: str
    seconds: float | None  # None where it could only be guessed
    sample_rate: int  # Hz
    channels: int
    title: str | None
    artist: str | None
    readable_seconds: float | None = None  # less than `seconds`, where the file is plainly cut off


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One reader's view of a file, and its way to decode it."""

    header: Probe
    readable: float = math.inf  # seconds that the file's bytes hold, where it is plainly cut off
    shortage: float = SHORTAGE  # seconds that may be missing at the end
    blocks: Callable[[int], Blocks]  # decodes from a sample on, or from earlier
    cover: bytes | None = field(default=None, repr=False)


def load(path: str | Path, *, section: SectionSettings = WHOLE, limits: AudioLimits = LIMITS) -> Recording:
    """The section's sound, as the mean of the file's channels at SAMPLE_RATE."""
    sources = _sources(Path(path), limits)
    _check_section(sources[0], section, limits)
    header = _tagged(sources)
    return Recording(
        samples=_decode(sources, section, limits),
        sample_rate=SAMPLE_RATE,
        name=header.name,
        section=section,
        title=header.title,
        artist=header.artist,
        cover=sources[-1].cover,
    )


def probe(path: str | Path, limits: AudioLimits = LIMITS) -> Probe:
    """What the file says without being decoded; refuses what no section could make usable."""
    return _tagged(_sources(Path(path), limits))


def as_vorbis(path: Path) -> bytes:
    """A file that holds its sound in full, a tenth of the size, all its channels kept."""
    kept = io.BytesIO()
    try:
        with (
            soundfile.SoundFile(path) as sound,
            soundfile.SoundFile(kept, "w", sound.samplerate, sound.channels, format="OGG", subtype="VORBIS") as smaller,
        ):
            for block in sound.blocks(1 << 14, dtype="float32"):  # libsndfile's encoder does not take much at once
                smaller.write(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path.name} cannot be made smaller ({error}); make it an mp3") from error
    return kept.getvalue()


def clock(seconds: float) -> str:
    """A moment or a length as people write it, rounded down: 12.5 s, 1:30, 1:02:03."""
    if seconds < 60:
        return f"{math.floor(seconds * 100 + 1e-6) / 100:g} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _tagged(sources: list[_Source]) -> Probe:
    first, tags = sources[0], sources[-1].header
    readable = first.readable if math.isfinite(first.readable) else None
    return replace(first.header, title=tags.title, artist=tags.artist, readable_seconds=readable)


def _sources(path: Path, limits: AudioLimits) -> list[_Source]:
    """Every reader that takes the file: the best decoder first, the best of tags last."""
    _check_file(path, limits)
    sources = [source for reader in (_by_soundfile, _by_ffmpeg) if (source := reader(path)) is not None]
    if not sources:
        raise AudioError(f"{path.name} cannot be read as sound: it is broken or of another kind; {CHOICE}")
    for header in (source.header for source in sources):
        if not limits.lowest_rate <= header.sample_rate <= limits.highest_rate:
            raise AudioError(
                f"{path.name} has {header.sample_rate} samples a second; "
                f"convert it to a rate from {limits.lowest_rate} to {limits.highest_rate} Hz"
            )
        if not 1 <= header.channels <= limits.channels:
            raise AudioError(f"{path.name} has {header.channels} channels; convert it to {limits.channels} or fewer")
    return sources


def _check_file(path: Path, limits: AudioLimits) -> None:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):  # opening anything else could wait for ever
            path.open("rb").close()
    except FileNotFoundError:
        raise AudioError(f"there is no file {path}; check its name and folder") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{str(path)[:80]!r} cannot be opened ({getattr(error, 'strerror', error)}); choose another file") from None
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{path} is {'a folder' if path.is_dir() else 'no ordinary file'}; choose a sound file")
    if not status.st_size:
        raise AudioError(f"{path.name} is empty; {CHOICE}")
    if status.st_size > limits.bytes:
        raise AudioError(
            f"{path.name} has {status.st_size / 1e6:,.0f} MB; at most {limits.bytes / 1e6:,.0f} MB can be read: cut or compress it"
        )


def _check_section(source: _Source, section: SectionSettings, limits: AudioLimits) -> None:
    """Refuses from the header alone what decoding would refuse later."""
    name, seconds = source.header.name, source.header.seconds
    stop = section.stop or seconds or math.inf
    if stop > source.readable + SHORTAGE:
        raise _damaged(name, source.readable, seconds)
    if seconds is None:
        return
    if section.start >= seconds or stop > seconds + SHORTAGE:
        raise _outside(name, seconds, section)
    if min(stop, seconds) - section.start > limits.seconds:
        raise _too_long(name, clock(min(stop, seconds) - section.start), limits)


def _too_long(name: str, length: str, limits: AudioLimits) -> AudioError:
    return AudioError(f"{name} would give {length} of sound; at most {clock(limits.seconds)} can be used: choose a section (--from, --to)")


def _outside(name: str, seconds: float, section: SectionSettings) -> AudioError:
    stop = "its end" if section.stop is None else clock(section.stop)
    return AudioError(f"{name} lasts {clock(seconds)}; a section from {clock(section.start)} to {stop} is not in it, choose one that is")


def _damaged(name: str, readable: float, promised: float | None) -> _DamagedError:
    found = f"{clock(readable)} of {clock(promised)}" if promised else f"the first {clock(readable)}"
    if readable < SHORTAGE:
        return _DamagedError(f"{name} is damaged: only {found} can be read; get a whole copy")
    until = clock(readable).removesuffix(" s")
    return _DamagedError(f"{name} is damaged: only {found} can be read; get a whole copy, or choose a section up to there (--to {until})")


def _decode(sources: list[_Source], section: SectionSettings, limits: AudioLimits) -> Floats:
    for source in sources:
        blocks = _section(source, section, limits)
        for ratio in ratios(source.header.sample_rate, SAMPLE_RATE):
            blocks = resampled(blocks, ratio)
        try:
            return np.concatenate(list(blocks))
        except _DamagedError:
            if source is sources[-1]:
                raise
    raise AssertionError("a file that can be opened has a source")


def _section(source: _Source, section: SectionSettings, limits: AudioLimits) -> Iterator[Floats]:
    """The section's sound, checked as it passes; silence stands where a little of it is lost, so that the rest keeps its time."""
    name, promised, rate = source.header.name, source.header.seconds, source.header.sample_rate
    first = round(section.start * rate)
    longest = first + round(limits.seconds * rate)
    last = longest + 1 if section.stop is None else min(round(section.stop * rate), longest + 1)
    reached = lost = 0
    lowest, highest = math.inf, -math.inf
    for at, block in source.blocks(first):
        gap = min(at, last) - max(reached, first)
        if gap > 0:
            lost += gap if reached else 0  # a film's sound may begin after its picture
            if lost > SHORTAGE * rate:
                raise _damaged(name, max(reached, first) / rate, promised)
            yield from _silence(gap)
        part = block[max(first - at, 0) : max(last - at, 0)]
        if len(part):
            if not np.abs(part).max() < LOUDEST:
                raise AudioError(f"{name} holds values that are no sound (NaN, infinite or huge) at {clock(at / rate)}; export it again")
            lowest, highest = min(lowest, float(part.min())), max(highest, float(part.max()))
            yield part
        reached = at + len(block)
        if reached >= last:
            break
    if reached > longest and last > longest:
        raise _too_long(name, f"more than {clock(limits.seconds)}", limits)
    _check_end(source.header, section, min(reached, last) / rate, SHORTAGE_IF_DAMAGED if lost else source.shortage)
    if highest - lowest < QUIETEST:
        kind = "silent" if max(-lowest, highest) < QUIETEST else f"one constant value ({highest:.2g})"
        raise AudioError(f"{name} is {kind} from {clock(section.start)} to {clock(min(reached, last) / rate)}; choose a part with sound")


def _check_end(header: Probe, section: SectionSettings, reached: float, shortage: float) -> None:
    """Refuses a section that could not be read to its end."""
    wanted = section.stop or header.seconds or reached
    if section.start < reached and wanted <= reached + shortage:
        return
    if not reached and (header.seconds or 0) < SHORTAGE:
        raise AudioError(f"{header.name} holds no sound; {CHOICE}")
    if header.seconds:
        raise _damaged(header.name, reached, header.seconds)
    raise _outside(header.name, reached, section)


def _silence(samples: int) -> Iterator[Floats]:
    for at in range(0, samples, BLOCK):
        yield np.zeros(min(BLOCK, samples - at), np.float32)


def _by_soundfile(path: Path) -> _Source | None:
    with path.open("rb", buffering=0) as file:
        if not file.read(4).startswith(SOUNDFILE_BEGINNINGS):
            return None
        file.seek(0)
        try:
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:  # by number: libsndfile believes some endings of names
                if sound.format not in SOUNDFILE_FORMATS or not 0 < sound.frames < UNKNOWN_LENGTH:
                    return None
                present = sound.frames / sound.samplerate
                header = Probe(
                    name=path.name,
                    format=f"{sound.format} ({sound.subtype})".lower(),
                    seconds=present,
                    sample_rate=sound.samplerate,
                    channels=sound.channels,
                    title=sound.title or None,
                    artist=sound.artist or None,
                )
        except soundfile.LibsndfileError:
            return None
        blocks = partial(_soundfile_blocks, path)
        if header.format.startswith("ogg"):
            cut = ogg_is_cut(file)
            return _Source(header=replace(header, seconds=None if cut else present), readable=present if cut else math.inf, blocks=blocks)
        promised = present * promised_share(file)
        readable = present if promised > present else math.inf
        shortage = SHORTAGE_OF_FLAC if header.format.startswith("flac") else SHORTAGE
        return _Source(header=replace(header, seconds=promised), readable=readable, shortage=shortage, blocks=blocks)


def _soundfile_blocks(path: Path, first: int) -> Blocks:
    with path.open("rb", buffering=0) as file:
        try:
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                at = 0 if sound.format == "OGG" else sound.seek(first)  # in Vorbis its seek misses by hundreds of samples
                while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                    yield at, block.mean(axis=1)
                    at += len(block)
        except soundfile.LibsndfileError:
            return  # what is missing is noticed by its length


def _by_ffmpeg(path: Path) -> _Source | None:
    if not texts_are_there(path):
        return None
    try:
        with _container(path) as container:
            if not container.streams.audio:
                raise AudioError(f"{path.name} has no sound in it; choose a file with a sound track")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                return None
            tags = {name.lower(): text.strip() for name, text in (stream.metadata | container.metadata).items()}
            header = Probe(
                name=path.name,
                format=f"{container.format.name.split(',')[0]} ({stream.codec_context.name})",
                seconds=_promised_seconds(path, container, stream),
                sample_rate=stream.sample_rate,
                channels=stream.channels,
                title=tags.get("title") or None,
                artist=tags.get("artist") or None,
            )
            return _Source(header=header, blocks=partial(_ffmpeg_blocks, path, header.sample_rate), cover=_cover(container))
    except av.error.FFmpegError:
        return None


def _container(path: Path) -> InputContainer:
    return av.open(f"file:{path.absolute()}", options=FFMPEG_OPTIONS, metadata_errors="replace")


def _promised_seconds(path: Path, container: InputContainer, stream: AudioStream) -> float | None:
    """The sound's length where the file states it, not where FFmpeg guesses it from the bit rate."""
    kind = container.format.name
    if kind == "aac":
        return None
    if "matroska" in kind:
        stated = MATROSKA_LENGTH.match(stream.metadata.get("DURATION", ""))
        if stated:
            hours, minutes, seconds = map(float, stated.groups())
            return hours * 3600 + minutes * 60 + seconds
        return container.duration / 1e6 if container.duration and len(container.streams.get()) == 1 else None
    length = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if kind == "mp3":
        frame = 1152 if stream.sample_rate >= 32_000 else 576
        counted = mp3_frames(path) * frame / (stream.sample_rate or math.inf)
        return length if counted and abs(counted - length) < SHORTAGE else None
    return length if length > 0 else None


def _ffmpeg_blocks(path: Path, rate: int, _first: int) -> Blocks:
    """All of the sound from its beginning: only so is its time exact in every format."""
    reached, is_broken = 0, False
    try:
        with _container(path) as container:
            begin = (container.start_time or 0) / 1e6
            for packet in container.demux(container.streams.audio[0]):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:  # to drop it without a trace would move all that follows
                    is_broken = True
                    continue
                for frame in frames:
                    if frame.sample_rate != rate:
                        raise AudioError(f"{path.name} changes its sample rate at {clock(reached / rate)}; convert it to one rate")
                    stamp = reached if frame.time is None else round((frame.time - begin) * rate)
                    if stamp - reached > (0.002 if is_broken else UNSTEADY) * rate:
                        reached = stamp
                    is_broken = False
                    yield reached, _mono(frame)
                    reached += frame.samples
    except av.error.FFmpegError:
        return  # what is missing is noticed by its length


def _mono(frame: AudioFrame) -> Floats:
    values = frame.to_ndarray()  # (channels, samples), or (1, samples * channels)
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    mean: Floats = values.mean(axis=0, dtype=np.float32)
    if values.dtype.kind == "u":
        return mean / np.float32(128) - np.float32(1)
    return mean / np.float32(1 << (8 * values.itemsize - 1)) if values.dtype.kind == "i" else mean


def _cover(container: InputContainer) -> bytes | None:
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            picture = bytes(next(container.demux(stream)))
            return picture if 0 < len(picture) <= COVER_BYTES else None
    return None
