import http.server
import os
import re
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.audio_files import KINDS, click, encode, film_without_sound, moment, noise, remux, write
from trajectory import audio
from trajectory.audio import AudioError, load, probe
from trajectory.settings import AudioLimits, SectionSettings

RATE = 44_100
Script = Callable[[str], str]


def wav(path: Path, *, rate: int = RATE, channels: int = 1, promised: int | None = None, sound: bytes = b"\1\2" * 4000) -> Path:
    """A 16-bit wav whose header says what it likes."""
    promised = len(sound) if promised is None else promised
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * 2 * channels & 0xFFFF_FFFF, 2 * channels, 16)
    path.write_bytes(
        struct.pack("<4sI4s", b"RIFF", 36 + promised & 0xFFFF_FFFF, b"WAVE") + form + struct.pack("<4sI", b"data", promised) + sound
    )
    return path


def refusal(path: Path, **choices: SectionSettings | AudioLimits) -> str:
    """The one sentence, which comes quickly and in little memory."""
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(AudioError) as caught:
        load(path, **choices)  # type: ignore[arg-type]
    assert time.perf_counter() - begin < 5
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.mp3") == f"there is no file {tmp_path}/no.mp3; check its name and folder"


def test_what_is_no_ordinary_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert refusal(tmp_path).endswith("is a folder; choose a sound file")
    assert refusal(tmp_path / "pipe.wav").endswith("is no ordinary file; choose a sound file")


@pytest.mark.parametrize("name", ["x" * 5000 + ".wav", "a\0b.wav"])
def test_an_impossible_name_is_refused(name: str, tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{kind}"
    path.touch()
    assert refusal(path) == f"song.{kind} is empty; {audio.CHOICE}"


@pytest.mark.parametrize("kind", ["mp3", "wav", "m4a"])
@pytest.mark.parametrize(
    "content",
    [
        b"It was a dark and stormy night. " * 400,
        np.random.default_rng(0).bytes(50_000),
        bytes(50_000),
        b"RIFF",
        b"ID3\x03\0\0\x7f\x7f\x7f\x7f",
    ],
    ids=["text", "noise", "zeros", "beginning", "tag"],
)
def test_a_file_of_another_kind_is_refused_whatever_its_name(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"song.{kind}"
    path.write_bytes(content)
    assert refusal(path) == f"song.{kind} cannot be read as sound: it is broken or of another kind; {audio.CHOICE}"


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    assert refusal(film_without_sound(tmp_path / "film.mp4")) == "film.mp4 has no sound in it; choose a file with a sound track"


@pytest.mark.parametrize("kind", ["wav", "aiff", "ogg"])
def test_sound_of_no_length_is_refused(kind: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / f"song.{kind}", noise(RATE, 0.0), RATE)) == f"song.{kind} holds no sound; {audio.CHOICE}"


@pytest.mark.parametrize(
    ("rate", "message"),
    [(1, "has 1 samples a second; convert it to a rate from 8000 to 192000 Hz"), (1_000_000, "has 1000000 samples a second; convert it")],
)
def test_an_absurd_rate_is_refused(rate: int, message: str, tmp_path: Path) -> None:
    assert message in refusal(wav(tmp_path / "song.wav", rate=rate))


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    assert refusal(wav(tmp_path / "song.wav", channels=64)) == "song.wav has 64 channels; convert it to 16 or fewer"


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    path = wav(tmp_path / "song.wav")
    os.truncate(path, 3_000_000_000)
    assert refusal(path) == "song.wav has 3,000 MB; at most 500 MB can be read: cut or compress it"


def test_three_hours_need_a_section(tmp_path: Path) -> None:
    path = wav(tmp_path / "song.wav", rate=8_000, promised=3 * 3600 * 16_000)
    os.truncate(path, 44 + 3 * 3600 * 16_000)  # takes no room on the disk
    assert refusal(path) == "song.wav would give 3:00:00 of sound; at most 20:00 can be used: choose a section (--from, --to)"
    assert load(path, section=SectionSettings(stop=10.0)).seconds == 10.0


def test_a_header_that_promises_terabytes_is_not_believed(tmp_path: Path) -> None:
    assert "song.wav is damaged: only" in refusal(wav(tmp_path / "song.wav", promised=0x7FF0_0000))
    flac = write(tmp_path / "song.flac", click(RATE), RATE)
    header = bytearray(flac.read_bytes())
    header[21] |= 0x0F
    header[22:26] = b"\xff" * 4
    flac.write_bytes(header)
    assert refusal(flac) == "song.flac would give 432:51:04 of sound; at most 20:00 can be used: choose a section (--from, --to)"
    assert moment(load(flac, section=SectionSettings(stop=2.0)).samples) == 1.0
    assert "only 3 s of 432:51:04 can be read" in refusal(flac, section=SectionSettings(stop=60.0))
    assert "of 432:51:04 can be read" in refusal(flac, section=SectionSettings(start=7000.0, stop=7060.0))


def test_an_rf64_header_that_promises_terabytes_is_not_believed(tmp_path: Path) -> None:
    body = wav(tmp_path / "song.wav", promised=0xFFFF_FFFF).read_bytes()[12:]
    long_sizes = struct.pack("<4sIQQQI", b"ds64", 28, 2**42, 2**42, 2**41, 0)
    (tmp_path / "song.wav").write_bytes(struct.pack("<4sI4s", b"RF64", 0xFFFF_FFFF, b"WAVE") + long_sizes + body)
    assert "song.wav is damaged: only 0.09 s of" in refusal(tmp_path / "song.wav")


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (5.0, None, "song.{} lasts 3 s; a section from 5 s to its end is not in it, choose one that is"),
        (1.0, 90.0, "song.{} lasts 3 s; a section from 1 s to 1:30 is not in it, choose one that is"),
        (60.0, 90.0, "song.{} lasts 3 s; a section from 1:00 to 1:30 is not in it, choose one that is"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_section_outside_the_song_is_refused(kind: str, start: float, stop: float | None, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"song.{kind}", click(48_000), 48_000)
    said = re.sub(r"3\.\d+ s;", "3 s;", refusal(path, section=SectionSettings(start=start, stop=stop)))
    assert said == message.format(kind)


@pytest.mark.parametrize(("value", "kind"), [(0.0, "silent"), (0.25, "one constant value (0.25)")])
def test_silence_and_a_constant_are_no_sound(value: float, kind: str, tmp_path: Path) -> None:
    samples = np.full(RATE * 3, value, np.float32)
    samples[2 * RATE :] += noise(RATE, 1.0)
    path = write(tmp_path / "song.wav", samples, RATE)
    assert refusal(path, section=SectionSettings(stop=1.5)) == f"song.wav is {kind} from 0 s to 1.5 s; choose a part with sound"
    assert load(path).seconds == 3.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_values_that_are_no_sound_are_refused_only_where_they_are_used(value: float, subtype: str, tmp_path: Path) -> None:
    samples = noise(RATE, 4.0)
    samples[3 * RATE] = value
    path = write(tmp_path / "song.wav", samples, RATE, subtype)
    assert "song.wav holds values that are no sound (NaN, infinite or huge) at 2.9" in refusal(path)
    assert load(path, section=SectionSettings(stop=2.0)).seconds == 2.0


def cut(path: Path, share: float = 0.6) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def hurt(path: Path, share: float) -> Path:
    """So much of it in the middle is overwritten."""
    whole = bytearray(path.read_bytes())
    middle, length = len(whole) // 2, int(len(whole) * share)
    whole[middle : middle + length] = b"\x55" * length
    path.write_bytes(whole)
    return path


def song(tmp_path: Path, kind: str) -> Path:
    rate = 48_000
    whole = write(tmp_path / f"whole.{kind}", noise(rate, 20.0) * np.float32(0.3) + click(rate, 20.0), rate)
    if kind in ("mp4", "m4a", "mov"):  # else its index is at the end, and nothing of a half can be read
        return remux(whole, tmp_path / f"song.{kind}", {"movflags": "faststart"})
    return whole.rename(tmp_path / f"song.{kind}")


def last_moment(message: str) -> float:
    found = re.search(r"\(--to ([\d.]+)\)", message)
    assert found, message
    return float(found[1])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "aac"])
