"""Every page as a visitor's session sees it, with real workers behind it."""

import asyncio
import functools
import io
import json
import shutil
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import Response
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

import trajectory
from tests.audio_files import noise, write
from tests.songs import ROOT
from trajectory import pipeline
from trajectory.library import Library
from trajectory.runs import Run
from trajectory.settings import TrainingSettings, preset
from trajectory.ui import place, services
from trajectory.ui.cookies import COOKIE

PAGES = ("explore", "compare", "forecast", "export")
DRAWN = ("explore", "compare", "forecast")
SAMPLE = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAJECTORY_HOME", str(folder))
        services.forget()
        yield folder
        services.queue().close()
        services.forget()


@pytest.fixture(autouse=True)
def _with_app_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the server: AppTest would open a page without app.py around it, and so without its guard."""
    begin = PagesManager.__init__

    def begun(self: PagesManager, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", begun)


@pytest.fixture(autouse=True)
def _empty() -> None:
    for job in services.jobs().active():
        job.cancel()
    for song in services.library().songs():
        services.library().delete_song(song.id)
    services.library().purge(0)


def visit(page: str = "", **query: str) -> AppTest:
    """Opens a page by its link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page:
        app.run()  # the first page, which knows nothing of the link yet
        app.switch_page(f"pages/{page}.py")
    app.query_params.update(query)
    return app.run()


def kept_song(*names: str) -> str:
    """A song in the library with quickly trained runs; its id."""
    library: Library = services.library()
    song = library.add_song(SAMPLE, name="loop.ogg")
    for name in names:
        settings = preset(name, training=TrainingSettings(steps=8))
        from trajectory import pipeline

        library.add_run(song.id, pipeline.fit(SAMPLE, settings))
    return song.id


def until(app: AppTest, words: str, *, seconds: float = 60) -> AppTest:
    """Looks again, as the page itself does, until it says so."""
    end = time.monotonic() + seconds
    while words not in said(app):
        assert time.monotonic() < end, said(app)
        time.sleep(0.3)
        app.run()
    return app


