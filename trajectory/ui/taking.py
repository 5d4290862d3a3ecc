"""What the Export page is made of: films that are ordered and kept, files that are made as they are taken, bundles that come back."""

import dataclasses
import hashlib
from typing import Any

import streamlit as st

from trajectory import bundles, export, holding, workers
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.colouring import hues
from trajectory.errors import TrajectoryError
from trajectory.features import Features
from trajectory.queueing import Job
from trajectory.records import Forecast
from trajectory.runs import Run
from trajectory.settings import FILM_SIZES, FORECASTERS, Hue
from trajectory.ui import looking, place, scenes, shelf, work
from trajectory.ui.services import film_address, jobs, library, playable

LOOK_SECONDS = 0.4
ENDINGS = {
    ".mp4": "Film (MP4)",
    ".webm": "Film (WebM, may be transparent)",
    ".zip": "Numbered pictures (PNG)",
    ".gif": "Turning loop (GIF)",
    ".webp": "Turning loop (WebP)",
    ".png": "Poster (PNG)",
    ".svg": "Poster (SVG)",
}
KINDS = {
    "npz": ("Numbers for Python (npz)", "application/octet-stream"),
    "csv": ("Table (csv)", "text/csv"),
    "html": ("A page that opens anywhere (html)", "text/html"),
    "gltf": ("Curve for Blender and three.js (glb)", "model/gltf-binary"),
    "bundle": ("Bundle that reproduces it all (zip)", "application/zip"),
}
TURN, HELD, KEYS = "turns slowly", "stays as in Explore", "goes along key views"
PREVIEW_WIDTH = 960
TOLD = "Made past-only, from the moment that was chosen on Forecast; they are drawn as the film comes to them."


def films(song: SongEntry, entry: RunEntry, run: Run, heard: Features | None) -> None:
    """A preview at once for every change, then the film itself, made by a worker."""
    if heard is None:
        return
    wanted, preview = st.columns([2, 3])
    with wanted:
        order, against = _order(song, entry, run, heard)
    with preview:
        frame = st.container()
        if st.button("Make it", type="primary", icon=":material/movie:"):
            try:
                st.session_state["film"] = _ordered(song, entry, against, heard, order)
            except TrajectoryError as error:
                place.say(error)
        job: Job | None = st.session_state.get("film")
        if job is not None:
            looking.fragment(_follow, None if job.ended else LOOK_SECONDS)(job, job.ended)
    _kept(song)
    with frame:
        _preview(song, entry, against, heard, order)  # last, since a worker draws it


def _order(song: SongEntry, entry: RunEntry, run: Run, heard: Features) -> tuple[workers.FilmOrder, RunEntry | None]:
    kind, size = st.columns(2)
    ending = kind.selectbox("What", list(ENDINGS), format_func=ENDINGS.__getitem__, key="film-ending")
    names = {name: f"{name} · {width} × {height}" for name, (width, height) in FILM_SIZES.items()}
    width, height = FILM_SIZES[size.selectbox("Size", list(names), format_func=names.__getitem__, key="film-size")]
    left, right = st.columns(2)
    fps = left.selectbox("Frames a second", (24, 30, 60), index=1, key="film-fps")
    quality = right.selectbox("Quality", ("fine", "draft"), key="film-quality")
    hue: Hue = left.selectbox("Colour by", hues(heard, run.song.beat), key="film-hue")
    background = right.selectbox("Background", ("dark", "light", "transparent"), key="film-background")
    views = _views()
    camera = left.selectbox("Camera", (TURN, HELD, *([KEYS] if len(views) > 1 else [])), key="film-camera")
    strip = right.selectbox("Strip below", (None, "waveform", "spectrogram"), format_func=lambda one: one or "none", key="film-strip")
    title = st.text_input("Title", song.title, max_chars=120, key=f"film-title-{song.id}")
    artist = st.text_input("Artist", song.artist or "", max_chars=120, key=f"film-artist-{song.id}")
    low, high = scenes.span(run)
    start, stop = st.slider("Part (seconds)", low, high, (low, high), step=0.1, key=f"film-part-{entry.id}")
    others = {each.id: each for each in library().runs_of(song.id) if each.id != entry.id}
    overlay = st.multiselect("Forecasts drawn over it", FORECASTERS, key="film-forecasts", help=TOLD)
    told = _told(run, entry, tuple(overlay))
    beside = st.selectbox("Beside it", [None, *others], format_func=lambda one: others[one].label if one else "nothing", key="film-beside")
    first, second = st.columns(2)
    clock = first.checkbox("Time code", value=True, key="film-clock")
    forming = second.checkbox("How it formed, instead", key="film-forming", help="The path taking shape while its network trained.")
    seen = place.view()
    whole = (start, stop) == (low, high)
    settings: dict[str, Any] = {
        "width": width,
        "height": height,
        "fps": fps,
        "quality": quality,
        "background": background,
        "title": title,
        "artist": artist,
        "time_code": clock,
        "strip": strip,
        "start": None if whole or forming else start,
        "stop": None if whole or forming else stop,
    }
    current = ((seen.time, seen.camera),) if seen.camera else ()
    order = workers.FilmOrder(
        ending=ending,
        settings=settings,
        turn_seconds=None if camera in (HELD, KEYS) and (current or camera == KEYS) else 48.0,
        views=tuple(views) if camera == KEYS else current,
        hue=hue,
        forming=forming,
        forecasts=tuple(told),
        time=min(max(seen.time, low), high) or (low + high) / 2,
    )
    return order, others.get(beside or "")


