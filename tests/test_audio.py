import re
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.audio_files import CODECS, KINDS, LOSSLESS, click, encode, moment, noise, remux, write
from trajectory import audio
from trajectory.audio import SAMPLE_RATE, AudioError, clock, load, probe
from trajectory.records import Floats
from trajectory.settings import AudioLimits, SectionSettings

TIMED = [kind for kind in KINDS if kind != "aac"]  # a bare aac stream does not say how much its encoder put in front
FROM_A_HALF = SectionSettings(start=0.5, stop=2.5)
RATES = (8_000, 11_025, 12_345, 22_050, 32_000, 44_099, 44_100, 48_000, 88_200, 96_000, 192_000)


def channel(blocks: audio.Blocks) -> Floats:
    return np.concatenate([block for _, block in blocks])


@pytest.mark.parametrize("kind", TIMED)
def test_a_click_stays_where_it_is_in_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"click.{kind}", click(48_000), 48_000)
    assert moment(load(path).samples) == pytest.approx(1.0, abs=0.001)
    assert moment(load(path, section=FROM_A_HALF).samples) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("rate", RATES)
def test_a_click_stays_where_it_is_at_every_rate(rate: int, tmp_path: Path) -> None:
    recording = load(write(tmp_path / "click.wav", click(rate), rate))
    assert recording.sample_rate == SAMPLE_RATE
    assert recording.seconds == pytest.approx(3.0, abs=0.001)
    assert moment(recording.samples) == pytest.approx(1.0, abs=0.0005)


def test_a_bare_aac_stream_is_late_by_one_frame_of_its_encoder(tmp_path: Path) -> None:
    recording = load(write(tmp_path / "click.aac", click(44_100), 44_100))
    assert moment(recording.samples) == pytest.approx(1.0 + 1024 / 44_100, abs=0.001)


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_has_the_samples_of_the_whole_song(kind: str, tmp_path: Path) -> None:
    rate = 48_000 if kind in ("opus", "webm") else SAMPLE_RATE
    path = write(tmp_path / f"song.{kind}", noise(rate, 6.0), rate)
    whole, section = load(path), load(path, section=SectionSettings(start=3.0, stop=4.0))
    assert section.start == 3.0
    assert len(section.samples) == SAMPLE_RATE
    inside = slice(SAMPLE_RATE // 100, -SAMPLE_RATE // 100)  # resampling leaves its mark on a section's edges
    np.testing.assert_allclose(section.samples[inside], whole.samples[3 * SAMPLE_RATE : 4 * SAMPLE_RATE][inside], atol=1e-6)


def test_a_section_of_a_real_vorbis_song_is_where_it_should_be() -> None:
    path = Path(__file__).parent / "truth" / "form_aba_100bpm.ogg"  # libsndfile seeks wrongly in this one
    section = load(path, section=SectionSettings(start=20.0, stop=21.0))
    np.testing.assert_array_equal(section.samples, load(path).samples[20 * SAMPLE_RATE : 21 * SAMPLE_RATE])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_kind_of_sample_keeps_its_value(subtype: str, tmp_path: Path) -> None:
    samples = noise(SAMPLE_RATE, 0.5)
    step = 2.0**-7 if subtype == "PCM_U8" else 2.0**-15
    np.testing.assert_allclose(load(write(tmp_path / "song.wav", samples, SAMPLE_RATE, subtype)).samples, samples, atol=step)


@pytest.mark.parametrize("kind", ["wav", "m4a"])
def test_channels_are_averaged_not_added(kind: str, tmp_path: Path) -> None:
    left = 0.8 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    path = write(tmp_path / f"song.{kind}", np.stack([left, left / 2], axis=1), SAMPLE_RATE)
    middle = load(path).samples[SAMPLE_RATE // 4 : SAMPLE_RATE * 3 // 4]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.6, abs=0.01)


def test_six_channels_are_averaged(tmp_path: Path) -> None:
    samples = np.stack([noise(SAMPLE_RATE, 0.2, seed) for seed in range(6)], axis=1)
    recording = load(write(tmp_path / "song.wav", samples, SAMPLE_RATE, "FLOAT"))
    np.testing.assert_allclose(recording.samples, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")),
        *((kind, None) for kind in ("aiff", "flac", "ogg", "opus")),
    ],
)
def test_both_readers_give_the_same_samples(kind: str, subtype: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / f"song.{kind}", np.stack([noise(48_000, 2.0), noise(48_000, 2.0, seed=1)], axis=1), 48_000, subtype)
    first, second = audio._by_soundfile(path), audio._by_ffmpeg(path)
    assert first
    assert second
    np.testing.assert_allclose(channel(first.blocks(0)), channel(second.blocks(0)), atol=1e-7 if kind != "opus" else 1e-4)


@pytest.mark.parametrize("rate", [44_099, 12_345])
def test_a_tone_keeps_its_pitch_and_level_at_an_odd_rate(rate: int, tmp_path: Path) -> None:
    time = np.arange(3 * rate) / rate
    recording = load(write(tmp_path / "tone.wav", (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32), rate, "FLOAT"))
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(recording.samples)) / SAMPLE_RATE)
    middle = slice(SAMPLE_RATE // 10, -SAMPLE_RATE // 10)
    np.testing.assert_allclose(recording.samples[middle], wanted[middle], atol=0.005)


@pytest.mark.parametrize(
    "name", ["two words.wav", "音楽 ☂.wav", "ünï.WAV", "a:b.wav", "http:song.wav", "%03d.wav", "-x.wav", "song.raw", "song", "wav.mp3"]
)
def test_the_name_of_a_file_does_not_matter(name: str, tmp_path: Path) -> None:
    write(tmp_path / "plain.wav", click(44_100), 44_100).rename(tmp_path / name)
    recording = load(tmp_path / name)
    assert recording.name == name
    assert moment(recording.samples) == 1.0


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "m4a", "mov", "webm", "opus"])
def test_title_and_artist_come_from_the_tags(kind: str, tmp_path: Path) -> None:
    recording = load(write(tmp_path / f"song.{kind}", click(48_000), 48_000, title="Größe", artist="名前"))
    assert (recording.title, recording.artist) == ("Größe", "名前")