def said(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    tables = "".join(each.value.to_string() for each in app.table)
    return "\n".join([*(str(each.value) for kind in kinds for each in kind), tables, str(app.main)])


def sound(seconds: float) -> bytes:
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes((8_000 * np.sin(np.arange(int(44_100 * seconds)) / 20)).astype(np.int16).tobytes())
    return kept.getvalue()


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_a_song_says_where_to_get_one(page: str) -> None:
    app = visit(page)
    assert not app.exception
    assert "There is no song yet" in said(app)


def test_the_library_without_a_song_says_where_to_get_one() -> None:
    assert "There is no song yet" in said(visit("library"))


@pytest.mark.parametrize("page", DRAWN)
def test_a_page_with_a_run_draws_it(page: str) -> None:
    song = kept_song("conditioned", "pure")
    app = visit(page, song=song)
    assert not app.exception
    assert not app.error
    assert f"UnknownElement(key='{page}')" in str(app.main)  # the player
    assert app.query_params["song"] == song


@pytest.mark.parametrize("page", PAGES)
def test_a_song_without_a_run_sends_its_visitor_to_listen(page: str) -> None:
    assert "Nothing is trained on this song yet" in said(visit(page, song=kept_song()))


def test_a_sample_is_previewed_trained_and_kept() -> None:
    app = press(visit(), "Cc0 loop 120bpm")
    assert not app.exception
    assert "UnknownElement(key='listen')" in str(app.main)
    until(app, "PageLink")
    (song,) = services.library().songs()
    end = time.monotonic() + 60
    while len(services.library().runs_of(song.id)) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    assert {run.preset for run in services.library().runs_of(song.id)} == {"conditioned", "pure"}
    assert not app.error


def test_an_upload_is_kept_and_its_place_is_emptied() -> None:
    app = visit()
    app.file_uploader[0].set_value(("a song.ogg", SAMPLE.read_bytes(), "audio/ogg")).run()
    (song,) = services.library().songs()
    assert song.name == "a song.ogg"
    assert not app.file_uploader[0].value
    assert app.query_params["song"] == song.id


def test_of_several_uploads_the_good_ones_are_kept_and_the_first_is_opened() -> None:
    app, piano = visit(), ROOT / "assets/songs/05_solo_piano.ogg"
    songs = [(path.name, path.read_bytes(), "audio/ogg") for path in (SAMPLE, piano)]
    app.file_uploader[0].set_value([songs[0], ("noise.mp3", b"no music at all" * 100, "audio/mpeg"), songs[1]]).run()
    assert "2 songs are in the Library now" in said(app)
    assert "noise.mp3" in said(app)
    assert {song.name for song in services.library().songs()} == {SAMPLE.name, piano.name}
    assert services.library().song(app.session_state["song"]).name == SAMPLE.name


def test_of_a_song_whose_length_is_unknown_a_part_can_be_chosen(tmp_path: Path) -> None:
    song = services.library().add_song(write(tmp_path / "b.aac", noise(48_000, 8.0), 48_000), name="b.aac")
    assert song.seconds is None
    app = visit(song=song.id)
    app.number_input[0].set_value(1.0)
    app.number_input[1].set_value(3.0)
    assert "A part lasts from 5 s" in said(press(app, "Use this part"))
    app.number_input[1].set_value(7.5)
    press(app, "Use this part")
    assert app.query_params["part"] == "1,7.5"
    until(app, "PageLink")
    (run, *_) = services.library().runs_of(song.id)
    section = services.library().run(run.id).settings.section
    assert (section.start, section.stop) == (1.0, 7.5)


def test_a_bad_upload_shows_its_sentence_and_leaves_no_trace() -> None:
    app = visit()
    app.file_uploader[0].set_value(("a song.mp3", b"no music at all" * 100, "audio/mpeg")).run()
    assert [error.value for error in app.error] != []
    assert "a song.mp3" in app.error[0].value
    assert not services.library().songs()
    assert services.library().disk_use() == 0


def test_a_song_that_cannot_be_trained_says_why_and_can_be_tried_again() -> None:
    song = services.library().add_song(sound(0.6), name="blip.wav")
    app = until(visit(song=song.id), "Try again")
    assert any("are needed" in error.value for error in app.error), said(app)
    assert not app.exception
    press(app, "Try again")
    assert not app.exception


def test_a_link_to_what_was_deleted_says_so() -> None:
    song = kept_song("conditioned")
    (run,) = services.library().runs_of(song)
    services.library().delete_song(song)
    app = visit("explore", song=song, run=run.id)
    assert not app.exception
    assert "no longer in the library" in said(app)


def test_a_link_opens_the_moment_and_loop_that_it_names() -> None:
    song = kept_song("conditioned")
    app = visit("explore", song=song, t="3.50", loop="2.00,4.00")
    assert (app.query_params["t"], app.query_params["loop"]) == ("3.50", "2.00,4.00")


@pytest.mark.parametrize("bad", ["nan", "1,2,3", "<script>", "9e999", ""])
def test_a_link_with_nonsense_opens_all_the_same(bad: str) -> None:
    app = visit("explore", song=kept_song("conditioned"), t=bad, loop=bad, camera=bad, run=bad)
    assert not app.exception


def test_the_missing_model_is_trained_on_demand() -> None:
    song = kept_song("conditioned")
    app = until(visit("compare", song=song), "UnknownElement(key='compare')")
    assert {run.preset for run in services.library().runs_of(song)} == {"conditioned", "pure"}
    until(app, "distance to the truth after 1, 10 and 29 steps")
    assert not app.error


def test_another_model_is_trained_from_its_own_settings() -> None:
    song = kept_song("conditioned", "pure")
    app = visit("compare", song=song)
    next(each for each in app.selectbox if each.label == "Preset").set_value("conditioned")
    next(each for each in app.number_input if each.label.startswith("Steps")).set_value(5)
    next(each for each in app.number_input if each.label.startswith("alpha")).set_value(0.0)
    press(app, "Train and put it on the right")
    until(app, "UnknownElement(key='compare')")
    losses = [services.library().run(run.id).settings.loss for run in services.library().runs_of(song)]
    assert len(losses) == 3
    assert any(loss.forecast == 0 for loss in losses)


def test_settings_that_make_no_sense_are_refused_in_the_page() -> None:
    app = visit("compare", song=kept_song("conditioned", "pure"))
    next(each for each in app.text_input if each.label.startswith("Horizons")).set_value("one,two")
    press(app, "Train and put it on the right")
    assert any("are no horizons" in error.value for error in app.error)


def test_forecasts_are_made_judged_and_put_into_words() -> None:
    app = visit("forecast", song=kept_song("conditioned"))
    until(app, "stays nearest to the truth")
    until(app, "Html()")  # the legend with each method's distance
    assert "Protocol past-only" in said(app)
    assert not app.error


def test_a_film_is_previewed_made_kept_and_given_up() -> None:
    song = kept_song("conditioned")
    app = until(visit("export", song=song), "Make it")
    assert not app.exception
    assert not app.error
    for key, value in (("film-ending", ".gif"), ("film-size", "square"), ("film-quality", "draft")):
        app.selectbox(key=key).set_value(value)
    app.multiselect(key="film-forecasts").set_value(["knn"])
    app.selectbox(key="film-ending").set_value(".png").run()
    assert not app.error
    press(app, "Make it")
    until(app, "It is made")
    (file,) = services.library().kept_files(song, "film-")
    assert file.read_bytes().startswith(b"\x89PNG")
    app.run()
    press(app, "Delete")
    assert not services.library().kept_files(song, "film-")


def test_an_odd_film_is_refused_in_the_page() -> None:
    app = until(visit("export", song=kept_song("conditioned")), "Make it")
    app.selectbox(key="film-background").set_value("transparent").run()
    press(app, "Make it")
    until(app, "an .mp4 cannot be transparent")


def test_a_bundle_comes_back_as_it_was() -> None:
    song = kept_song("conditioned")
    app = visit("export", song=song)
    app.checkbox(key="with-sound").check().run()
    app.button(key="make-bundle").click().run()
    _, (name, bundle) = app.session_state["made-bundle"]
    (before,) = services.library().runs_of(song)
    services.library().delete_song(song)
    services.library().purge(0)
    kept_song()  # the page needs a song to open
    app = visit("export", song=services.library().songs()[0].id)
    assert name.endswith(".zip")
    from trajectory.bundles import import_bundle

    found = import_bundle(bundle)
    assert found.sound == SAMPLE.read_bytes()
    assert services.library().add_run(song, found.run).id == before.id


def test_a_song_is_renamed_deleted_and_brought_back() -> None:
    song = kept_song("conditioned")
    app = visit("library")
    next(each for each in app.text_input if each.key == f"title-{song}").set_value("A better name").run()
    press(app, "Rename")
    assert "A better name" in said(app)
    press(app, "Delete the song and its runs")
    assert not services.library().songs()
    press(app, "Undo")
    assert [each.title for each in services.library().songs()] == ["A better name"]
    assert not app.exception


def test_two_tabs_may_delete_the_same_song() -> None:
    kept_song("conditioned")
    one, other = visit("library"), visit("library")
    for tab in (one, other):
        press(tab, "Delete the song and its runs")
        assert not tab.exception
    assert not services.library().songs()


def test_a_library_that_cannot_be_used_is_said_before_any_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "file"))
    services.forget_libraries()
    try:
        app = visit(song="0123456789abcdef")
        assert not app.exception
        assert [place.plain(str(tmp_path / "file")) in error.value for error in app.error] == [True]
        assert not app.file_uploader
    finally:
        services.forget_libraries()


