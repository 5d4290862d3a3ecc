import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from trajectory import video
from trajectory.errors import Cancelled
from trajectory.features import Features
from trajectory.video import Box, FilmProgress, FilmSettings, Held, Keys, Overlay, Shot, Turn, VideoError, films
from trajectory.video.picture import Picture
from trajectory.video.sound import soundtrack

SECONDS, FPS, RATE = 4.0, 24, 44_100
CLICKS = (0.5, 1.0, 2.0, 3.5)
AHEAD = {"eye": {"x": 0.0, "y": -0.75, "z": 0.1}, "center": {"x": 0.0, "y": 0.0, "z": 0.0}, "up": {"x": 0.0, "y": 0.0, "z": 1.0}}
TURNED = {"eye": {"x": 1.1, "y": 0.4, "z": 0.7}, "center": {"x": 0.1, "y": -0.05, "z": 0.02}, "up": {"x": 0.0, "y": 0.0, "z": 1.0}}
SMALL = FilmSettings(width=320, height=180, fps=FPS, quality="draft", camera=Held(AHEAD), time_code=False)


def ruler() -> Shot:
    """A path whose x is the song's time."""
    times = np.arange(0.25, SECONDS - 0.25 + 1e-9, 0.01)
    points = np.stack([times, 0.05 * np.sin(times), 0.1 * np.cos(3 * times)], axis=1).astype(np.float32)
    return Shot(points=points, times=times, rgb=np.full((len(times), 3), [0.1, 0.3, 0.5], np.float32))


def curl() -> Shot:
    """The path that the known answers of the player are of."""
    times = np.linspace(0.25, 29.7, 1300)
    points = np.stack([times, 4 * np.sin(times), 2 * np.cos(3 * times)], axis=1).astype(np.float32)
    return Shot(points=points, times=times, rgb=np.ones((1300, 3), np.float32))


