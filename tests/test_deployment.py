import asyncio
import dataclasses
import errno
import gc
import json
import logging
import shutil
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import trajectory
from tests.songs import ROOT
from tests.test_jobs import at_once, ignore_everything, no_practice
from trajectory import jobs as jobs_module
from trajectory import logs, pipeline, queueing
from trajectory.catalogue import LibraryError
from trajectory.clocks import steady
from trajectory.deployment import Deployment, DeploymentError, is_loopback
from trajectory.desk import Desk
from trajectory.jobs import Jobs
from trajectory.library import UNDO_SECONDS
from trajectory.settings import SectionSettings, TrainingSettings, preset
from trajectory.sharing import SharingError
from trajectory.ui.cookies import COOKIE, Cookies, secret_of
from trajectory.visitors import DAY_SECONDS, QuotaError, Visitors

LOOP = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"
PIANO = ROOT / "assets/songs/05_solo_piano.ogg"
SHARED = Deployment(kind="shared", free_bytes=1)


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return steady() + self.ahead


def visitors(home: Path, clock: Clock | None = None, **quotas: float) -> Visitors:
    return Visitors(home, dataclasses.replace(SHARED, **quotas), now=clock or Clock())


# --- The setting


def test_the_app_is_local_unless_it_is_told_otherwise() -> None:
    assert Deployment.of({}) == Deployment()
    assert not Deployment.of({"TRAJECTORY_DEPLOYMENT": ""}).shared


def test_quotas_come_from_the_environment() -> None:
    told = Deployment.of(
        {
            "TRAJECTORY_DEPLOYMENT": "shared",
            "TRAJECTORY_QUOTA_BYTES": "5e8",
            "TRAJECTORY_QUOTA_MINUTES": "12.5",
            "TRAJECTORY_QUOTA_JOBS": "3",
            "TRAJECTORY_LIMIT_QUICK_MINUTES": "1",
        }
    )
    assert (told.kind, told.bytes, told.minutes, told.jobs, told.quick_minutes) == ("shared", 500_000_000, 12.5, 3, 1.0)
    assert isinstance(told.bytes, int)
    assert told.exports == Deployment().exports


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRAJECTORY_DEPLOYMENT", "Shared"),
        ("TRAJECTORY_QUOTA_BYTES", "1 GB"),
        ("TRAJECTORY_QUOTA_JOBS", "2.5"),
        ("TRAJECTORY_QUOTA_MINUTES", "nan"),
        ("TRAJECTORY_QUOTA_IDLE_DAYS", "-1"),
        ("TRAJECTORY_QUOTA_EXPORTS", "0"),
        ("TRAJECTORY_LIMIT_TRAINING_MINUTES", "inf"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(DeploymentError, match=variable):
        Deployment.of({variable: value})


@pytest.mark.parametrize("address", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_one_library_for_all_is_served_to_this_machine(address: str) -> None:
    assert is_loopback(address)
    Deployment().check_address(address)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.7", "songs.example.org", "localhost.example.org"])  # noqa: S104
def test_one_library_for_all_is_served_to_nobody_else(address: str | None) -> None:
    with pytest.raises(DeploymentError, match="TRAJECTORY_DEPLOYMENT=shared"):
        Deployment().check_address(address)
    SHARED.check_address(address)


# --- Each visitor's own library


def test_two_visitors_have_nothing_in_common(tmp_path: Path) -> None:
    all_of_them = visitors(tmp_path)
    one, other = all_of_them.library("secret one"), all_of_them.library("secret two")
    song = one.add_song(LOOP, name="loop.ogg")
    assert not other.songs()
    assert all_of_them.library("secret one") is one
    assert other.add_song(LOOP, name="mine.ogg").id == song.id
    assert one.song(song.id).name == "loop.ogg"
    assert "secret" not in "".join(str(path) for path in tmp_path.rglob("*"))


def test_bytes_are_counted_and_beyond_the_quota_refused(tmp_path: Path) -> None:
    own = visitors(tmp_path, bytes=LOOP.stat().st_size + 5_000).library("a")
    song = own.add_song(LOOP, name="loop.ogg")
    own.add_song(LOOP, name="again.ogg")  # nothing is added
    with pytest.raises(QuotaError, match="delete some first"):
        own.add_song(PIANO, name="piano.ogg")
    own.keep(song.id, "small.npz", b"x" * 4_000)
    with pytest.raises(QuotaError, match="delete some first"):
        own.keep(song.id, "large.npz", b"x" * 4_000)
    assert own.training_refused() is None
    own.delete_song(song.id)
    assert own.add_song(PIANO, name="piano.ogg").name == "piano.ogg"
    assert len(own.songs()) == 1


def test_what_was_deleted_and_can_come_back_does_not_fill_the_disk(tmp_path: Path) -> None:
    most = max(LOOP.stat().st_size, PIANO.stat().st_size) + 1
    own = visitors(tmp_path, bytes=most).library("a")
    own.delete_song(own.add_song(LOOP, name="loop.ogg").id)
    own.delete_song(own.add_song(PIANO, name="piano.ogg").id)
    with pytest.raises(QuotaError, match="10 minutes"):
        own.add_song(ROOT / "assets/songs/03_rock_drums_sample.ogg", name="rock.ogg")
    own.purge(0)
    own.add_song(ROOT / "assets/songs/03_rock_drums_sample.ogg", name="rock.ogg")


def test_a_full_library_trains_nothing(tmp_path: Path) -> None:
    own = visitors(tmp_path, bytes=LOOP.stat().st_size).library("a")
    own.add_song(LOOP, name="loop.ogg")
    assert "delete some first" in str(own.training_refused())


def test_minutes_of_sound_are_counted(tmp_path: Path) -> None:
    own = visitors(tmp_path, minutes=0.7).library("a")
    song = own.add_song(LOOP, name="loop.ogg")
    assert own.usage().seconds == pytest.approx(song.seconds)
    with pytest.raises(QuotaError, match="minutes of sound"):
        own.add_song(PIANO, name="piano.ogg")


def test_the_disk_is_not_filled_by_visitors_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk(NamedTuple):
        total: int
        used: int
        free: int

    own = visitors(tmp_path, free_bytes=1_000).library("a")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10_000, 9_500, 500))
    with pytest.raises(QuotaError, match="little room"):
        own.add_song(LOOP, name="loop.ogg")


