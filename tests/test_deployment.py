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
from trajectory.catalogue import Catalogue, LibraryError
from trajectory.clocks import steady
from trajectory.deployment import Deployment, DeploymentError, is_loopback
from trajectory.desk import Desk
from trajectory.jobs import Jobs
from trajectory.library import UNDO_SECONDS, Library
from trajectory.settings import SectionSettings, TrainingSettings, preset
from trajectory.sharing import SharingError
from trajectory.ui.cookies import COOKIE, Cookies
from trajectory.ui.gate import address_of
from trajectory.visitor_secrets import VisitorSecrets
from trajectory.visitors import DAY_SECONDS, QuotaError, VisitorLibrary, Visitors

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


def test_what_comes_back_must_fit_too(tmp_path: Path) -> None:
    own = visitors(tmp_path, bytes=LOOP.stat().st_size + 5_000).library("a")
    song = own.add_song(LOOP, name="loop.ogg")
    own.delete_song(song.id)
    own.add_song(PIANO, name="piano.ogg")
    with pytest.raises(QuotaError, match="does not fit beside what you added since"):
        own.restore_song(song.id)
    assert [each.name for each in own.songs()] == ["piano.ogg"]
    assert own.usage().live_bytes <= LOOP.stat().st_size + 5_000
    own.delete_song(own.songs()[0].id)
    assert own.restore_song(song.id).id == song.id


def test_minutes_that_come_back_must_fit_too(tmp_path: Path) -> None:
    own = visitors(tmp_path, minutes=0.6).library("a")
    song = own.add_song(LOOP, name="loop.ogg")
    own.delete_song(song.id)
    own.add_song(PIANO, name="piano.ogg")
    with pytest.raises(QuotaError, match="does not fit"):
        own.restore_song(song.id)
    with pytest.raises(QuotaError, match="delete some first"):
        own.add_song(LOOP, name="loop.ogg")


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


def test_fresh_cookies_are_no_way_round_the_limits_of_an_address(queue: Jobs) -> None:
    def of(visitor: str, address: str, *, new: bool = False, most_of_all: int = 8) -> Desk:
        return dataclasses.replace(desk(queue, visitor, most_of_all=most_of_all), address=address, most_of_address=3, is_newcomer=new)

    asked = [of(str(number), "198.51.100.7").submit(at_once, key="a") for number in range(4)]
    assert [job.state for job in asked] == ["waiting"] * 3 + ["failed"]
    assert asked[3].error == "3 pieces of work from your address at once are the most; wait until some are done"
    others = [of(f"new {number}", f"198.51.100.{number + 10}", new=True).submit(at_once, key="a") for number in range(4)]
    assert [job.state for job in others] == ["waiting"] * 3 + ["failed"]  # six of eight places are for who is new
    assert of("old", "198.51.100.99").submit(at_once, key="a").state == "waiting"
    assert desk(queue, "unknown", most_of_all=10).submit(at_once, key="a").state == "waiting"


def test_new_visitors_of_one_address_are_few_a_day(tmp_path: Path) -> None:
    clock = Clock()
    all_of_them = visitors(tmp_path, clock, newcomers=2)

    def come(secret: str, address: str) -> VisitorLibrary:
        own = all_of_them.library(secret)
        own.address = address
        own.add_song(LOOP, name="loop.ogg")
        return own

    first = come("a", "198.51.100.7")
    come("b", "198.51.100.7")
    with pytest.raises(QuotaError, match="2 new visitors from one address"):
        come("c", "198.51.100.7")
    assert not all_of_them.library("c").is_made()
    first.add_song(PIANO, name="piano.ogg")  # who is no newcomer may go on
    come("d", "198.51.100.8")
    come("e", "")
    come("f", "")
    come("g", "")
    assert first.is_newcomer()
    clock.ahead = 1.1 * DAY_SECONDS
    assert not first.is_newcomer()
    come("c", "198.51.100.7")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("1.2.3.4", "", "1.2.3.4"),
        ("1.2.3.4", "203.0.113.9", "1.2.3.4"),  # whoever asks directly may say anything
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "made up, 203.0.113.9", "203.0.113.9"),
        ("172.17.0.1", "203.0.113.9", "203.0.113.9"),
        ("172.17.0.1", "", "172.17.0.1"),
        ("127.0.0.1", "", ""),
        ("::1", "", ""),
        ("127.0.0.1", "made up", ""),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("", "", ""),
    ],
)
def test_where_somebody_comes_from(peer: str, forwarded: str, address: str) -> None:
    assert address_of(peer, forwarded) == address


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