def heard() -> Features:
    bins = round(SECONDS / 0.02)
    wave = np.stack([-np.linspace(0.1, 1, 100), np.linspace(0.1, 1, 100)], axis=1).astype(np.float32)
    picture = np.full((bins, 8), 200, np.uint8)
    silence = np.zeros(bins, np.float32)
    return Features(start=0.0, bin_seconds=0.02, loudness=silence, brightness=silence, waveform=wave, picture=picture, highest_hz=4000.0)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = np.zeros((round(SECONDS * RATE), 2), np.float32)
    for time in CLICKS:
        samples[round(time * RATE)] = (0.9, 0.45)
    soundfile.write(tmp_path_factory.mktemp("sound") / "clicks.wav", samples, RATE)
    return next(tmp_path_factory.getbasetemp().glob("sound*/clicks.wav"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, clicks: Path) -> Path:
    settings = replace(SMALL, width=960, height=540)
    return video.film([ruler()], sound=clicks, settings=settings, out=tmp_path_factory.mktemp("film") / "f.mp4", features=heard())


def decoded(path: Path) -> tuple[list[tuple[float, np.ndarray]], list[tuple[float, np.ndarray]]]:
    """Frames and sound of a film, with their times."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [(frame.time, frame.to_ndarray()) for frame in container.decode(audio=0)]
    return frames, sound


def onsets(sound: list[tuple[float, np.ndarray]], at: tuple[float, ...]) -> list[float]:
    times = np.concatenate([time + np.arange(block.shape[1]) / RATE for time, block in sound])
    loud = np.concatenate([np.abs(block[0]) for _, block in sound])
    near = [np.flatnonzero(np.abs(times - time) < 0.2) for time in at]
    return [float(times[places[loud[places].argmax()]]) for places in near]


def comet(frame: np.ndarray) -> np.ndarray:
    """The middle of the only white there is."""
    luma = frame @ np.array([0.2126, 0.7152, 0.0722])
    weight = np.clip(luma - 0.92 * luma.max(), 0, None)
    y, x = np.indices(weight.shape)
    return np.array([(weight * (x + 0.5)).sum(), (weight * (y + 0.5)).sum()]) / weight.sum()


def comet_at(shot: Shot, time: float, settings: FilmSettings, *, camera: video.Camera) -> np.ndarray:
    place = [np.interp(time, shot.times, shot.points[:, axis]) for axis in range(3)]
    box = Box.of(shot)
    return video.project(box.places(np.array([place])), camera, settings.width, settings.height)[0, :2]


# --- Where things are


KNOWN = [  # read from the running player: time -> x, y in pixels and depth
    (1280, 480, None, (0.25, 468.76764, 149.12586, 1.0225706), (5.0, 460.66715, 238.52525, 0.9007078)),
    (1280, 480, None, (14.975, 670.14268, 201.89074, 0.8455396), (29.7, 927.44478, 394.07831, 0.5108037)),
    (668, 480, None, (0.25, 175.53971, 155.90408, 1.1049908), (29.7, 581.50830, 372.67126, 0.5932240)),
    (1280, 480, TURNED, (0.25, 737.22606, 155.07859, 1.6405911), (5.0, 676.57052, 190.93372, 1.6289901)),
    (1280, 480, TURNED, (14.975, 707.19044, 226.09760, 1.3187456), (29.7, 545.49268, 309.58376, 1.0763309)),
]


@pytest.mark.parametrize(("width", "height", "camera", "one", "other"), KNOWN)
def test_places_are_where_the_player_draws_them(width: int, height: int, camera: video.Camera | None, one: tuple, other: tuple) -> None:
    shot = curl()
    box = Box.of(shot)
    seen_from = camera or video.home(box.corners, width / height)
    for time, *expected in (one, other):
        place = np.array([[np.interp(time, shot.times, shot.points[:, axis]) for axis in range(3)]])
        x, y, depth = video.project(box.places(place), seen_from, width, height)[0]
        assert [x, y] == pytest.approx(expected[:2], abs=0.02)
        assert depth == pytest.approx(expected[2], abs=1e-5)


def test_home_is_the_players() -> None:
    eye = video.home(Box.of(curl()).corners, 1280 / 480)["eye"]
    assert [eye[axis] for axis in "xyz"] == pytest.approx([0.43091678, -0.56699577, 0.38555712], abs=1e-7)


def test_a_turning_camera_sees_the_whole_box_all_the_way_round() -> None:
    picture = Picture([curl()], replace(SMALL, camera=Turn(seconds=12)), None)
    corners = picture.panels[0].box.corners
    for time in np.linspace(0.25, 12.25, 40):
        x, y, _ = video.project(corners, picture.camera(time), 320, 180).T
        assert x.min() > 0
        assert x.max() < 320
        assert y.min() > 0
        assert y.max() < 180


def test_key_views_are_met_and_the_way_between_goes_round_the_middle() -> None:
    behind = {**AHEAD, "eye": {"x": 0.0, "y": 0.75, "z": 0.1}}
    picture = Picture([ruler()], replace(SMALL, camera=Keys(((1.0, AHEAD), (3.0, behind)))), None)
    assert picture.camera(0.0) == AHEAD
    for axis in "xyz":
        assert picture.camera(1.0)["eye"][axis] == pytest.approx(AHEAD["eye"][axis])
        assert picture.camera(3.5)["eye"][axis] == pytest.approx(behind["eye"][axis])
    lengths = [np.linalg.norm(list(picture.camera(time)["eye"].values())) for time in np.linspace(1, 3, 20)]
    assert lengths == pytest.approx([np.hypot(0.75, 0.1)] * 20)
    early = picture.camera(1.1)["eye"]["y"]
    assert AHEAD["eye"]["y"] <= early < -0.74  # it starts gently


@pytest.mark.parametrize("background", ["dark", "transparent"])
def test_a_frame_shows_the_comet_where_its_point_is_projected(background: str) -> None:
    settings = replace(SMALL, width=640, height=360, background=background)
    for time in (0.5, 2.0, 3.6):
        drawn = video.frame([ruler()], time=time, settings=settings)
        found = comet(drawn[..., :3] * (drawn[..., 3:] / 255 if drawn.shape[2] == 4 else 1))
        assert found == pytest.approx(comet_at(ruler(), time, settings, camera=AHEAD), abs=0.7)


# --- Films


def test_the_comet_agrees_with_the_frames_time_from_start_to_end(film: Path) -> None:
    frames, _ = decoded(film)
    settings = replace(SMALL, width=960, height=540)
    a_frame = comet_at(ruler(), 1 + 1 / FPS, settings, camera=AHEAD)[0] - comet_at(ruler(), 1.0, settings, camera=AHEAD)[0]
    assert a_frame > 4
    moving = [(time, frame) for time, frame in frames if 0.3 < time < SECONDS - 0.3]
    assert len(moving) > 80
    for time, frame in moving:
        assert comet(frame)[0] == pytest.approx(comet_at(ruler(), time, settings, camera=AHEAD)[0], abs=a_frame / 2)
    assert np.mean([comet(frame)[0] - comet_at(ruler(), time, settings, camera=AHEAD)[0] for time, frame in moving]) < a_frame / 4


def test_the_clicks_are_heard_when_they_were(film: Path) -> None:
    _, sound = decoded(film)
    assert onsets(sound, CLICKS) == pytest.approx(CLICKS, abs=0.002)
    loud = np.concatenate([block for _, block in sound], axis=1)
    assert np.abs(loud[0]).max() > 1.5 * np.abs(loud[1]).max()  # both channels are kept


def test_a_film_is_as_long_as_its_song_and_every_player_reads_it(film: Path) -> None:
    with av.open(str(film)) as container:
        seen, told = container.streams.video[0], container.streams.audio[0]
        context = seen.codec_context
        assert (context.name, told.codec_context.name, context.pix_fmt) == ("h264", "aac", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)  # BT.709, limited
        assert seen.frames == round(SECONDS * FPS)
        assert float(seen.average_rate) == FPS
        for length in (seen.duration * seen.time_base, told.duration * told.time_base, container.duration / 1e6):
            assert float(length) == pytest.approx(SECONDS, abs=1 / FPS)
    kept = film.read_bytes()
    assert 0 < kept.index(b"moov") < kept.index(b"mdat")  # it begins to play before all of it has come


def test_colours_come_back_as_they_were_drawn(film: Path) -> None:
    frames, _ = decoded(film)
    drawn = video.frame([ruler()], time=2.0, settings=replace(SMALL, width=960, height=540))
    back = frames[round(2.0 * FPS)][1]
    assert np.abs(back.astype(int) - drawn).mean() < 2.5


def test_a_section_begins_and_ends_where_it_was_asked(clicks: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, start=1.5, stop=3.75)
    made = video.film([ruler()], sound=clicks, settings=settings, out=tmp_path / "part.mp4", features=heard())
    frames, sound = decoded(made)
    assert len(frames) == round(2.25 * FPS)
    assert onsets(sound, (0.5, 2.0)) == pytest.approx([0.5, 2.0], abs=0.002)
    assert comet(frames[0][1])[0] == pytest.approx(comet_at(ruler(), 1.5, settings, camera=AHEAD)[0], abs=1.5)


def test_sound_that_begins_later_than_the_film_is_silent_until_then(clicks: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, start=0.5, stop=2.5)
    made = video.film([ruler()], sound=clicks, sound_start=1.0, settings=settings, out=tmp_path / "f.mp4", features=heard())
    assert onsets(decoded(made)[1], (1.0, 1.5)) == pytest.approx([1.0, 1.5], abs=0.002)  # clicks at 0.5 and 1.0 of the file


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_is_as_loud_as_it_was(rate: int, channels: int, tmp_path: Path) -> None:
    tone = np.float32(0.5) * np.sin(2 * np.pi * 220 * np.arange(2 * rate) / rate, dtype=np.float32)
    soundfile.write(tmp_path / "tone.flac", np.repeat(tone[:, None], channels, axis=1), rate)
    soundtrack(tmp_path / "tone.flac", 0.5, 1.0, tmp_path / "track.wav")
    kept, kept_rate = soundfile.read(tmp_path / "track.wav")
    expected = 0.5 * np.sin(2 * np.pi * 220 * (0.5 + np.arange(RATE) / RATE))
    assert kept_rate == RATE
    np.testing.assert_allclose(kept, np.repeat(expected[:, None], 2, axis=1), atol=0.005)


def test_progress_counts_the_frames(tmp_path: Path) -> None:
    seen: list[FilmProgress] = []
    settings = replace(SMALL, stop=0.5, start=0.25)
    video.film([ruler()], sound=None, settings=settings, out=tmp_path / "f.mp4", report=seen.append)
    assert seen[-1].frame == seen[-1].frames == 6
    assert [one.frame for one in seen] == sorted(one.frame for one in seen)
    assert seen[-1].seconds_left == 0
    assert seen[-1].frames_per_second > 0


def cancel(progress: FilmProgress) -> None:
    if progress.frame == 3:
        raise Cancelled("that is enough")


@pytest.mark.parametrize("name", ["f.mp4", "f.webm", "f.zip"])
def test_a_cancelled_film_leaves_what_was_there_and_nothing_else(name: str, clicks: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("an older film")
    with pytest.raises(Cancelled):
        video.film([ruler()], sound=clicks, settings=SMALL, out=tmp_path / name, features=heard(), report=cancel)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "an older film"


@pytest.mark.parametrize(
    ("codec", "choices"),
    [("no such codec", []), ("libx264", ["-frames:v", "5"]), ("libx264", ["-r", "12"])],
    ids=["an encoder that is not there", "one that stops, as on a full disk", "one that loses frames"],
)
def test_a_film_that_its_encoder_did_not_finish_is_refused(
    codec: str, choices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "_encoder", lambda *_: (codec, "ultrafast", choices))
    with pytest.raises(VideoError, match=r"f\.mp4 cannot be written"):
        video.film([ruler()], sound=None, settings=SMALL, out=tmp_path / "f.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VideoError, match="cannot be written"):
        video.film([ruler()], sound=None, settings=SMALL, out=tmp_path / "file" / "f.mp4")


def test_numbered_pictures_keep_their_alpha(tmp_path: Path) -> None:
    settings = replace(SMALL, background="transparent", start=1.0, stop=1.25)
    made = video.film([ruler()], sound=None, settings=settings, out=tmp_path / "f.zip")
    with zipfile.ZipFile(made) as kept:
        assert kept.namelist() == [f"frame_{number:05}.png" for number in range(6)]
        last = np.asarray(Image.open(io.BytesIO(kept.read("frame_00005.png"))))
    np.testing.assert_array_equal(last, video.frame([ruler()], time=1 + 5 / FPS, settings=settings))
    assert last[0, 0].tolist() == [0, 0, 0, 0]
    assert (last[..., 3] == 255).any()


def test_a_webm_is_transparent(clicks: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, background="transparent", stop=1.0)
    made = video.film([ruler()], sound=clicks, settings=settings, out=tmp_path / "f.webm", features=heard())
    with av.open(str(made)) as container:
        streams = [(stream.codec_context.name, stream.type) for stream in container.streams]
        assert streams == [("vp9", "video"), ("opus", "audio")]
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
        assert container.duration / 1e6 == pytest.approx(1.0, abs=1 / FPS)


# --- What is refused


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"width": 321},
            {"height": 8000},
            {"width": 2},
            {"fps": 0},
            {"fps": -5},
            {"fps": 1000},
            {"start": 3.0, "stop": 3.0},
            {"start": -1.0},
        ),
        *({"stop": float("nan")}, {"quality": "best"}, {"background": "red"}, {"strip": "notes"}),
    ],
    ids=str,
)
def test_settings_that_make_no_film_are_refused(changes: dict) -> None:
    with pytest.raises(VideoError):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Held({"eye": {"x": 1}}),
        lambda: Held({**AHEAD, "eye": AHEAD["center"]}),
        lambda: Held({**AHEAD, "eye": {"x": 0, "y": 0, "z": 2}}),
        lambda: Held({**AHEAD, "eye": {"x": float("inf"), "y": 0, "z": 2}}),
        lambda: Turn(seconds=0),
        lambda: Keys(()),
        lambda: Keys(((2.0, AHEAD), (1.0, AHEAD))),
        lambda: replace(ruler(), rgb=np.ones((3, 3), np.float32)),
        lambda: replace(ruler(), points=np.full_like(ruler().points, np.nan)),
        lambda: replace(ruler(), snapshots=np.ones((2, 5, 3), np.float32)),
        lambda: video.frame([], time=1.0, settings=SMALL),
        lambda: video.frame([ruler()], time=1.0, settings=replace(SMALL, strip="waveform")),
        lambda: video.frame([ruler()], time=1.0, settings=replace(SMALL, start=2.0, stop=9.0)),
        lambda: video.film([ruler()], sound=None, settings=SMALL, out=Path("f.avi")),
        lambda: video.film([ruler()], sound=None, settings=replace(SMALL, background="transparent"), out=Path("f.mp4")),
        lambda: video.film([ruler()], sound=Path("nowhere.wav"), settings=SMALL, out=Path("f.mp4"), features=heard()),
        lambda: video.loop([ruler()], settings=SMALL, out=Path("f.mp4")),
    ],
)
def test_what_cannot_be_filmed_is_refused_in_a_sentence(
    make: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError) as refused:
        make()
    assert len(str(refused.value)) > 20
    assert list(tmp_path.iterdir()) == []


# --- The picture


TITLES = ["😀🎵👩‍🚀", "שלום עולם مرحبا", "\"%{n}\" <b> & '%s' \\ $(x)", "\ud800 half a letter \x00\n", "x" * 500, "日本", " "]


@pytest.mark.parametrize("title", TITLES, ids=ascii)
def test_any_title_is_drawn(title: str) -> None:
    settings = replace(SMALL, title=title, artist=title)
    drawn = video.frame([replace(ruler(), label=title)], time=1.0, settings=settings)
    assert drawn.shape == (180, 320, 3)
    if title.strip():
        assert np.abs(drawn[:20].astype(int) - video.frame([ruler()], time=1.0, settings=SMALL)[:20]).max() > 100
    ET.fromstring(video.poster_svg([ruler()], time=1.0, settings=settings))  # noqa: S314 - our own


def test_grounds_are_dark_light_or_not_there() -> None:
    corners = {
        background: video.frame([ruler()], time=1.0, settings=replace(SMALL, background=background))[0, 0]
        for background in ("dark", "light", "transparent")
    }
    assert corners["dark"].max() < 16
    assert corners["light"].min() > 230
    assert corners["transparent"].tolist() == [0, 0, 0, 0]


def test_transparent_colours_are_whole_where_little_is_covered() -> None:
    drawn = video.frame([replace(ruler(), rgb=np.ones_like(ruler().rgb))], time=3.7, settings=replace(SMALL, background="transparent"))
    faint = drawn[(drawn[..., 3] > 20) & (drawn[..., 3] < 200)]
    assert len(faint) > 100
    assert faint[:, :3].max(axis=1).min() > 60  # multiplied by alpha they would be nearly black


def test_what_was_played_is_bright_and_the_rest_dim() -> None:
    shot = replace(ruler(), rgb=np.broadcast_to(np.float32([0, 0.8, 0]), ruler().rgb.shape))
    drawn = video.frame([shot], time=2.0, settings=SMALL).astype(int)
    past, ahead = (comet_at(shot, time, SMALL, camera=AHEAD).round().astype(int) for time in (0.7, 3.3))
    green = [drawn[y - 3 : y + 4, x - 3 : x + 4, 1].max() for x, y in (past, ahead)]
    assert green[0] > 110 > green[1] > 40


def test_two_paths_are_seen_by_one_camera() -> None:
    settings = replace(SMALL, width=640, height=320, background="transparent", camera=Turn())
    wide = video.frame([curl(), curl()], time=9.0, settings=settings)
    np.testing.assert_array_equal(wide[:, :320], wide[:, 320:])
    tall = video.frame([curl(), curl()], time=9.0, settings=replace(settings, width=320, height=640))
    np.testing.assert_array_equal(tall[:320], tall[320:])
    assert (wide[..., 3] > 0).mean() > 0.01


def test_a_forecast_grows_from_its_own_time_on() -> None:
    shot = ruler()
    told = Overlay(points=shot.points[100:200] + np.float32([0, 0, 0.5]), times=shot.times[100:200], kind="forecast", colour="#ff0000")
    place = (shot.points[150] + [0, 0, 0.5])[None]
    before, after = (
        video.frame([replace(shot, overlays=(told,))], time=float(shot.times[i]), settings=replace(SMALL, width=640, height=360))
        for i in (90, 150)
    )
    box = Box.of(replace(shot, overlays=(told,)))
    x, y = video.project(box.places(place), AHEAD, 640, 360)[0, :2].round().astype(int)
    red = [frame[y - 1 : y + 2, x - 1 : x + 2, 0].max() for frame in (before, after)]
    assert red[1] > 240
    assert 60 < red[0] < 160  # it is announced faintly


def test_a_forming_ends_as_the_path_itself() -> None:
    shot = ruler()
    snapshots = np.stack([shot.points * share for share in (0.0, 0.5, 1.0)])
    forming = replace(shot, snapshots=snapshots)
    first, last = (video.frame([forming], time=time, settings=SMALL) for time in (0.25, 12.25))
    np.testing.assert_array_equal(last, video.frame([replace(shot, snapshots=shot.points[None])], time=12.25, settings=SMALL))
    assert np.abs(first.astype(int) - last).max() > 50
    assert video.span([forming], SMALL) == (0.25, 12.25)


@pytest.mark.parametrize("strip", ["waveform", "spectrogram"])
def test_a_strip_is_bright_up_to_now(strip: str) -> None:
    settings = replace(SMALL, width=640, height=360, strip=strip)
    shot = replace(ruler(), rgb=np.full_like(ruler().rgb, 0.7))
    drawn = video.frame([shot], time=2.0, settings=settings, features=heard()).astype(int)
    band = drawn[360 - 26 - 2 : 360 - 26 + 2].sum(axis=(0, 2))
    played, rest = band[160:300], band[340:480]
    assert played.mean() > 1.2 * rest.mean()
    assert band[318:323].max() > 1.2 * max(played.max(), rest.max())  # the line that says now


def test_the_time_is_cut_and_not_rounded() -> None:
    settings = replace(SMALL, time_code=True)
    one, same, other = (video.frame([ruler()], time=time, settings=settings)[160:, :80] for time in (1.0, 1.0099, 1.0101))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_poster_is_the_frame_and_its_vectors_are_its_lines() -> None:
    settings = replace(SMALL, title="a < b")
    drawn = np.asarray(Image.open(io.BytesIO(video.poster_png([curl()], time=30.0, settings=replace(settings, camera=Turn())))))
    np.testing.assert_array_equal(drawn, video.frame([curl()], time=30.0, settings=replace(settings, camera=Turn())))
    drawing = ET.fromstring(video.poster_svg([curl()], time=30.0, settings=replace(settings, camera=Turn())))  # noqa: S314 - our own
    assert drawing.attrib["viewBox"] == "0 0 320 180"
    lines = drawing.findall(".//{*}line")
    assert len(lines) >= 1299
    assert drawing.find(".//{*}text").text == "a < b"


@pytest.mark.parametrize("name", ["l.gif", "l.webp"])
def test_a_loop_turns_once_and_goes_on_for_ever(name: str, tmp_path: Path) -> None:
    settings = replace(SMALL, width=160, height=120)
    made = video.loop([curl()], settings=settings, out=tmp_path / name, seconds=1.0)
    with Image.open(made) as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (20, (160, 120), 0)
        frames = []
        for number in range(20):
            picture.seek(number)
            frames.append(np.asarray(picture.convert("RGB")).astype(int))
            assert picture.info["duration"] == 50
    steps = [np.abs(b - a).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert steps[-1] < 1.5 * max(steps[:-1])  # the last step is like any other
    assert min(steps) > 0


def test_a_cancelled_loop_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        video.loop([ruler()], settings=SMALL, out=tmp_path / "l.gif", report=cancel)
    assert list(tmp_path.iterdir()) == []


def test_a_path_behind_the_eye_is_left_out() -> None:
    inside = {**AHEAD, "eye": {"x": 0.05, "y": 0.0, "z": 0.02}}
    drawn = video.frame([curl()], time=20.0, settings=replace(SMALL, camera=Held(inside)))
    assert drawn.shape == (180, 320, 3)


def test_a_long_path_is_drawn_from_fewer_points_of_the_same_shape() -> None:
    times = np.linspace(0.25, 300, 13_000)
    points = np.stack([np.sin(times), np.cos(times * 1.1), np.sin(times * 0.31)], axis=1).astype(np.float32)
    picture = Picture([Shot(points=points, times=times, rgb=np.ones_like(points))], SMALL, None)
    panel = picture.panels[0]
    assert len(panel.kept) <= 4000
    assert panel.kept[[0, -1]].tolist() == [0, 12_999]
    after = np.clip(np.searchsorted(panel.kept, np.arange(13_000)), 1, None)
    one, other = panel.path[panel.kept[after - 1]], panel.path[panel.kept[after]]
    along = np.clip(((panel.path - one) * (other - one)).sum(axis=1) / ((other - one) ** 2).sum(axis=1), 0, 1)
    assert np.linalg.norm(panel.path - (one + along[:, None] * (other - one)), axis=1).max() < 0.002  # of the half of the box