def test_exports_that_cannot_be_read_are_not_counted_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = visitors(tmp_path, exports=1).library("a")
    own.may_export()

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        with pytest.raises(LibraryError, match="Too many open files"):
            own.may_export()
    assert len(own.exports()) == 1


def test_exports_are_counted_over_a_day_and_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    own = visitors(tmp_path, clock, exports=2).library("a")
    own.may_export()
    own.may_export()
    with pytest.raises(QuotaError, match=r"2 exports within 24 hours.*possible in 23:59"):
        visitors(tmp_path, exports=2).library("a").may_export()
    clock.ahead = DAY_SECONDS + 1
    own.may_export()
    assert len(own.exports()) == 1


# --- Those who stay away


def test_an_idle_visitors_data_expires_and_an_active_ones_never_does(tmp_path: Path) -> None:
    clock = Clock()
    all_of_them = visitors(tmp_path, clock, idle_days=30)
    for secret in ("idle", "active"):
        all_of_them.library(secret).add_song(LOOP, name="loop.ogg")
    token = all_of_them.shares.make(all_of_them.library("idle").name, all_of_them.library("idle").songs()[0].id)
    for _ in range(4):
        clock.ahead += 10 * DAY_SECONDS
        assert all_of_them.library("active").songs()
        gc.collect()
        all_of_them.tidy()
    assert not all_of_them.library("idle").songs()
    assert len(all_of_them.library("active").songs()) == 1
    with pytest.raises(SharingError):
        all_of_them.shared(token)
    assert not list(tmp_path.glob("visitors/gone-*"))


def test_a_visitor_who_was_here_before_a_restart_is_not_forgotten_too_early(tmp_path: Path) -> None:
    clock = Clock()
    visitors(tmp_path, clock, idle_days=30).library("a").add_song(LOOP, name="loop.ogg")
    clock.ahead = 29 * DAY_SECONDS
    visitors(tmp_path, clock, idle_days=30).tidy()
    assert visitors(tmp_path, clock).library("a").songs()
    clock.ahead += 31 * DAY_SECONDS
    visitors(tmp_path, clock, idle_days=30).tidy()
    assert not list(tmp_path.glob("visitors/*/songs/*"))


def test_a_library_that_somebody_holds_is_in_use_and_stays(tmp_path: Path) -> None:
    clock = Clock()
    all_of_them = visitors(tmp_path, clock, idle_days=1)
    held = all_of_them.library("a")  # as an open page does, or a job that will keep its result
    song = held.add_song(LOOP, name="loop.ogg")
    clock.ahead = 100 * DAY_SECONDS
    all_of_them.tidy()
    assert held.sound(song.id).is_file()
    held.keep(song.id, "late.npz", b"x")
    del held
    gc.collect()
    all_of_them.tidy()
    assert not list(tmp_path.glob("visitors/*"))


