"""A song's trainings as a page shows them: under way, waiting, failed or done."""

from collections.abc import Sequence

import streamlit as st

from trajectory.catalogue import RunEntry, SongEntry
from trajectory.queueing import Job
from trajectory.settings import Settings
from trajectory.ui import place, work

Wanted = RunEntry | Job


def begin(song: SongEntry, wanted: Sequence[Settings]) -> list[Wanted]:
    """The kept runs, or their jobs; one that failed or was cancelled stays so until it is asked for again."""
    found: list[Wanted] = []
    for settings in wanted:
        key = f"job {song.id} {settings.fingerprint()}"
        held: Job | None = st.session_state.get(key)
        if held is None or held.state == "done":
            entry = work.begin_run(song, settings, owner=place.owner())
            if isinstance(entry, Job):
                st.session_state[key] = entry
            found.append(entry)
        else:
            found.append(held)
    return found


def again(song: SongEntry, settings: Settings) -> None:
    """Forgets a training that failed or was cancelled."""
    st.session_state.pop(f"job {song.id} {settings.fingerprint()}", None)


def give_up(song: SongEntry) -> None:
    """Cancels what this visitor has under way for a song."""
    for name, held in st.session_state.items():
        if str(name).startswith(f"job {song.id} ") and isinstance(held, Job) and not held.ended:
            held.cancel()


def status(song: SongEntry, settings: Settings, wanted: Wanted) -> None:
    """One line for one training, with its button."""
    if isinstance(wanted, RunEntry):
        return
    words, button = st.columns([5, 1], vertical_alignment="center")
    if wanted.state == "failed":
        with words:
            place.say(wanted.error or "this training failed")
    elif wanted.state == "cancelled":
        words.info(f"{settings.preset}: cancelled", icon=":material/cancel:")
    else:
        words.progress(*_progress(settings, wanted))
    if wanted.ended:
        button.button("Try again", key=f"again {wanted.key}", on_click=again, args=(song, settings), width="stretch")
    else:
        button.button("Cancel", key=f"cancel {wanted.key}", on_click=wanted.cancel, width="stretch")


def _progress(settings: Settings, job: Job) -> tuple[float, str]:
    if job.state == "waiting":
        ahead = job.place
        return 0.0, f"{settings.preset}: waiting for a worker" + (f", place {ahead} in the queue" if ahead else "")
    if job.progress is None:
        return 0.0, f"{settings.preset}: reading the song"
    step, steps = job.progress["step"], job.progress["steps"]
    losses = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in job.progress["losses"].items())
    return step / steps, f"{settings.preset}: step {step} of {steps}, {job.progress['seconds_left']:.0f} s left · {losses}"