def test_a_song_that_browsers_do_not_play_is_made_into_one_that_they_do() -> None:
    import soundfile

    kept = io.BytesIO()
    soundfile.write(kept, np.sin(np.arange(44_100 * 3) / 20), 44_100, format="AIFF")
    song = services.library().add_song(kept.getvalue(), name="tone.aiff")
    from trajectory.ui import work

    assert work.sound_address(song).endswith(f"/sound/{song.id}")
    assert services.playable(services.library(), song.id).name == "sound.flac"
    assert soundfile.info(services.playable(services.library(), song.id)).duration == 3


def test_a_strangers_words_are_shown_as_words() -> None:
    song = services.library().add_song(SAMPLE, name="loop.ogg")
    services.library().rename(song.id, "[click](javascript:alert(1)) <b>**bold**</b> :red[x]")
    app = visit("library")
    (title,) = [each.value for each in app.markdown if "click" in each.value]
    assert title.startswith("**\\[click\\](javascript\\:alert(1)) \\<b\\>\\*\\*bold")


def test_songs_are_heard_compared_and_drawn_on_a_map() -> None:
    song = kept_song()
    other = services.library().add_song(ROOT / "assets/songs/05_solo_piano.ogg", name="piano.ogg").id
    app = visit("alike", song=song)
    assert "0 of 2 songs have been heard by musicnn" in said(app)
    press(app, "Hear them")
    until(app, "**Hex-a-Hop ending")  # the other song, in the list
    app = visit("alike", song=song)
    app.segmented_control(key="show").set_value("Map").run()
    until(app, "too few to tell clusters")
    assert not app.exception
    assert not app.error
    assert "songs have been heard" not in said(app)
    app.segmented_control(key="map-how").set_value("tsne").run()
    until(app, "2 songs, tsne to 2 dimensions")
    app.segmented_control(key="show").set_value("Inside").run()
    assert "Tags" in said(app)
    press(app, "Draw the song's path as this encoder hears it")
    (drawn,) = services.library().runs_of(song)
    assert drawn.label == "as musicnn hears it"
    services.library().delete_run(drawn.id)
    app.run()
    press(app, "Draw the song's path as this encoder hears it")
    assert [run.label for run in services.library().runs_of(song)] == ["as musicnn hears it"]
    explored = visit("explore", song=song)
    assert not explored.exception
    assert not explored.error
    services.library().delete_song(other)
    alone = visit("alike", song=song)
    assert not alone.exception
    assert "There is no other song yet" in said(alone)


