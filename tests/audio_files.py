"""Sound files of every kind, made on the spot."""

import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from trajectory.records import Floats

SUBTYPES = {"wav": "PCM_16", "aiff": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "opus": "OPUS"}
CODECS = {
    "mp3": ("libmp3lame", "mp3"),
    "m4a": ("aac", "ipod"),
    "mp4": ("aac", "mp4"),
    "mov": ("aac", "mov"),
    "aac": ("aac", "adts"),
    "webm": ("libopus", "webm"),
}
KINDS = (*SUBTYPES, *CODECS)
LOSSLESS = ("wav", "aiff", "flac")


def click(rate: int, seconds: float = 3.0, at: float = 1.0) -> Floats:
    """A soft tone with one loud click: (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    sound = 0.05 * np.sin(2 * np.pi * 200 * time)
    sound[round(at * rate)] = 0.9
    return sound.astype(np.float32)


def noise(rate: int, seconds: float, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def tune(seed: int, *, seconds: float, rate: int = 22_050) -> bytes:
    """A song that is like no other, as a wav: a few tones that come and go."""
    choose, kept = np.random.default_rng(seed), io.BytesIO()
    times = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * (pitch * times + 0.1 * np.sin(pitch * times / 50))) for pitch in choose.uniform(80, 2_000, 4)]
    samples = np.mean(tones, axis=0) * (0.6 + 0.4 * np.sin(2 * np.pi * choose.uniform(1, 3) * times))
    soundfile.write(kept, samples.astype(np.float32), rate, format="WAV", subtype="PCM_16")
    return kept.getvalue()


def moment(samples: Floats, rate: int = 44_100) -> float:
    """When the loudest sample is heard."""
    return int(np.abs(samples).argmax()) / rate


def write(path: Path, samples: Floats, rate: int, subtype: str | None = None, **tags: str) -> Path:
    """Samples (samples,) or (samples, channels), as the kind of file that the path's ending names."""
    kind = path.suffix[1:]
    if kind in CODECS:
        return encode(path, samples, rate, tags=tags)
    container = "OGG" if kind == "opus" else kind.upper()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate, channels, subtype=subtype or SUBTYPES[kind], format=container) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        for at in range(0, len(samples), 16_384):  # libsndfile's Vorbis encoder overflows its stack on long pieces
            file.write(samples[at : at + 16_384])
    return path


def encode(path: Path, samples: Floats, rate: int, *, film: bool = False, tags: Mapping[str, str] | None = None) -> Path:
    codec, container_format = CODECS[path.suffix[1:]]
    channels = samples.reshape(len(samples), -1).T
    with av.open(path, "w", format=container_format) as container:
        container.metadata.update(tags or {})
        picture = _add_picture(container) if film else None
        stream = container.add_stream(codec, rate=rate, layout="mono" if len(channels) == 1 else "stereo")
        assert isinstance(stream, AudioStream)
        for frame in _frames(channels, rate, stream):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if picture:
            _show_black(container, picture, seconds=len(samples) / rate)
    return path


def film_without_sound(path: Path) -> Path:
    with av.open(path, "w", format="mp4") as container:
        _show_black(container, _add_picture(container), seconds=1.0)
    return path


def _add_picture(container: OutputContainer) -> VideoStream:
    stream = container.add_stream("libvpx" if container.format.name == "webm" else "mpeg4", rate=10)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    return stream


def _show_black(container: OutputContainer, stream: VideoStream, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
    container.mux(stream.encode(None))


def remux(source: Path, target: Path, options: dict[str, str]) -> Path:
    """The same packets in another container, or in one written in another way."""
    with av.open(source) as read, av.open(target, "w", format=CODECS[target.suffix[1:]][1], options=options) as written:
        stream = written.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return target


def _frames(channels: Floats, rate: int, stream: AudioStream) -> list[av.AudioFrame]:
    stream.codec_context.open()
    size = stream.codec_context.frame_size or 1024
    frames = []
    for at in range(0, channels.shape[1], size):
        piece = np.ascontiguousarray(channels[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono" if len(channels) == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        frames.append(frame)
    return frames
