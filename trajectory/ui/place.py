"""Where a visitor is: the song, the run and the view, kept in the page's address, so that a link opens the same."""

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.settings import preset
from trajectory.ui.player import Camera, Events, View
from trajectory.ui.services import library, sentence

LISTEN, EXPLORE, COMPARE, FORECAST = (f"pages/{name}.py" for name in ("listen", "explore", "compare", "forecast"))
MARKDOWN = "\\`*_[]<>#|:$~&"
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # letters after which text is read the other way


def owner() -> str:
    """Who asks: one name for each browser session."""
    return str(st.session_state.setdefault("owner", uuid.uuid4().hex))


def choose(song: str | None, run: str | None = None) -> None:
    """Makes them the ones that every page is about."""
    before = st.session_state.get("song"), st.session_state.get("run")
    if before != (song, run):
        st.session_state.pop("view", None)
    if before[0] and before[0] != song:  # another song's moment and loop say nothing here
        write({"t": None, "camera": None, "loop": None, "part": None, "against": None, "from": None})
    st.session_state["song"], st.session_state["run"] = song, run
    write({"song": song, "run": run})


@dataclass(frozen=True)
class _Named:
    song: str | None
    run: str | None


def _named() -> _Named:
    """What the address says, else what was chosen last."""
    asked = st.query_params.get("song"), st.query_params.get("run")
    if not any(asked):
        return _Named(st.session_state.get("song"), st.session_state.get("run"))
    return _Named(*asked)


def song() -> SongEntry | None:
    """The chosen song; a link to one that is gone says so, and the page goes on without."""
    named = _named()
    try:
        found = library().song(library().run_entry(named.run).song_id if named.run and not named.song else named.song or "")
    except TrajectoryError as error:
        if named.song or named.run:
            st.warning(f"{words(error)}. It may have been deleted; choose another below or in the Library.", icon=":material/link_off:")
            choose(None)
        return None
    return found


def run(of: SongEntry) -> RunEntry | None:
    """The chosen run of a song, else its newest conditioned one, else its newest."""
    runs = library().runs_of(of.id)
    wanted = _named().run
    chosen = next((each for each in runs if each.id == wanted), None)
    usual = chosen or library().find_run(of.id, preset("conditioned"))
    if wanted and chosen is None:
        st.warning("this run is no longer in the library; here is another of the same song", icon=":material/link_off:")
    return usual or next((each for each in runs if each.preset == "conditioned"), runs[0] if runs else None)


def song_and_run() -> tuple[SongEntry, RunEntry]:
    """What the page is about, chosen at its top; without any it says where to get one, and stops."""
    left, right = st.columns(2)
    with left:
        chosen = picked_song()
    found = run(chosen)
    if found is None:
        choose(chosen.id)
        _stop("Nothing is trained on this song yet. Open it on Listen: it needs a few seconds.")
    labels = {each.id: each.label for each in library().runs_of(chosen.id)}
    index = list(labels).index(found.id)
    taken = right.selectbox("Run", list(labels), index=index, format_func=labels.__getitem__, key=f"run-{found.id}-{len(labels)}")
    choose(chosen.id, taken)
    return chosen, library().run_entry(taken)


def picked_song() -> SongEntry:
    """The song that the page is about, chosen here; without any it says where to get one, and stops."""
    linked, songs = song(), library().songs()
    if not songs:
        _stop("There is no song yet. Drop one on Listen, or take a sample: it needs a few seconds.")
    chosen = linked or next((each for each in songs if each.runs), songs[0])
    names = {each.id: title(each) for each in songs}
    index = list(names).index(chosen.id)
    picked = st.selectbox("Song", list(names), index=index, format_func=names.__getitem__, key=f"song-{chosen.id}-{len(songs)}")
    if linked is None or picked != linked.id:
        choose(picked)
    return next(each for each in songs if each.id == picked)


def progress(share: float, words: str, stop: Callable[[], None], *, key: str, label: str = "Cancel") -> None:
    """One line of work under way, with the button that ends it."""
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(share, words)
    button.button(label, on_click=stop, key=key, width="stretch")


def _stop(words: str) -> NoReturn:
    st.info(words, icon=":material/graphic_eq:")
    st.page_link(LISTEN, label="Go to Listen", icon=":material/headphones:")
    st.stop()
    raise AssertionError


def plain(text: str) -> str:
    """A stranger's words as words: nothing in them is markdown, and nothing turns round what follows them."""
    return "".join(f"\\{letter}" if letter in MARKDOWN else letter for letter in text if letter not in TURNING)


def words(error: Exception | str) -> str:
    """What went wrong, in its own sentence, as plain words."""
    return plain(sentence(error))


def say(error: Exception | str) -> None:
    """What went wrong, in its own sentence."""
    st.error(words(error), icon=":material/error:")


def ago(moment: float) -> str:
    """How long that is past, roughly."""
    minutes = max(0.0, time.time() - moment) / 60
    if minutes < 2:
        return "just now"
    return (
        f"{minutes:.0f} min ago" if minutes < 90 else f"{minutes / 60:.0f} h ago" if minutes < 36 * 60 else f"{minutes / 1440:.0f} days ago"
    )


def title(of: SongEntry) -> str:
    """What a song is called on a page."""
    words = f"{of.title} · {of.artist}" if of.artist else of.title
    return "".join(letter for letter in words if letter not in TURNING)


# --- The view


def view() -> View:
    """The moment, camera and loop that the address names, else where this session was."""
    kept: View | None = st.session_state.get("view")
    if kept is not None:
        return kept
    loop = _numbers(st.query_params.get("loop", ""), 2)
    camera = _numbers(st.query_params.get("camera", ""), 9)
    moment = _numbers(st.query_params.get("t", ""), 1)
    names = ("eye", "center", "up")
    return View(
        time=moment[0] if moment else 0.0,
        camera={name: dict(zip("xyz", camera[3 * i : 3 * i + 3], strict=True)) for i, name in enumerate(names)} if camera else None,
        loop=(loop[0], loop[1]) if loop and loop[1] > loop[0] >= 0 else None,
    )


def remember(seen: Events) -> None:
    """Writes the view into the address."""
    st.session_state["view"] = View(time=seen.time, camera=seen.camera, loop=seen.loop)
    write(
        {
            "t": f"{seen.time:.2f}",
            "camera": ",".join(f"{value:.3g}" for value in numbers_of(seen.camera) or ()) or None,
            "loop": f"{seen.loop[0]:.2f},{seen.loop[1]:.2f}" if seen.loop else None,
        }
    )


def numbers_of(camera: Camera | None) -> tuple[float, ...] | None:
    """A camera as nine numbers: eye, centre and up."""
    return tuple(camera[name][axis] for name in ("eye", "center", "up") for axis in "xyz") if camera else None


def part() -> tuple[float, float] | None:
    """The part of the song that the address names, in seconds."""
    found = _numbers(st.query_params.get("part", ""), 2)
    return (found[0], found[1]) if found and 0 <= found[0] < found[1] else None


def number(name: str) -> float | None:
    """A number in the address."""
    found = _numbers(st.query_params.get(name, ""), 1)
    return found[0] if found else None


def _numbers(text: str, count: int) -> list[float] | None:
    """So many numbers with commas between; anything else, as a stranger's link may hold, is nothing."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return found if len(found) == count and all(math.isfinite(each) and abs(each) < 1e6 for each in found) else None


def write(values: dict[str, str | None]) -> None:
    """Puts values into the address, or takes them out of it."""
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value