def _told(run: Run, entry: RunEntry, methods: tuple[str, ...]) -> list[Forecast]:
    """Forecasts from the moment that was chosen on Forecast, or from where that page begins."""
    if not methods:
        return []
    times = run.trajectory.times
    start = place.number("from") or float(times[0] + 0.7 * (times[-1] - times[0]))
    question = work.Question(methods=methods, protocol="past-only", steps=100, starts=(min(max(start, float(times[0])), float(times[-1])),))
    job = work.begin_forecast(entry, question, owner=place.owner())
    with st.spinner("The forecasters are learning what they may know …"):
        job.wait(60)
    found, refused = work.forecasts(job)
    for sentence in (*refused.values(), *([job.error or ""] if job.state == "failed" else ())):
        place.say(sentence)
    return found


def _views() -> list[tuple[float, Any]]:
    """The key views that were set in Explore, in the order of their moments."""
    kept: dict[float, Any] = st.session_state.get("key-views", {})
    if kept:
        words, button = st.columns([3, 1], vertical_alignment="center")
        words.caption(f"{len(kept)} key views from Explore: {', '.join(f'{moment:.1f} s' for moment in sorted(kept))}")
        if button.button("Forget", key="forget-views", width="stretch"):
            st.session_state["key-views"] = {}
            st.rerun()
    return sorted(kept.items())


def _ordered(song: SongEntry, entry: RunEntry, against: RunEntry | None, heard: Features, order: workers.FilmOrder) -> Job:
    entries = [entry, *([against] if against else [])]
    name = hashlib.sha256(repr((order, [each.id for each in entries])).encode()).hexdigest()[:12]
    kept = f"film-{name}{order.ending}"

    own = library()

    def done(film: bytes) -> None:
        own.keep(song.id, kept, film)

    held = jobs().find(kept)
    if held is not None and not held.ended:
        return held
    own.may_export()
    jobs().forget(kept)
    runs = tuple(own.run(each.id) for each in entries)
    labels = (entries[0].label, entries[1].label) if against else ("", "")
    sound = jobs().carried(own.sound(song.id))
    arguments = (runs, labels, sound, song.name, heard, order)
    return jobs().submit(workers.film, *arguments, key=kept, kind="training", owner=place.owner(), done=done)


def _preview(song: SongEntry, entry: RunEntry, against: RunEntry | None, heard: Features, order: workers.FilmOrder) -> None:
    scale = PREVIEW_WIDTH / max(order.settings["width"], order.settings["height"])
    small = {side: 2 * round(order.settings[side] * scale / 2) for side in ("width", "height")}
    still = dataclasses.replace(order, ending=".png", settings=order.settings | small)
    try:
        entries = [entry, *([against] if against else [])]
        st.image(work.picture(song, entries, heard, still), width="stretch")
    except TrajectoryError as error:
        place.say(error)


def _follow(job: Job, ended: bool) -> None:
    if job.ended and not ended:
        st.rerun()
    if job.state == "failed":
        place.say(job.error or "this film failed")
    elif job.state == "cancelled":
        st.info("Cancelled: nothing was kept.", icon=":material/cancel:")
    elif job.state == "done":
        st.success("It is made, and kept below.", icon=":material/check:")
    else:
        place.progress(*_progress(job), job.cancel, key=f"cancel-{job.key}")