def test_a_song_that_breaks_off_can_be_used_up_to_there(kind: str, tmp_path: Path) -> None:
    path = cut(song(tmp_path, kind))
    message = refusal(path)
    assert re.match(
        rf"song\.{kind} is damaged: only (the first )?[\d.]+ s (of (19\.99|20|20\.0\d) s )?can be read; get a whole copy", message
    )
    stop = last_moment(message)
    assert 8.0 < stop <= 13.0
    section = load(path, section=SectionSettings(stop=stop))
    assert section.seconds == pytest.approx(stop, abs=0.1)
    assert moment(section.samples) == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "mp3", "m4a", "webm"])
def test_a_song_with_a_hole_can_be_used_up_to_there(kind: str, tmp_path: Path) -> None:
    path = hurt(song(tmp_path, kind), 0.2)
    message = refusal(path)
    stop = last_moment(message)
    assert 8.0 < stop < 17.0
    assert load(path, section=SectionSettings(stop=stop)).seconds == pytest.approx(stop, abs=0.1)


@pytest.mark.parametrize("kind", ["flac", "m4a"])
def test_what_follows_a_small_hole_keeps_its_time(kind: str, tmp_path: Path) -> None:
    rate = 48_000
    whole = write(tmp_path / f"whole.{kind}", noise(rate, 20.0) * np.float32(0.3) + click(rate, 20.0, at=15.0), rate)
    assert moment(load(hurt(whole, 0.01)).samples) == pytest.approx(15.0, abs=0.001)


def test_a_song_that_changes_its_rate_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mp3", click(RATE), RATE)
    path.write_bytes(path.read_bytes() + write(tmp_path / "other.mp3", click(48_000), 48_000).read_bytes())
    assert re.fullmatch(r"song\.mp3 changes its sample rate at 3\.\d+ s; convert it to one rate", refusal(path))


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    assert "broken" in refusal(cut(write(tmp_path / "song.m4a", click(RATE), RATE)))