def answered(register: VisitorSecrets | None, *, scheme: str = "http", method: str = "GET", **headers: str) -> dict[str, str]:
    """The headers of an answer, as a browser's request gets them through the middleware."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        given = [(b"content-type", b"text/html"), (b"cache-control", b"public, max-age=600")]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "scheme": scheme, "headers": named}
    asyncio.run(Cookies(app, register=register)(scope, None, send))  # type: ignore[arg-type]
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture
def register(tmp_path: Path) -> VisitorSecrets:
    return VisitorSecrets(tmp_path)


def value_of(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0]


def test_a_page_brings_a_cookie_that_cannot_be_guessed_read_or_sent_by_others(register: VisitorSecrets) -> None:
    first, second = (answered(register, accept="text/html,*/*")["set-cookie"] for _ in range(2))
    secret = register.recognise([value_of(first)])
    assert secret is not None
    assert secret not in second
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(first.split("; "))
    assert "Secure" not in first
    again = answered(register, accept="text/html", cookie=f"other=1; {COOKIE}={value_of(first)}")["set-cookie"]
    assert again == first  # it begins anew, and stays the same


def test_a_cookie_given_over_https_is_never_sent_without(register: VisitorSecrets) -> None:
    for answer in (
        answered(register, accept="text/html", scheme="https"),
        answered(register, accept="text/html", x_forwarded_proto="https, http"),
    ):
        assert answer["set-cookie"].startswith(f"__Host-{COOKIE}=")
        assert answer["set-cookie"].endswith("; Secure")
        assert "Domain" not in answer["set-cookie"]


def test_an_answer_with_a_cookie_is_kept_by_no_cache(register: VisitorSecrets) -> None:
    page = answered(register, accept="text/html", sec_fetch_mode="navigate")
    assert (page["cache-control"], page["vary"]) == ("private, no-store", "Cookie")
    for other in ({"accept": "*/*"}, {"accept": "text/html", "sec_fetch_mode": "cors"}, {"accept": "text/html", "method": "POST"}):
        answer = answered(register, **other)
        assert "set-cookie" not in answer
        assert answer["cache-control"] == "public, max-age=600"
    assert "set-cookie" not in answered(None, accept="text/html")


@pytest.mark.parametrize("cookie", ["", "short", "x" * 43, "../../etc/passwd", "ä" * 43, "x" * 42 + "\n", f"{'x' * 43}.20000.{'y' * 43}"])
def test_a_cookie_that_was_made_up_is_nobodys(cookie: str, register: VisitorSecrets) -> None:
    assert register.recognise([cookie]) is None
    assert register.recognise([register.issue(cookie)]) != cookie


def test_a_signature_is_of_one_secret_one_day_and_one_app(register: VisitorSecrets, tmp_path: Path) -> None:
    secret, day, signature = register.issue("").split(".")
    other = register.issue("").partition(".")[0]
    for made_up in (f"{other}.{day}.{signature}", f"{secret}.{int(day) + 1}.{signature}", f"{secret}.{day}.{signature[::-1]}"):
        assert register.recognise([made_up]) is None
    assert VisitorSecrets(tmp_path).recognise([f"{secret}.{day}.{signature}"]) == secret  # after a restart
    assert VisitorSecrets(tmp_path / "another").recognise([f"{secret}.{day}.{signature}"]) is None
    assert (tmp_path / "visitors.key").stat().st_mode & 0o777 == 0o600


def test_a_cookie_is_renewed_by_a_visit_and_ends_without(tmp_path: Path) -> None:
    clock = Clock()
    register = VisitorSecrets(tmp_path, now=clock)
    value = register.issue("")
    clock.ahead = 300 * DAY_SECONDS
    renewed = register.issue(value)
    assert renewed != value
    assert register.recognise([renewed]) == register.recognise([value])
    clock.ahead = 500 * DAY_SECONDS
    assert register.recognise([value]) is None
    assert register.recognise([renewed]) is not None


def test_a_cookie_of_before_there_were_signatures_is_known_by_its_library_alone(tmp_path: Path) -> None:
    all_of_them, secret = visitors(tmp_path), "s" * 43
    assert all_of_them.secrets.recognise([secret]) is None
    all_of_them.library(secret).add_song(LOOP, name="loop.ogg")
    assert all_of_them.secrets.recognise([secret]) == secret
    assert all_of_them.secrets.recognise([all_of_them.secrets.issue(secret)]) == secret


def test_who_asks_to_be_forgotten_leaves_nothing_and_gets_a_new_cookie(tmp_path: Path) -> None:
    all_of_them = visitors(tmp_path)
    value = all_of_them.secrets.issue("")
    secret = str(all_of_them.secrets.recognise([value]))
    own = all_of_them.library(secret)
    song = own.add_song(LOOP, name="loop.ogg")
    token = all_of_them.shares.make(own.name, song.id)
    all_of_them.forget(secret)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "visitors.key"]
    assert not own.songs()
    with pytest.raises(SharingError):
        all_of_them.shared(token)
    with pytest.raises(LibraryError, match="no longer in the library"):  # a job that ends only now
        own.keep(song.id, "late.npz", b"x")
    assert all_of_them.secrets.recognise([all_of_them.secrets.issue(value)]) != secret
    all_of_them.forget("who never had anything")


def test_nothing_is_made_for_a_visitor_before_their_first_song(tmp_path: Path) -> None:
    all_of_them = visitors(tmp_path)
    own = all_of_them.library("looks in")
    assert (own.songs(), own.usage().bytes, own.exports(), own.training_refused()) == ([], 0, [], None)
    own.purge(0)
    own.delete_song("0" * 16)
    with pytest.raises(LibraryError, match="no longer in the library"):
        own.keep("0" * 16, "a.npz", b"x")
    all_of_them.tidy()
    assert list(tmp_path.iterdir()) == []
    own.add_song(LOOP, name="loop.ogg")
    assert len(all_of_them.library("looks in").songs()) == 1


def test_open_catalogues_are_few_however_many_visitors_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trajectory.visitors.MOST_OPEN", 3)
    all_of_them = visitors(tmp_path)
    held = [all_of_them.library(str(number)) for number in range(12)]
    for own in held:
        own.add_song(LOOP, name="loop.ogg")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        for number in range(12):
            assert len(all_of_them.library(str(number)).songs()) == 1
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert sum(own._catalogue._held is not None for own in held) <= 4
    held[0].delete_song(held[0].songs()[0].id)  # of one that was let go of
    monkeypatch.setattr("trajectory.library.steady", lambda: steady() + 2 * UNDO_SECONDS)
    all_of_them.tidy()
    assert not list((held[0].root / "songs").iterdir())


def test_a_library_that_could_not_be_made_whole_loses_no_song_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = visitors(tmp_path)
    own = all_of_them.library("a")

    def fail(_: object) -> None:
        raise LibraryError("the disk went away")

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "make", fail)
        with pytest.raises(LibraryError, match="went away"):
            own.add_song(LOOP, name="loop.ogg")
    assert own.root.is_dir()  # half made
    song = own.add_song(LOOP, name="loop.ogg")
    assert visitors(tmp_path).library("a").song(song.id).name == "loop.ogg"


def test_a_library_that_goes_away_while_it_is_used_is_no_empty_one(tmp_path: Path) -> None:
    shelf = Library(tmp_path / "home")
    shelf.add_song(LOOP, name="loop.ogg")
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    for ask in (shelf.songs, shelf.usage, lambda: shelf.add_song(PIANO, name="piano.ogg")):
        with pytest.raises(LibraryError, match="cannot be written"):
            ask()


def test_a_full_disk_is_asked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(QuotaError, match="little room left"):
        visitors(tmp_path, free_bytes=10**15).library("a").add_song(LOOP, name="loop.ogg")
    assert list(tmp_path.iterdir()) == []


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


def test_the_log_names_no_session(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("trajectory"), "handlers", [])
    before = logging.getLogRecordFactory()
    try:
        logs.begin({})
        session = "01234567-89ab-cdef-0123-456789abcdef"
        logging.getLogger("streamlit.runtime").warning("Session with id %s is already connected!", session)
        logging.getLogger("trajectory.jobs").warning("a job of %s", session)
    finally:
        logging.setLogRecordFactory(before)
    assert "Session with id … is already connected!" in caplog.text


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
