"""A song's sound for a film, in both its channels and cut to the sample. What it decodes is only what `audio` would read."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from trajectory import audio

from .camera import VideoError

SOUND_RATE = 44_100  # Hz

Samples = NDArray[np.int16]  # (samples, 2)


def soundtrack(sound: Path, start: float, seconds: float, out: Path) -> Path:
    """The section's sound, as long as the film to the sample; silence where there is none."""
    ahead, missing = round(start * SOUND_RATE), round(seconds * SOUND_RATE)
    with soundfile.SoundFile(out, "w", SOUND_RATE, 2, "PCM_16") as kept:
        silence = min(missing, max(0, -ahead))
        kept.write(np.zeros((silence, 2), np.int16))
        ahead, missing = max(0, ahead), missing - silence
        for block in _stereo(sound):
            part = block[ahead : ahead + missing]
            ahead -= min(ahead, len(block))
            kept.write(part)
            missing -= len(part)
            if not missing:
                break
        kept.write(np.zeros((missing, 2), np.int16))
    return out


def _stereo(sound: Path) -> Iterator[Samples]:
    """All of a song's sound in blocks (samples, 2), on the time that `audio` gives it; in one channel where FFmpeg does not read it."""
    heard, broken, expected = False, False, 0.0
    try:
        with av.open(f"file:{Path(sound).absolute()}", options=audio.FFMPEG_OPTIONS, metadata_errors="replace") as container:
            alone = container.streams.audio[0].channels == 1  # FFmpeg would make one channel quieter on its way to two
            resampler = av.AudioResampler(format="s16", layout="mono" if alone else "stereo", rate=SOUND_RATE)
            begin = (container.start_time or 0) / 1e6
            for packet in container.demux(audio=0):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    broken = True
                    continue
                for found in frames:
                    stamp = expected if found.time is None else found.time - begin
                    if stamp - expected > (0.002 if broken else audio.UNSTEADY):  # to close the gap would move all that follows
                        yield np.zeros((round((stamp - expected) * SOUND_RATE), 2), np.int16)
                        expected = stamp
                    expected += found.samples / found.sample_rate
                    broken, heard = False, True
                    found.pts = None
                    yield from map(_samples, resampler.resample(found))
            yield from map(_samples, resampler.resample(None))
    except (av.error.FFmpegError, IndexError) as error:
        if heard:
            return
        if not Path(sound).is_file():
            raise VideoError(f"there is no sound at {sound}") from error
        yield _both(np.clip(audio.load(sound).samples * 32767, -32768, 32767).astype(np.int16)[:, None])


def _samples(frame: AudioFrame) -> Samples:
    return _both(np.asarray(frame.to_ndarray(), np.int16).reshape(-1, len(frame.layout.channels)))


def _both(samples: Samples) -> Samples:
    return np.broadcast_to(samples, (len(samples), 2))