def test_an_encoder_that_is_not_there_says_how_to_get_it() -> None:
    app = visit("alike", song=kept_song())
    app.selectbox(key="encoder").set_value("logmel-cnn").run()
    assert "train one first" in said(app)
    app.selectbox(key="encoder").set_value("whisper").run()
    assert not app.exception
    assert "folder" in said(app)


def test_without_songs_alike_says_where_to_get_some() -> None:
    app = visit("alike")
    assert not app.exception
    assert "There is no song yet" in said(app)


def test_two_songs_are_put_into_one_space_and_compared_with_plain_networks() -> None:
    song = kept_song()
    other = services.library().add_song(ROOT / "assets/songs/05_solo_piano.ogg", name="piano.ogg").id
    press(visit("alike", song=song), "Hear them")
    app = until(visit("alike", song=song), "**Hex-a-Hop ending")
    app.segmented_control(key="show").set_value("Two songs").run()
    press(app, "Put both into one space")
    until(app, "One network was trained on both")
    assert not app.exception
    (run,) = services.library().runs_of(song)
    assert run.label.endswith(f"in one space with {other[:4]}")
    from trajectory.ui import comparing

    against = comparing.wanted(services.library().song(song), run)
    assert (against.preset, against.partner) == ("pure", "")


# --- Where each visitor has a library of their own


