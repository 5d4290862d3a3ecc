"""What the command line takes: every command with its options."""

import argparse
import math
from collections.abc import Callable, Mapping
from typing import get_args

from trajectory.settings import ENCODERS, FORECASTERS, HUES, PRESETS, Device, Likeness, Pooling, Scale

WEIGHTS = {"alpha": "forecast", "beta": "reconstruction", "gamma": "off_centre", "delta": "curvature", "kappa": "kl"}

Command = Callable[[argparse.Namespace], None]


def parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """What each command takes; `run` has the functions that carry them out."""
    made = argparse.ArgumentParser(prog="trajectory", description="See the shape of music: a song becomes a path through space.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("embed", help="train a song's own network and keep the run", description=run["embed"].__doc__)
    command.set_defaults(run=run["embed"])
    command.add_argument("song", metavar="SONG", help="a sound file of any usual kind, or a song's id in the library")
    command.add_argument("--out", metavar="DIR", help="the folder that the run becomes (default: it is kept in the library)")
    command.add_argument("--preset", default="conditioned", choices=PRESETS, help="the losses (default: %(default)s)")
    command.add_argument("--scale", choices=get_args(Scale), help="of the spectrogram (default: linear)")
    command.add_argument("--window", dest="seconds", type=float, metavar="SECONDS", help="sound that one point stands for (default: 0.5)")
    command.add_argument("--dims", type=int, metavar="N", help="dimensions of the space (default: 3)")
    command.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="use the song from here, in seconds or m:ss")
    command.add_argument("--to", dest="stop", type=_moment, metavar="TIME", help="use the song up to here")
    command.add_argument("--train-until", dest="until", type=float, metavar="SHARE", help="keep the rest of the song from the network")
    command.add_argument("--device", choices=get_args(Device), help="where to train (default: auto, CUDA where there is one)")
    command.add_argument("--seed", type=int, metavar="N", help="same seed, same CPU, same trajectory (default: 0)")
    command.add_argument("--steps", type=int, metavar="N", help="of training (default: by the song's length)")
    command.add_argument("--batch", type=int, metavar="N", help="windows decoded a step")
    command.add_argument("--rate", type=float, metavar="RATE", help="the learning rate's peak")
    command.add_argument("--history", type=int, metavar="POINTS", help="what the forecast branch looks back on (l)")
    command.add_argument("--horizons", type=_steps_ahead, metavar="1,2,...", help="steps ahead that the branch predicts")
    for letter, field in WEIGHTS.items():
        command.add_argument(f"--{letter}", dest=field, type=float, metavar="WEIGHT", help=f"of the loss term {field.replace('_', ' ')}")
    command.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    command = commands.add_parser("forecast", help="where a run's path goes next", description=run["forecast"].__doc__)
    command.set_defaults(run=run["forecast"])
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument("--methods", default="default", metavar="A,B", help=f"of {', '.join(FORECASTERS)} (default: %(default)s)")
    command.add_argument("--at", type=_moment, nargs="+", metavar="TIME", help="of the song, in seconds or m:ss (default: a random one)")
    command.add_argument("--steps", type=int, default=200, metavar="N", help="(default: %(default)s)")
    command.add_argument("--protocol", default="past-only", choices=("past-only", "leave-segment-out"), help="what may be known")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moment")
    command.add_argument("--out", metavar="FILE", help="keep the forecasts as npz")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("divergence", help="how fast forecasts part from the truth", description=run["divergence"].__doc__)
    command.set_defaults(run=run["divergence"])
    command.add_argument("what", metavar="RUN", nargs="+", help="run folders, or ids in the library")
    command.add_argument("--methods", default="default,knn,mean,persistence", metavar="A,B", help=f"of {', '.join(FORECASTERS)}")
    command.add_argument(
        "--protocol", default="past-only", choices=("published", "past-only", "leave-segment-out"), help="what may be known"
    )
    command.add_argument("--steps", type=int, default=29, metavar="N", help="(default: %(default)s)")
    command.add_argument("--out", required=True, metavar="DIR", help="takes the table, the numbers, the plot and the words")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("export", help="a run's numbers, page, curve or bundle", description=run["export"].__doc__)
    command.set_defaults(run=run["export"])
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument(
        "--as", dest="kinds", default="npz", metavar="A,B", help="of npz, csv, html, gltf and bundle (default: %(default)s)"
    )
    command.add_argument("--out", required=True, metavar="DIR", help="takes the files")
    command.add_argument("--song", metavar="SONG", help="its sound file, for loudness and brightness (default: as for video)")
    command.add_argument("--with-sound", action="store_true", help="put the sound itself into the page and the bundle")
    command.add_argument("--hue", default="time", choices=HUES, help="what colours the path (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("import", help="takes back a bundle", description=run["import"].__doc__)
    command.set_defaults(run=run["import"])
    command.add_argument("bundle", metavar="BUNDLE", help="a .zip that export made")
    command.add_argument("--out", metavar="DIR", help="the folder that the run becomes (default: into the library)")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("video", help="a film of a run, a loop or a poster", description=run["video"].__doc__)
    command.set_defaults(run=run["video"])
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument("--out", required=True, metavar="FILE", help=".mp4, .webm, .zip of PNGs, .gif, .webp, .png or .svg")
    command.add_argument("--against", metavar="RUN2", help="another run of the song, beside it")
    command.add_argument(
        "--song",
        metavar="SONG",
        help="its sound file (default: the library's, or the one that the run was made from if it is still the same)",
    )
    command.add_argument("--size", type=_size, default="1920x1080", metavar="WxH", help="(default: %(default)s)")
    command.add_argument("--fps", type=int, default=30, metavar="N", help="frames a second (default: %(default)s)")
    command.add_argument(
        "--camera", type=_camera, metavar="turn|NUMBERS", help="slowly turning, or held as a link to Explore says (camera=...)"
    )
    command.add_argument("--turn", type=float, default=48.0, metavar="SECONDS", help="of once round the path (default: %(default)s)")
    command.add_argument("--background", default="dark", choices=("dark", "light", "transparent"), help="(default: %(default)s)")
    command.add_argument("--hue", default="time", choices=HUES, help="what colours the path (default: %(default)s)")
    command.add_argument("--title", metavar="WORDS")
    command.add_argument("--artist", metavar="WORDS")
    command.add_argument("--no-time", action="store_true", help="leave out the time code")
    command.add_argument("--strip", choices=("waveform", "spectrogram"), help="of the sound, below")
    command.add_argument("--forming", action="store_true", help="how the path took shape in training, instead")
    command.add_argument("--forecast", metavar="METHODS", help="draw these forecasts over the path, made past-only")
    command.add_argument("--forecast-at", type=_moment, metavar="TIME", help="where they start (default: at 70 %% of the path)")
    command.add_argument("--forecast-steps", dest="steps", type=int, default=100, metavar="N", help="(default: %(default)s)")
    command.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="of the song, in seconds or m:ss")
    command.add_argument("--to", dest="stop", type=_moment, metavar="TIME")
    command.add_argument("--at", type=_moment, metavar="TIME", help="of a poster (default: the end)")
    command.add_argument("--draft", action="store_true", help="faster, larger, coarser")
    command.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    command = commands.add_parser("info", help="what is known of a song or a run", description=run["info"].__doc__)
    command.set_defaults(run=run["info"])
    command.add_argument("what", metavar="SONG|RUN", help="a sound file, a run folder, or a run's id in the library")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command = commands.add_parser("index", help="lets an encoder hear every song of a folder", description=run["index"].__doc__)
    command.set_defaults(run=run["index"])
    command.add_argument("folder", metavar="FOLDER", help="with songs in it, or in folders below")
    _add_encoder(command)
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes at once (default: one a core; TRAJECTORY_SCHEDULER has its own)"
    )
    command.add_argument("--rebuild", action="store_true", help="make the indexes anew of what was heard")
    command.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    command = commands.add_parser("similar", help="songs of the library that are like one", description=run["similar"].__doc__)
    command.set_defaults(run=run["similar"])
    command.add_argument("song", metavar="SONG", help="a sound file, or a song's id in the library")
    _add_encoder(command)
    command.add_argument("-n", dest="count", type=int, default=10, metavar="N", help="(default: %(default)s)")
    command.add_argument("--at", type=_moment, metavar="TIME", help="moments like this one of a song of the library, in its stead")
    command.add_argument("--pooling", default="mean", choices=get_args(Pooling), help="of frames into one vector (default: %(default)s)")
    command.add_argument("--likeness", default="cosine", choices=get_args(Likeness), help="(default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def _add_encoder(command: argparse.ArgumentParser) -> None:
    command.add_argument("--encoder", default="musicnn", choices=ENCODERS, help="what hears the songs (default: %(default)s)")
    command.add_argument("--model", metavar="DIR", help="the folder of the encoder's weights, where it brings none")


def _moment(text: str) -> float:
    """`90`, `1:30` or `1:00:30` in seconds."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < math.inf for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is no moment; write seconds or m:ss")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write one like 1920x1080") from None
    return width, height


def _camera(text: str) -> dict[str, dict[str, float]] | None:
    """None for one that turns."""
    if text == "turn":
        return None
    try:
        numbers = iter([float(part) for part in text.split(",")])
        camera = {name: {axis: next(numbers) for axis in "xyz"} for name in ("eye", "center", "up")}
        if not all(math.isfinite(number) for axes in camera.values() for number in axes.values()):
            raise ValueError("a camera stands somewhere")
    except (ValueError, StopIteration):
        raise argparse.ArgumentTypeError(f"'{text}' is no camera; write turn, or the nine numbers of a link to Explore") from None
    return camera


def _steps_ahead(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' are no horizons; write steps like 1,2,4,8") from None
