"""Pictures one after the other -> a film with its sound, or a loop; one alone -> a poster. A file appears whole or not at all."""

import functools
import math
import shutil
import subprocess
import tempfile
import time as clocks
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
from PIL import Image

from trajectory.features import Features

from .camera import Turn, VideoError, turned
from .canvas import Pixels, Raster, Vector
from .panel import Moment
from .picture import Picture, straight
from .shots import FilmSettings, Shot
from .sound import soundtrack

FILMS = (".mp4", ".webm", ".zip")
SOUNDING = (".mp4", ".webm")  # of those, which can hold sound
LOOPS = (".gif", ".webp")
LOOP_FPS = 20  # a GIF counts in hundredths of a second


@dataclass(frozen=True, kw_only=True)
class FilmProgress:
    """How far a film has come."""

    frame: int
    frames: int
    frames_per_second: float
    seconds_left: float


# --- Single pictures


def frame(shots: Sequence[Shot], *, time: float, settings: FilmSettings, features: Features | None = None) -> Pixels:
    """The film's picture at a moment, (height, width, 3), or 4 with alpha where the ground is transparent."""
    return Picture(shots, settings, features).draw(time)


def poster_png(shots: Sequence[Shot], *, time: float, settings: FilmSettings, features: Features | None = None) -> bytes:
    """The film's picture at a moment, as a file."""
    return _png(frame(shots, time=time, settings=settings, features=features), 6)


def poster_svg(shots: Sequence[Shot], *, time: float, settings: FilmSettings, features: Features | None = None) -> str:
    """The same as lines that stay sharp at any size; the strip is left out."""
    settings = replace(settings, strip=None)
    picture = Picture(shots, settings, features)
    canvas = Vector(settings.width, settings.height)
    share = 1.0 if picture.forming else None
    picture.paint(canvas, Moment(time=time, camera=picture.camera(time), share=share))
    picture.write(canvas)
    return canvas.picture(None if settings.background == "transparent" else picture.theme.ground)


def _png(pixels: Pixels, effort: int) -> bytes:
    colours = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, kept = cv2.imencode(".png", cv2.cvtColor(pixels, colours), [cv2.IMWRITE_PNG_COMPRESSION, effort])
    return kept.tobytes()


# --- Films


Report = Callable[[FilmProgress], None]