def test_a_tag_in_an_unknown_script_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", click(44_100), 44_100, title="Gr##e")
    path.write_bytes(path.read_bytes().replace(b"Gr##e", "Größe".encode("latin-1")))
    assert str(load(path).title).startswith("Gr")


def test_the_cover_is_the_attached_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = png()
    path = write(tmp_path / "song.mp3", click(44_100), 44_100)
    frame = b"\0image/png\0\x03\0" + picture
    frame = b"APIC" + len(frame).to_bytes(4) + b"\0\0" + frame
    tag = b"ID3\x03\0\0" + bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0)) + frame
    path.write_bytes(tag + path.read_bytes())
    assert load(path).cover == picture
    assert moment(load(path).samples) == 1.0
    monkeypatch.setattr(audio, "COVER_BYTES", 10)
    assert load(path).cover is None


def png() -> bytes:
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 8, 8, "rgb24", Fraction(1)
    return b"".join(bytes(packet) for packet in codec.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8))))


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_the_sound_of_a_film_is_read(kind: str, tmp_path: Path) -> None:
    path = encode(tmp_path / f"film.{kind}", click(48_000), 48_000, film=True)
    assert moment(load(path).samples) == pytest.approx(1.0, abs=0.001)


def test_probe_reads_the_header_alone(tmp_path: Path) -> None:
    samples = np.stack([click(48_000), click(48_000)], axis=1)
    assert probe(write(tmp_path / "a.flac", samples, 48_000, title="T")) == audio.Probe(
        name="a.flac", format="flac (pcm_16)", seconds=3.0, sample_rate=48_000, channels=2, title="T", artist=None
    )
    for kind in TIMED:
        assert probe(write(tmp_path / f"b.{kind}", samples, 48_000)).seconds == pytest.approx(3.0, abs=0.05)
    assert probe(write(tmp_path / "b.aac", samples, 48_000)).seconds is None