def test_who_only_looked_in_leaves_nothing(tmp_path: Path) -> None:
    clock = Clock()
    all_of_them = visitors(tmp_path, clock)
    all_of_them.library("a")
    clock.ahead = 3 * 3_600.0
    all_of_them.tidy()
    assert not list(tmp_path.glob("visitors/*"))


def test_what_a_visitor_deleted_is_given_up_though_they_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = visitors(tmp_path)
    own = all_of_them.library("a")
    own.delete_song(own.add_song(LOOP, name="loop.ogg").id)
    own.add_song(PIANO, name="piano.ogg")
    name = own.name
    del own
    all_of_them.tidy()
    assert len(list(tmp_path.glob("visitors/*/songs/*"))) == 2  # it can still be brought back
    monkeypatch.setattr("trajectory.library.steady", lambda: steady() + 2 * UNDO_SECONDS)
    visitors(tmp_path).tidy()  # also after a restart
    assert len(list((tmp_path / "visitors" / name / "songs").iterdir())) == 1


# --- Work


@pytest.fixture
def queue() -> Iterator[Jobs]:
    """One that no workers stand behind: what is asked for waits."""
    jobs = Jobs(address=None, workers=1, memory_bytes=None, longest=queueing.LONGEST)
    yield jobs
    jobs._link._loop.close()


def desk(queue: Jobs, visitor: str, *, most: int = 2, most_of_all: int = 10, why: str | None = None) -> Desk:
    return Desk(
        queue=queue, visitor=visitor, room=visitor, most=most, most_of_all=most_of_all, most_bytes=100, training_refused=lambda: why
    )


def test_two_visitors_who_ask_for_the_same_get_a_job_each(queue: Jobs) -> None:
    one, other = desk(queue, "a"), desk(queue, "b")
    job = one.submit(at_once, 1, key="same song")
    assert one.submit(at_once, 1, key="same song") is job
    assert other.find("same song") is None
    theirs = other.submit(at_once, 1, key="same song")
    assert theirs is not job
    job.cancel()
    one.forget("same song")
    assert (one.find("same song"), other.find("same song"), theirs.state) == (None, theirs, "waiting")
    assert (one.active(), other.active()) == ([], [theirs])


def test_a_visitor_takes_turns_as_one_in_however_many_tabs(queue: Jobs) -> None:
    tabs = [desk(queue, "a", most=5).submit(at_once, key=f"a{i}", owner=f"tab {i}") for i in range(3)]
    other = desk(queue, "b").submit(at_once, key="b", owner="tab")
    assert [tabs[0].place, other.place, tabs[1].place, tabs[2].place] == [1, 2, 3, 4]


def test_more_work_than_the_quota_is_refused_in_words(queue: Jobs) -> None:
    one = desk(queue, "a")
    first, second = (one.submit(at_once, key=key) for key in "ab")
    third = one.submit(at_once, key="c")
    assert third.state == "failed"
    assert "2 pieces of work at once" in str(third.error)
    assert one.submit(at_once, key="b") is second  # nothing more is asked for
    first.cancel()
    assert one.submit(at_once, key="c").state == "waiting"
    assert desk(queue, "b").submit(at_once, key="c").state == "waiting"
    assert "of all visitors" in str(desk(queue, "c", most_of_all=3).submit(at_once, key="c").error)


def test_waiting_work_does_not_fill_the_memory(queue: Jobs) -> None:
    sound = (("a.wav", b"x" * 101), "a name")
    for visitor in "abcd":
        assert desk(queue, visitor).submit(at_once, sound, key="long").state == "waiting"
    assert "fewer on long songs" in str(desk(queue, "a").submit(at_once, key="another").error)
    assert "into memory" in str(desk(queue, "e").submit(at_once, key="long").error)


def test_where_nothing_may_be_trained_one_may_still_look(queue: Jobs) -> None:
    looking = desk(queue, "a", why="read only")
    assert looking.submit(at_once, key="train", done=print).error == "read only"
    assert looking.submit(at_once, key="forecast").state == "waiting"
    assert looking.submit(at_once, key="hear", kind="quick", done=print).state == "waiting"


def test_work_that_takes_too_long_is_ended_and_a_worker_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trajectory.workers.warm", no_practice)
    monkeypatch.setattr(jobs_module, "STUCK_SECONDS", 0.5)
    jobs = Jobs.start(workers=1, longest={"training": 1.0, "quick": 600.0})
    try:
        hung = jobs.submit(ignore_everything, 600.0, key="hung")
        assert hung.wait(60)
        assert (hung.state, hung.error) == ("failed", queueing.TOO_LONG.format(minutes=0.02))
        after = jobs.submit(at_once, "elsewhere", key="after")
        assert after.wait(60)
        assert after.result == "elsewhere"
    finally:
        jobs.close()