def test_sound_that_starts_late_keeps_its_time_in_the_film(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", click(48_000), 48_000, film=True)
    late = tmp_path / "late.mp4"
    with av.open(path) as read, av.open(late, "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in (*read.streams.video, *read.streams.audio)}
        for packet in read.demux():
            if packet.dts is not None and packet.pts is not None and packet.time_base:
                if packet.stream.type == "audio":
                    delay = round(2 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    assert moment(load(late).samples) == pytest.approx(3.0, abs=0.03)


def test_random_damage_gives_sound_or_one_sentence(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    said = []
    for kind in KINDS:
        whole = write(tmp_path / f"whole.{kind}", noise(48_000, 1.0), 48_000).read_bytes()
        for _ in range(12):
            broken = bytearray(whole)
            for at in random.integers(0, len(broken), 20) // random.choice([1, 50]):
                broken[at] = random.integers(256)
            path = tmp_path / f"broken.{kind}"
            path.write_bytes(broken)
            try:
                assert np.isfinite(load(path).samples).all()
            except AudioError as error:
                said.append(str(error))
    assert said
    assert all(sentence.startswith("broken.") and "\n" not in sentence for sentence in said)


class Listener(http.server.ThreadingHTTPServer):
    """Serves a folder on this machine and notes what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

            def log_message(self, *_: object) -> None:
                asked.append(self.path)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def canaries(tmp_path: Path) -> Path:
    """Songs beside the upload that nobody may open."""
    folder = tmp_path / "canaries and uploads"
    folder.mkdir()
    write(folder / "canary.wav", click(RATE), RATE)
    write(folder / "canary.aac", click(RATE), RATE)
    write(folder / "canary.mp4", click(RATE), RATE)
    return folder


@pytest.fixture
def listener(canaries: Path) -> Iterator[Listener]:
    with Listener(canaries) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def playlist(target: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n{target}\n#EXT-X-ENDLIST\n"


def concat(target: str) -> str:
    return f"ffconcat version 1.0\nfile '{target}'\n"


def manifest(target: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S">'
        '<Period><AdaptationSet mimeType="audio/mp4"><Representation id="0" bandwidth="128000">'
        f"<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


def session(_: str) -> str:
    return "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"


SCRIPTS: dict[Script, str] = {playlist: "canary.aac", concat: "canary.wav", manifest: "canary.mp4", session: "canary.wav"}
CAN_BE_FOLLOWED: list[tuple[Script, str]] = [
    (playlist, "m3u8"),
    (concat, "mp3"),
    (concat, "wav"),
    (concat, "m4a"),
]  # a playlist only by that name, in this FFmpeg


def addresses(canary: Path, listener: Listener) -> tuple[str, ...]:
    return canary.name, f"file:{canary}", f"http://127.0.0.1:{listener.server_port}/{canary.name}"


@pytest.mark.parametrize("ending", ["mp3", "wav", "m4a", "ogg", "m3u8", "mpd", "sdp", "ffconcat"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_dressed_as_music_opens_nothing_else(script: Script, ending: str, canaries: Path, listener: Listener) -> None:
    canary, upload = canaries / SCRIPTS[script], canaries / f"upload.{ending}"
    for address in addresses(canary, listener):
        os.utime(canary, (0, 1e9))
        upload.write_text(script(address), encoding="utf-8")
        assert "cannot be read as sound" in refusal(upload)
        with pytest.raises(AudioError):
            probe(upload)
        assert canary.stat().st_atime == 0
        assert not listener.asked


@pytest.mark.parametrize(("script", "ending"), CAN_BE_FOLLOWED)
def test_the_whitelist_is_what_stops_them(
    script: Script, ending: str, canaries: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_door = {"safe": "0", "allowed_extensions": "ALL", "extension_picky": "0", "protocol_whitelist": "file,http,tcp"}
    monkeypatch.setattr(audio, "FFMPEG_OPTIONS", open_door)
    upload = canaries / f"upload.{ending}"
    for address in addresses(canaries / SCRIPTS[script], listener):
        upload.write_text(script(address), encoding="utf-8")
        assert moment(load(upload).samples) == pytest.approx(1.0, abs=0.03)
    assert listener.asked


def test_no_name_is_taken_for_an_address(canaries: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(canaries)
    for name in (f"http://127.0.0.1:{listener.server_port}/canary.wav", "concat:canary.wav|canary.wav", "file:canary.wav"):
        assert "there is no file" in refusal(Path(name))
    assert not listener.asked


@pytest.mark.parametrize("magic", [b".snd", b"2BIT", b"Creative Voice File\x1a", b"NIST_1A\n", b" paf", b"SFSD"])
def test_rare_containers_are_not_even_tried(magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(magic + bytes(4000))
    assert "cannot be read as sound" in refusal(path)


def test_a_rare_container_that_libsndfile_knows_is_refused(tmp_path: Path) -> None:
    for kind in ("au", "voc", "svx", "paf"):
        path = write(tmp_path / f"song.{kind}", click(RATE), RATE, "PCM_16")
        assert "cannot be read as sound" in refusal(path.rename(tmp_path / "song.wav"))