@pytest.mark.parametrize(("first", "then"), [("loud", "quiet"), ("quiet", "loud")])
def test_an_mp3_that_does_not_count_its_frames_is_read_to_its_end(first: str, then: str, tmp_path: Path) -> None:
    parts = {"loud": noise(44_100, 5.0), "quiet": noise(44_100, 15.0) * np.float32(1e-3)}
    path = tmp_path / "song.mp3"
    with soundfile.SoundFile(path, "w", 44_100, 1, format="MP3", compression_level=0.5, bitrate_mode="VARIABLE") as file:
        file.write(np.concatenate([parts[first], parts[then]]))
    whole = path.read_bytes()
    path.write_bytes(whole[re.compile(rb"\xff[\xf2-\xfb]").search(whole, whole.index(b"Xing") + 100).start() :])  # type: ignore[union-attr]
    assert probe(path).seconds is None
    assert load(path).seconds == pytest.approx(20.0, abs=0.1)
    assert load(path, section=SectionSettings(start=18.0, stop=19.0)).seconds == pytest.approx(1.0, abs=0.01)


def test_two_mp3s_in_a_row_are_one_song(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mp3", click(44_100), 44_100)
    path.write_bytes(path.read_bytes() * 2)
    assert load(path).seconds == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("size", [0, 0x7FFF_F024, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("kind", ["wav", "aiff"])
def test_a_streamed_file_that_does_not_know_its_size_is_whole(kind: str, size: int, tmp_path: Path) -> None:
    path = write(tmp_path / f"song.{kind}", click(44_100), 44_100)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"data" if kind == "wav" else b"SSND") + 4
    whole[at : at + 4] = size.to_bytes(4, "little" if kind == "wav" else "big")
    path.write_bytes(whole)
    assert load(path).seconds == 3.0


@pytest.mark.parametrize(("kind", "options"), [("webm", {"live": "1"}), ("mp4", {"movflags": "empty_moov+default_base_moof"})])
def test_a_recording_made_for_streaming_is_read(kind: str, options: dict[str, str], tmp_path: Path) -> None:
    path = remux(write(tmp_path / f"whole.{kind}", click(48_000), 48_000), tmp_path / f"live.{kind}", options)
    assert load(path).seconds == pytest.approx(3.0, abs=0.05)


def test_a_flac_without_a_length_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "song.flac", click(44_100), 44_100)
    header = bytearray(path.read_bytes())
    header[21:26] = bytes([header[21] & 0xF0, 0, 0, 0, 0])
    path.write_bytes(header)
    assert probe(path).seconds is None
    assert moment(load(path).samples) == 1.0


def test_a_short_blip_loads(tmp_path: Path) -> None:
    assert load(write(tmp_path / "blip.wav", noise(44_100, 0.2), 44_100)).seconds == pytest.approx(0.2)


def test_only_the_section_is_kept_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", noise(48_000, 120.0), 48_000)
    load(path, section=SectionSettings(stop=0.1))
    tracemalloc.start()
    load(path, section=SectionSettings(start=100.0, stop=101.0))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 4e6  # the whole song is 23 MB


def test_a_long_song_is_allowed_by_its_section(tmp_path: Path) -> None:
    limits = AudioLimits(seconds=2.0)
    for kind in ("wav", "mp3", "aac", "webm"):
        path = write(tmp_path / f"song.{kind}", noise(48_000, 3.0), 48_000)
        with pytest.raises(AudioError, match=re.escape("of sound; at most 2 s can be used: choose a section (--from, --to)")):
            load(path, limits=limits)
        assert load(path, section=SectionSettings(start=0.5, stop=2.5), limits=limits).seconds == pytest.approx(2.0, abs=0.001)


def test_both_readers_are_offered_every_format_that_both_know(tmp_path: Path) -> None:
    for kind in (*LOSSLESS, "ogg", "opus"):
        assert len(audio._sources(write(tmp_path / f"song.{kind}", click(48_000), 48_000), AudioLimits())) == 2
    for kind in CODECS:
        assert len(audio._sources(write(tmp_path / f"song.{kind}", click(48_000), 48_000), AudioLimits())) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0.2 s"), (12.5, "12.5 s"), (12.0, "12 s"), (59.999, "59.99 s"), (90.7, "1:30"), (3723.0, "1:02:03"), (10_800, "3:00:00")],
)
def test_clock_writes_times_as_people_do(seconds: float, text: str) -> None:
    assert clock(seconds) == text