def _progress(job: Job) -> tuple[float, str]:
    if job.progress is None:
        ahead = job.place
        return 0.0, f"waiting, place {ahead} in the queue" if ahead else "beginning"
    frame, frames, left = (job.progress[name] for name in ("frame", "frames", "seconds_left"))
    return min(frame / frames, 1.0), f"frame {frame} of {frames}, {job.progress['frames_per_second']:.0f} a second, {left:.0f} s left"


def _kept(song: SongEntry) -> None:
    """What was made before of this song."""
    made = library().kept_files(song.id, "film-")
    if not made:
        return
    st.subheader("Made before", anchor=False)
    for file in made:
        with st.container(border=True):
            words, take, away = st.columns([4, 1, 1], vertical_alignment="center")
            words.markdown(f"{ENDINGS.get(file.suffix, file.suffix)} · {shelf.megabytes(file.stat().st_size)}")
            name = f"{bundles.stem(song.title)}{file.suffix}"
            take.link_button("Download", film_address(song.id, file, called=name), width="stretch")
            away.button("Delete", key=f"away-{file.name}", on_click=library().drop, args=(song.id, file.name), width="stretch")
            if file.suffix in (".mp4", ".webm"):
                with st.expander("Play"):
                    st.html(f'<video controls preload="none" style="width:100%" src="{film_address(song.id, file)}"></video>')
            elif file.suffix in (".png", ".gif", ".webp"):
                st.html(f'<img loading="lazy" style="max-width:100%;width:480px" alt="" src="{film_address(song.id, file)}">')


def data(song: SongEntry, run: Run, heard: Features | None) -> None:
    """Files that are made as they are taken."""
    with_sound = st.checkbox("Put the song's sound into the page and the bundle", key="with-sound", help="Only if you may pass it on.")
    hue: Hue = st.selectbox("Colour by", hues(heard, run.song.beat), key="data-hue")
    for kind, (label, mime) in KINDS.items():
        asked = (song.id, run.settings.fingerprint(), with_sound, hue)
        of, made = st.session_state.get(f"made-{kind}", (None, None))
        made = made if of == asked else None
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(label, key=f"make-{kind}", icon=":material/draft:"):
                try:
                    made = _file(song, run, heard, kind, with_sound=with_sound, hue=hue)
                    st.session_state[f"made-{kind}"] = asked, made
                except TrajectoryError as error:
                    place.say(error)
            if made is not None:
                name, content = made
                st.download_button(
                    f"Download {place.plain(name)} ({shelf.megabytes(len(content))})",
                    content,
                    file_name=name,
                    mime=mime,
                    key=f"take-{kind}",
                )


def _file(song: SongEntry, run: Run, heard: Features | None, kind: str, *, with_sound: bool, hue: Hue) -> tuple[str, bytes]:
    own = library()
    own.may_export()
    camera = place.numbers_of(place.view().camera)
    if with_sound and kind in ("html", "bundle"):
        return work.exported(song, run, kind, playable(own, song.id), heard, hue, camera)
    with holding.apart() as folder:
        (path,) = export.export(run, [kind], folder, name=song.title, features=heard, hue=hue, camera=camera)
        return path.name, path.read_bytes()


def bring_back() -> None:
    """A bundle with its sound becomes a song and a run of the library again."""
    st.caption("A bundle that was exported with its sound opens here as it was: nothing is trained again.")
    dropped = st.file_uploader("Bundle", type=["zip"], key="bundle")
    if dropped is None or not st.button("Bring it back", type="primary"):
        return
    try:
        found = bundles.import_bundle(dropped.getvalue())
        if found.sound is None:
            st.error("This bundle holds no sound, which the library needs; export it again with the sound in it.", icon=":material/error:")
            return
        song = library().add_song(found.sound, name=found.sound_name or found.run.song.name)
        entry = library().add_run(song.id, found.run)
    except TrajectoryError as error:
        place.say(error)
        return
    place.choose(song.id, entry.id)
    st.session_state["hue"] = found.hue
    seen = {"camera": ",".join(f"{number:.6g}" for number in found.camera)} if found.camera else {}
    st.switch_page(place.EXPLORE, query_params={"song": song.id, "run": entry.id, **seen})


def remember_view() -> None:
    """Keeps where the camera is now, for a film that goes from view to view."""
    seen = place.view()
    if seen.camera:
        st.session_state.setdefault("key-views", {})[round(seen.time, 2)] = seen.camera