@pytest.fixture
def visitor(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Lets whoever is named ask from now on."""
    who = ["nobody"]
    monkeypatch.setenv("TRAJECTORY_DEPLOYMENT", "shared")
    monkeypatch.setattr(services, "visitors_secret", lambda: who[0])
    services.forget_libraries()

    def comes(name: str) -> None:
        who[0] = name

    yield comes
    for job in services.queue().active():
        job.cancel()
    shutil.rmtree(home / "visitors", ignore_errors=True)
    monkeypatch.undo()
    services.forget_libraries()


def song_of(name: str, *presets: str) -> str:
    own = services.visitors().library(name)
    song = own.add_song(SAMPLE, name="loop.ogg")
    for each in presets:
        own.add_run(song.id, quickly_trained(each))
    return song.id


@functools.cache
def quickly_trained(name: str) -> Run:
    return pipeline.fit(SAMPLE, preset(name, training=TrainingSettings(steps=8)))


def sound_for(song: str, *, secret: str = "", query: str = "") -> Response:
    cookie = f"{COOKIE}={secret}".encode()
    request = Request(
        {
            "type": "http",
            "method": "GET",
            "path": f"/sound/{song}",
            "path_params": {"song": song},
            "query_string": query.encode(),
            "headers": [(b"cookie", cookie)],
        }
    )
    return asyncio.run(services.sound(request))


def test_each_visitor_trains_and_sees_only_their_own(visitor: Callable[[str], None]) -> None:
    for name in ("one", "other"):
        visitor(name)
        assert "There is no song yet" in said(visit("library"))
        app = press(visit(), "Cc0 loop 120bpm")
        until(app, "PageLink")  # trained, kept, and offered to be explored
        assert not app.exception
        assert not app.error
    kept = [services.visitors().library(name) for name in ("one", "other")]
    end = time.monotonic() + 60
    while any(len(own.runs_of(own.songs()[0].id)) < 2 for own in kept) and time.monotonic() < end:
        time.sleep(0.2)
    assert [own.songs()[0].runs for own in kept] == [2, 2]
    visitor("third")
    app = visit("explore", song=kept[0].songs()[0].id)
    assert not app.exception
    assert "There is no song yet" in said(app)


def test_a_sound_is_served_only_to_whose_it_is(visitor: Callable[[str], None]) -> None:
    visitor("x" * 43)
    song = song_of("x" * 43)
    assert sound_for(song, secret="x" * 43).status_code == 200
    assert sound_for(song, secret="y" * 43).status_code == 404
    assert sound_for(song).status_code == 404
    assert sound_for(song, secret="x" * 43, query="shared=nonsense").status_code == 404


def test_a_browser_without_cookies_is_told_so(visitor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    visitor("one")
    monkeypatch.setattr(services, "visitors_secret", lambda: None)
    app = visit()
    assert not app.exception
    assert ["keeps no cookie" in error.value for error in app.error] == [True]
    assert not app.file_uploader


def test_what_is_beyond_a_quota_is_said_where_it_is_asked_for(visitor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAJECTORY_QUOTA_EXPORTS", "1")
    monkeypatch.setenv("TRAJECTORY_QUOTA_MINUTES", "0.6")
    services.forget_libraries()
    visitor("one")
    song = song_of("one", "conditioned")
    app = press(visit(), "Solo piano")
    assert ["minutes of sound" in error.value for error in app.error] == [True]
    app = visit("export", song=song)
    app.button(key="make-npz").click().run()
    assert not app.error
    app.button(key="make-csv").click().run()
    assert ["1 exports within 24 hours" in error.value for error in app.error] == [True]
    assert "1 of 1 exports" in said(visit("library"))


def test_a_link_is_made_looked_at_and_taken_back(visitor: Callable[[str], None]) -> None:
    visitor("owner")
    song = song_of("owner", "conditioned")
    owner = visit("library")
    press(owner, "Make a link")
    (link,) = [code.value for code in owner.code]
    token = link.partition("shared=")[2]

    visitor("guest")
    for page in ("explore", "forecast"):
        app = visit(page, shared=token)
        assert not app.exception
        assert not app.error, said(app)
        assert f"UnknownElement(key='{page}')" in str(app.main)
        assert app.query_params["shared"] == [token] or app.query_params["shared"] == token
    app = until(visit("compare", shared=token), "ask its owner")  # the other network would have to be trained
    assert not app.exception
    for page in ("library", "export", "alike"):
        app = visit("explore", shared=token)
        app.switch_page(f"pages/{page}.py").run()
        assert "ask its owner" in said(app)
        assert not app.file_uploader
    assert sound_for(song, secret="g" * 43, query=f"shared={token}").status_code == 200
    app = press(visit("explore", shared=token), "Go to your own songs")
    assert "There is no song yet" in said(app)
    assert not services.visitors().library("guest").songs()

    visitor("owner")
    press(owner, "Take back")
    visitor("guest")
    app = visit("explore", shared=token)
    assert not app.exception
    assert ["leads to nothing" in error.value for error in app.error] == [True]
    assert sound_for(song, secret="g" * 43, query=f"shared={token}").status_code == 404


def test_who_keeps_one_library_for_all_shares_nothing() -> None:
    kept_song("conditioned")
    app = visit("library")
    assert not [button for button in app.button if "link" in button.label]


def test_the_health_page_tells_whether_the_app_is_ready() -> None:
    answer = asyncio.run(services.health(Request({"type": "http"})))
    about = json.loads(bytes(answer.body))
    assert (answer.status_code, about["ready"], about["version"]) == (200, True, trajectory.__version__)
    assert about["free_bytes"] > 0
    assert (about["running"], about["waiting"]) == (0, 0)