def film(
    shots: Sequence[Shot],
    *,
    sound: Path | None,
    settings: FilmSettings,
    out: Path,
    sound_start: float = 0.0,
    features: Features | None = None,
    report: Report | None = None,
) -> Path:
    """Writes .mp4 (H.264 and AAC), .webm (VP9 and Opus, with alpha where the ground is transparent) or .zip (numbered PNGs, no sound).

    `sound` begins at `sound_start` seconds of the song. The file appears whole under its name, or not at all.
    """
    out = Path(out)
    if out.suffix not in FILMS:
        raise VideoError(f"{out.name} is no film that can be written; name it {', '.join(FILMS)}")
    if out.suffix == ".mp4" and settings.background == "transparent":
        raise VideoError("an .mp4 cannot be transparent; name the film .webm or .zip")
    picture = Picture(shots, settings, features)
    frames = max(1, round((picture.stop - picture.start) * settings.fps))
    with _beside(out) as place:
        if out.suffix == ".zip":
            _write_pictures(picture, frames, place, report)
        else:
            track = place.with_suffix(".wav") if sound else None
            if sound and track:
                soundtrack(Path(sound), picture.start - sound_start, frames / settings.fps, track)
            _write_film(picture, frames, track, place, report)
    return out


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A place for a file in a hidden folder beside its name; it gets its name when all has gone well."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.stem[:40]}.", dir=out.parent))
        try:
            place = folder / f"film{out.suffix}"
            yield place
            place.replace(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise VideoError(f"{out} cannot be written: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's words; moviepy hides the encoder's in many lines, of which the last says most."""
    said = error.strerror or str(error)
    return [line.strip() for line in said.splitlines() if line.strip()][-1][:160] if said.strip() else "the encoder ended"


class _Watch:
    """Counts frames for whoever watches."""

    def __init__(self, frames: int, report: Report | None) -> None:
        self.frames, self.report, self.began = frames, report, clocks.monotonic()

    def __call__(self, frame_number: int) -> None:
        rate = frame_number / max(clocks.monotonic() - self.began, 1e-6)
        if self.report is not None:
            left = (self.frames - frame_number) / rate if frame_number else math.inf
            self.report(FilmProgress(frame=frame_number, frames=self.frames, frames_per_second=rate, seconds_left=left))


def _write_pictures(picture: Picture, frames: int, place: Path, report: Report | None) -> None:
    watch = _Watch(frames, report)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as kept:
        for number in range(frames):
            watch(number)
            kept.writestr(f"frame_{number:05}.png", _png(picture.draw(picture.start + number / picture.settings.fps), 1))
    watch(frames)


COLOUR = "scale=out_color_matrix=bt709:out_range=tv"
TAGS = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"  # untagged films are read with the wrong matrix
SOUND_BITRATE = "192k"


def _write_film(picture: Picture, frames: int, track: Path | None, place: Path, report: Report | None) -> None:
    """Through moviepy, which asks for one frame more than it writes, the first, to learn its size."""
    from moviepy import VideoClip  # type: ignore[import-untyped]  # a second that a page need not wait for
    from proglog import ProgressBarLogger  # type: ignore[import-untyped]

    fps = picture.settings.fps
    watch = _Watch(frames, report)

    class Counter(ProgressBarLogger):  # type: ignore[misc]
        def bars_callback(self, bar: str, attribute: str, value: int, _before: int | None = None) -> None:
            if bar == "frame_index" and attribute == "index":
                watch(min(value, frames))

    @functools.lru_cache(maxsize=1)
    def drawn(number: int) -> Pixels:
        return picture.draw(picture.start + number / fps)

    lasting = (frames + 0.5) / fps  # moviepy rounds down what it makes of it
    clip = VideoClip(lambda time: drawn(round(time * fps))[..., :3], duration=lasting)
    if picture.settings.background == "transparent":
        clip = clip.with_mask(VideoClip(lambda time: drawn(round(time * fps))[..., 3] / 255, is_mask=True, duration=lasting))
    codec, preset, choices = _encoder(place.suffix, picture.settings)
    choices = [*choices, "-t", f"{frames / fps:.6f}", *(["-b:a", SOUND_BITRATE] if track else [])]
    clip.write_videofile(
        str(place),
        fps=fps,
        codec=codec,
        preset=preset,
        audio=str(track) if track else False,
        audio_codec="libopus" if place.suffix == ".webm" else "aac",
        ffmpeg_params=choices,
        logger=Counter(),
    )
    _check_whole(place, frames)


def _encoder(suffix: str, settings: FilmSettings) -> tuple[str, str, list[str]]:
    """Codec, preset and all the other options."""
    draft = settings.quality == "draft"
    alpha = settings.background == "transparent"
    if suffix == ".webm":
        pixels = "yuva420p" if alpha else "yuv420p"
        effort = ("-deadline realtime -cpu-used 8" if draft else "-deadline good -cpu-used 5") + " -row-mt 1 -crf 30 -b:v 0"
        return (
            "libvpx-vp9",
            "medium",
            ["-vf", f"{COLOUR},format={pixels},{TAGS}", "-pix_fmt", pixels, "-auto-alt-ref", "0", *effort.split()],
        )
    colour = ["-vf", f"{COLOUR},format=yuv420p,{TAGS}", "-movflags", "+faststart", "-profile:v", "high"]
    if has_nvenc():
        return "h264_nvenc", "p1" if draft else "p5", [*colour, "-rc", "vbr", "-cq", "26" if draft else "20", "-b:v", "0"]
    large = settings.width * settings.height >= 1920 * 1080
    spare = ["-bf", "0", "-threads", "4"] if large else []  # half of the encoder's memory, for a larger file
    if settings.width * settings.height > 1920 * 1080:
        spare += ["-x264-params", "rc-lookahead=0:sync-lookahead=0:threads=2"]  # two thirds of what is left
    return "libx264", "ultrafast" if draft else "superfast", [*colour, "-crf", "23" if draft else "20", *spare]


@functools.cache
def has_nvenc() -> bool:
    """Whether a graphics card encodes here: the only way to know is to try."""
    from moviepy.config import FFMPEG_BINARY  # type: ignore[import-untyped]

    try_it = ["-f", "lavfi", "-i", "color=black:s=320x240", "-frames:v", "2", "-c:v", "h264_nvenc", "-f", "null", "-"]
    try:
        subprocess.run([FFMPEG_BINARY, "-v", "quiet", *try_it], capture_output=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _check_whole(place: Path, frames: int) -> None:
    """moviepy does not look at how its encoder ended."""
    try:
        with av.open(str(place)) as container:
            found = container.streams.video[0]
            counted = found.frames or sum(1 for packet in container.demux(found) if packet.size)
    except (av.error.FFmpegError, IndexError) as error:
        raise OSError("the encoder did not finish it; look whether the disk is full") from error
    if counted != frames:
        raise OSError(f"only {counted} of {frames} frames were kept; look whether the disk is full")


# --- Loops


def loop(
    shots: Sequence[Shot],
    *,
    settings: FilmSettings,
    out: Path,
    seconds: float = 6.0,
    features: Features | None = None,
    report: Report | None = None,
) -> Path:
    """A picture that turns once and begins again, .gif or .webp: the whole path, bright."""
    out = Path(out)
    if out.suffix not in LOOPS:
        raise VideoError(f"{out.name} is no loop that can be written; name it {' or '.join(LOOPS)}")
    if not 0.5 <= seconds <= 60:
        raise VideoError(f"a loop of {seconds} s cannot be made; give 0.5 to 60 s")
    frames = round(seconds * LOOP_FPS)
    start = settings.camera.start if isinstance(settings.camera, Turn) else None
    picture = Picture(shots, replace(settings, strip=None, camera=Turn(start=start)), features)
    watch = _Watch(frames, report)
    drawn: Iterator[Image.Image] = (_looped(picture, number, frames, out.suffix, watch) for number in range(frames))
    with _beside(out) as place:
        more: dict[str, Any] = {"disposal": 2} if out.suffix == ".gif" else {"quality": 80, "method": 2}
        next(drawn).save(place, save_all=True, append_images=drawn, duration=1000 // LOOP_FPS, loop=0, **more)
        watch(frames)
    return out


def _looped(picture: Picture, number: int, frames: int, suffix: str, watch: _Watch) -> Image.Image:
    watch(number)
    camera = turned(picture.turn_from or {}, 2 * math.pi * number / frames)
    canvas = Raster(picture.ground.copy())
    picture.paint(canvas, Moment(time=picture.start, camera=camera, bright=True))
    shown = Image.fromarray(straight(canvas.pixels))
    return shown if suffix == ".webp" or shown.mode == "RGBA" else shown.quantize(128, dither=Image.Dither.NONE)
