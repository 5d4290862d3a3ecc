"""Who compares the songs: an encoder is chosen here, and hears what it has not heard yet."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import streamlit as st

from trajectory import indexing
from trajectory.collection import Collection, Ear, ears, keep_trained
from trajectory.errors import TrajectoryError
from trajectory.queueing import Job
from trajectory.settings import ENCODERS, Likeness, Pooling
from trajectory.similarity import Index
from trajectory.ui import looking, place, work
from trajectory.ui.services import deployment, jobs, library
from trajectory.workers import Weights

LOOK_SECONDS = 0.5
NAMES = {
    "musicnn": "musicnn: a network that was trained to tag music",
    "logmel-cnn": "log-mel CNN: a network trained on the songs of this library",
    "rhythm": "rhythm: how the songs' own paths return to themselves",
    "rhythm-at-any-tempo": "rhythm, whatever the tempo",
    "wav2vec2": "wav2vec 2.0, from a folder",
    "hubert": "HuBERT, from a folder",
    "whisper": "Whisper, from a folder",
}
FROM_FOLDER = ("wav2vec2", "hubert", "whisper")
UNDER_WAY: dict[tuple[Path, Ear], indexing.CatchingUp] = {}  # of the whole app, by library and ear: a second session looks on


@dataclass(frozen=True)
class Hearing:
    """An encoder that is there, and how two songs are compared by it."""

    weights: Weights
    collection: Collection
    pooling: Pooling
    likeness: Likeness

    @property
    def ear(self) -> Ear:
        return self.collection.ear

    @cached_property
    def songs(self) -> Index:
        """A vector for each song, read once a run of the page."""
        return self.collection.songs(self.pooling, self.likeness)


def chooser() -> Hearing:
    """The encoder and how it is used; where it cannot be had, the sentence that says why, and the page ends."""
    left, middle, right = st.columns([4, 1, 1])
    offered = [each for each in ENCODERS if each not in FROM_FOLDER or not deployment().shared]  # the server's folders are no visitor's
    name = left.selectbox("Who listens", offered, format_func=NAMES.__getitem__, key="encoder", bind="query-params")
    pooling: Pooling = middle.selectbox("Pooling over time", get_args(Pooling), key="pooling", bind="query-params")
    likeness: Likeness = right.selectbox("Likeness", get_args(Likeness), key="likeness", bind="query-params")
    folder = None
    if name in FROM_FOLDER:
        folder = st.text_input("Folder of the model", key=f"folder-{name}", placeholder="holds config.json and model.safetensors") or None
    if name == "logmel-cnn":
        _training()
    try:
        weights = indexing.weights(library(), name, folder)
        return Hearing(weights, Collection(library(), _ear(weights)), pooling, likeness)
    except TrajectoryError as error:
        st.info(place.words(error), icon=":material/hearing:")
        st.stop()


@st.cache_resource(max_entries=32, show_spinner=False)
def _ear(weights: Weights) -> Ear:
    return indexing.ear_of(jobs(), weights)


# --- Hearing what is new


def catch_up(hearing: Hearing) -> None:
    """How many songs have been heard, and the button that lets the others be heard."""
    _catch_up(hearing.collection, hearing.weights)


def heard_by() -> None:
    """Whoever has heard songs of the library, how many, and how far who listens now has come."""
    found, count = ears(library()), len(library().songs())
    if not found:
        return
    with st.expander("Who has heard these songs", icon=":material/hearing:"):
        for ear, heard in sorted(found.items(), key=lambda each: -each[1]):
            if heard >= count:
                st.caption(f"All {count} songs have been heard by {ear.encoder}.")
            elif ear.encoder in FROM_FOLDER:
                st.caption(f"{heard} of {count} songs have been heard by {ear.encoder}; on Alike you name its folder.")
            else:
                _catch_up(Collection(library(), ear), indexing.weights(library(), ear.encoder, None))


def _catch_up(collection: Collection, weights: Weights) -> None:
    ear = collection.ear
    under_way = UNDER_WAY.get((collection.library.root, ear))
    if under_way is not None and under_way.is_alive():
        looking.fragment(_follow, LOOK_SECONDS)(under_way, ear)
        return
    if under_way is not None:
        for name, sentence in under_way.tally.failed[:5]:
            place.say(f"{name}: {sentence}")
    missing = collection.missing()
    if not missing:
        return
    heard = len(library().songs()) - len(missing)
    words, button = st.columns([5, 1], vertical_alignment="center")
    words.info(f"{heard} of {heard + len(missing)} songs have been heard by {ear.encoder}.", icon=":material/hearing:")
    them = "it" if len(missing) == 1 else "them"
    button.button(f"Hear {them}", type="primary", key=f"hear {ear.file}", on_click=_start, args=(collection, weights), width="stretch")


def _start(collection: Collection, weights: Weights) -> None:
    begun = indexing.CatchingUp(collection.library, jobs(), collection.ear, weights, owner=place.owner())
    UNDER_WAY[collection.library.root, collection.ear] = begun
    begun.start()


def _follow(under_way: indexing.CatchingUp, ear: Ear) -> None:
    if not under_way.is_alive():
        st.rerun()
    tally, count = under_way.tally, len(under_way.songs)
    done = tally.heard + len(tally.failed)
    words = f"{done} of {count} songs heard by {ear.encoder}"
    place.progress(done / count if count else 1.0, words, under_way.stop, key=f"stop {ear.file}", label="Stop")


# --- An encoder of one's own


def _training() -> None:
    """The Siamese network is trained on what the library holds."""
    job: Job | None = st.session_state.get("encoder-job")
    if job is not None and not job.ended:
        looking.fragment(_follow_training, LOOK_SECONDS)(job)
        return
    if job is not None and job.state == "failed":
        place.say(job.error or "this training failed")
    help_ = "Two pieces of one song should lie together, pieces of two songs apart: that is all it is taught."
    if st.button("Train it on the songs of this library", icon=":material/model_training:", help=help_):
        own = library()
        try:
            st.session_state["encoder-job"] = work.begin_encoder(owner=place.owner(), done=lambda files: keep_trained(own, files))
        except TrajectoryError as error:
            place.say(error)
        else:
            st.rerun()


def _follow_training(job: Job) -> None:
    if job.ended:
        st.rerun()
    about = job.progress or {}
    share = about["step"] / about["steps"] if "step" in about else 0.0
    words = f"training, {about['seconds_left']:.0f} s left" if "seconds_left" in about else "reading the songs"
    place.progress(share, words, job.cancel, key="cancel-encoder")