def test_decoding_and_training_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    quick = preset("conditioned", section=SectionSettings(start=2, stop=6), training=TrainingSettings(steps=2, device="cpu"))
    run = pipeline.fit(LOOP, quick)
    assert pipeline.decode(run, run.trajectory.points[:1]).shape[0] == 1


# --- The cookie


def answered(*, known: bool = True, scheme: str = "http", **headers: str) -> dict[str, str]:
    """The headers of an answer, as a browser's request gets them through the middleware."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": named}
    asyncio.run(Cookies(app, known=known)(scope, None, send))  # type: ignore[arg-type]
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_a_page_brings_a_cookie_that_cannot_be_guessed_read_or_sent_by_others() -> None:
    first, second = (answered(accept="text/html,*/*")["set-cookie"] for _ in range(2))
    secret = first.partition("=")[2].partition(";")[0]
    assert secret_of({COOKIE: secret}) == secret
    assert secret not in second
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(first.split("; "))
    assert "Secure" not in first
    again = answered(accept="text/html", cookie=f"other=1; {COOKIE}={secret}")["set-cookie"]
    assert again == first  # it begins anew, and stays the same


def test_a_cookie_given_over_https_is_never_sent_without() -> None:
    assert answered(accept="text/html", scheme="https")["set-cookie"].endswith("; Secure")
    assert answered(accept="text/html", x_forwarded_proto="https, http")["set-cookie"].endswith("; Secure")


def test_what_is_no_page_brings_no_cookie_and_every_answer_is_what_it_says_it_is() -> None:
    assert "set-cookie" not in answered(accept="*/*")
    assert "set-cookie" not in answered(accept="text/html", known=False)
    assert answered()["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("cookie", ["", "short", "x" * 44, "../../etc/passwd", "ä" * 43, "x" * 42 + "\n"])
def test_a_cookie_that_was_made_up_is_none(cookie: str) -> None:
    assert secret_of({COOKIE: cookie}) is None


# --- What is told


def test_each_line_of_the_log_is_one_object_with_its_job() -> None:
    record = logging.LogRecord("trajectory.jobs", logging.INFO, __file__, 1, "a %s ends\nin two lines", ("job",), None)
    record.job, record.seconds, record.other = "0123", 1.5, object()
    line = logs.JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {"level": "info", "logger": "trajectory.jobs", "message": "a job ends\nin two lines", "job": "0123", "seconds": 1.5}


def test_the_log_calls_no_song_by_its_name(queue: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    import trajectory.workers as workers_module

    logger = logging.getLogger("trajectory")
    logger.propagate = True
    caplog.set_level(logging.INFO, logger="trajectory")
    job = queue.submit(at_once, (("My Söng.mp3", b"sound"), ("Other 'quoted'.ogg", b"")), "Third.wav", key="secret name")
    trace = "ValueError: 'My Söng.mp3' is not Third.wav, nor Other 'quoted'.ogg"
    asyncio.run(queue._link._keep(job, workers_module.Outcome(traceback=trace)))
    assert job.error == jobs_module.UNEXPECTED
    for word in ("My S", "Third", "quoted", "secret name"):
        assert word not in caplog.text
    assert {record.job for record in caplog.records} == {job.id}
    ended = caplog.records[-1]
    assert (ended.outcome, ended.seconds) == ("failed", 0.0)


def test_a_way_to_log_that_there_is_not_is_refused() -> None:
    with pytest.raises(logs.LogError, match="TRAJECTORY_LOG is 'xml'"):
        logs.begin({"TRAJECTORY_LOG": "xml"})


def test_the_version_is_the_same_wherever_it_is_told() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert project.get("version", trajectory.__version__) == trajectory.__version__


def test_health_is_told_to_machines_by_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    from trajectory.ui import services

    class Stopped:
        def health(self) -> dict[str, Any]:
            return {"ready": False, "workers": 0, "running": 0, "waiting": 3, "problem": "the workers cannot be reached"}

    monkeypatch.setattr(services, "queue", Stopped)
    answer = asyncio.run(services.health(None))  # type: ignore[arg-type]
    about = json.loads(bytes(answer.body))
    assert (answer.status_code, about["waiting"]) == (503, 3)
    assert about["free_bytes"] > 0
