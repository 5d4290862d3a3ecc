"""An app for visitors, and one for a machine's own people, asked by those who should not: nobody gets in, and nobody else is shut out."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests.browser.serving import Served, served
from tests.faults.victims import sound
from tests.test_gate import OPEN
from tests.visitor import Visitor
from trajectory.library import Library
from trajectory.sharing import Shares

CROWD = int(os.environ.get("TRAJECTORY_CROWD", "300"))  # who ask at once, more than there were handles for; `make nightly` sends more
SERVED_SECONDS = 20.0  # within which somebody else gets a page meanwhile, on a busy machine too
QUOTA = 3_000_000  # bytes of a visitor


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("visitors")


@pytest.fixture(scope="module")
def app(home: Path) -> Iterator[Served]:
    """For visitors, each with little room."""
    quotas = {"TRAJECTORY_QUOTA_BYTES": str(QUOTA), "TRAJECTORY_QUOTA_UPLOAD_BYTES": str(2 * QUOTA), "TRAJECTORY_QUOTA_FREE_BYTES": "1000"}
    with served(home, environment={"TRAJECTORY_DEPLOYMENT": "shared", **quotas}) as running:
        yield running


async def status(request: HTTPRequest) -> int:
    client = AsyncHTTPClient(force_instance=True, max_clients=CROWD)
    try:
        return (await client.fetch(request)).code
    except HTTPClientError as error:
        return error.code
    finally:
        client.close()


async def ask(address: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await status(HTTPRequest(f"{address}{path}", headers=named, request_timeout=60))


def tree(home: Path) -> set[str]:
    """Whose libraries there are, and what lies beside them."""
    paths = [path.relative_to(home) for path in home.glob("visitors/*")] + [path.relative_to(home) for path in home.glob("*")]
    return {str(path) for path in paths}


# --- Who is nobody


def test_made_up_cookies_open_no_libraries_and_shut_nobody_out(app: Served, home: Path) -> None:
    async def crowd() -> None:
        async with Visitor.at(app.address) as visitor:
            await visitor.goto("")
            before, handles = tree(home), psutil.Process(app.process).num_fds()
            made_up = [f"trajectory_visitor={number:043d}" for number in range(CROWD)]
            codes = await asyncio.gather(*(ask(app.address, "/sound/0123456789abcdef", Cookie=cookie) for cookie in made_up))
            assert set(codes) == {404}
            codes = await asyncio.gather(
                *(ask(app.address, f"/media/{number}.png", Cookie=cookie) for number, cookie in enumerate(made_up))
            )
            assert set(codes) == {403}
            assert tree(home) - before == set()
            assert psutil.Process(app.process).num_fds() < handles + 30
            await visitor.drop("song.wav", sound(1), on="Drop a song")  # while they ask, somebody else is served
            assert "song=" in visitor.query, visitor.words()

    asyncio.run(crowd())


def test_visitors_who_only_look_in_leave_nothing(app: Served, home: Path) -> None:
    async def crowd() -> None:
        before = tree(home)
        for _ in range(4):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(look_in())
        assert tree(home) - before == set()
        assert await ask(app.address, "/_stcore/health") == 200

    async def look_in() -> None:
        async with Visitor.at(app.address) as visitor:
            await visitor.goto("library")
            assert visitor.says("There is no song yet"), visitor.words()

    asyncio.run(crowd())


def open_to_anybody() -> list[str]:
    """An address of each door at which nobody is asked who they are."""
    return [path for path, methods in OPEN.items() if methods.get("GET") == "anybody"] + ["/"]


@pytest.mark.parametrize("path", open_to_anybody())
def test_a_crowd_at_an_open_address_exhausts_nothing_and_shuts_nobody_out(path: str, app: Served, home: Path) -> None:
    async def crowd() -> None:
        before, process = tree(home), psutil.Process(app.process)
        handles, memory = process.num_fds(), process.memory_info().rss
        asking = asyncio.gather(*(ask(app.address, path) for _ in range(CROWD)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(SERVED_SECONDS):
            assert await ask(app.address, "/_stcore/health") == 200
        assert set(await asking) <= {200, 404, 503}
        assert tree(home) - before == set()
        await asyncio.sleep(0.3)
        assert process.num_fds() < handles + 30
        assert process.memory_info().rss < memory + 150_000_000

    asyncio.run(crowd())


def test_websockets_that_say_nothing_shut_nobody_out(app: Served, home: Path) -> None:
    async def crowd() -> None:
        before, where = tree(home), f"{app.address.replace('http', 'ws', 1)}/_stcore/stream"
        silent = await asyncio.gather(*(websocket_connect(HTTPRequest(where, connect_timeout=60)) for _ in range(CROWD // 2)))
        async with asyncio.timeout(2 * SERVED_SECONDS):
            async with Visitor.at(app.address) as visitor:
                await visitor.goto("library")
                assert visitor.says("There is no song yet")
        for socket in silent:
            socket.close()
        await asyncio.sleep(1)  # they say goodbye
        assert tree(home) - before == set()

    asyncio.run(crowd())


def test_requests_that_never_end_shut_nobody_out(app: Served) -> None:
    async def crowd() -> None:
        port = int(app.address.rpartition(":")[2])
        slow = [await asyncio.open_connection("localhost", port) for _ in range(CROWD // 3)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHost: loc")
        async with asyncio.timeout(SERVED_SECONDS):
            assert await ask(app.address, "/") == 200
        for _, writer in slow:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in slow), return_exceptions=True)

    asyncio.run(crowd())


# --- Uploads


async def refusal(request: HTTPRequest) -> int:
    request.request_timeout = 60
    return await status(request)


def test_an_upload_is_taken_from_its_visitor_alone_and_only_as_far_as_there_is_room(app: Served) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as owner, Visitor.at(app.address) as other:
            for each in (owner, other):
                await each.goto("")
            place = await owner.place_for("song.wav")
            taken = owner.upload(place, "song.wav", sound(2))
            stolen = owner.upload(place, "song.wav", sound(2))
            stolen.headers["Cookie"] = other.cookie
            nobodys = owner.upload(place, "song.wav", sound(2))
            nobodys.headers["Cookie"] = nobodys.headers["Cookie"].replace("trajectory_visitor=", "trajectory_visitor=x")
            too_large = owner.upload(place, "song.wav", bytes(QUOTA + 500_000))
            assert [await refusal(each) for each in (stolen, nobodys, too_large, taken)] == [403, 403, 413, 204]

    asyncio.run(try_all())


def test_uploads_at_once_stay_within_memory_and_within_what_each_may_have(app: Served) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as one, Visitor.at(app.address) as two, Visitor.at(app.address) as three:
            requests = []
            for visitor in (one, two, three):
                await visitor.goto("")
                places = [await visitor.place_for("a.wav") for _ in range(4)]
                requests += [visitor.upload(place, "a.wav", bytes(QUOTA // 2 - 50_000)) for place in places]
            memory = psutil.Process(app.process).memory_info().rss
            codes = await asyncio.gather(*(refusal(each) for each in requests))
            assert codes.count(204) <= 4  # of twelve: two of each visitor, and four of all
            assert set(codes) <= {204, 413, 503}
            assert codes.count(204) >= 2
            assert psutil.Process(app.process).memory_info().rss < memory + 12 * QUOTA

    asyncio.run(try_all())


def test_an_upload_that_does_not_say_how_long_it_is_is_not_read(app: Served) -> None:
    async def try_it() -> None:
        async with Visitor.at(app.address) as visitor:
            await visitor.goto("")
            place = await visitor.place_for("a.wav")
            sent = visitor.upload(place, "a.wav", b"")
            port = int(app.address.rpartition(":")[2])
            said = [f"PUT {place.upload_url} HTTP/1.1", f"Host: localhost:{port}", "Transfer-Encoding: chunked"]
            said += [f"{name}: {value}" for name, value in sent.headers.items()]
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write("\r\n".join([*said, "", "3", "abc", "0", "", ""]).encode())
            assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] == b"411"
            writer.close()
            await writer.wait_closed()

    asyncio.run(try_it())


# --- What is somebody's


WHOSE = {  # what it is: with which status it is answered to its owner, to another visitor, and to nobody
    "sound": (200, 404, 404),
    "film": (200, 404, 403),
    "data": (200, 403, 403),
    "media": (200, 403, 403),
    "share": (200, 200, 200),
    "share of another song": (404, 404, 404),
}


def test_each_kind_of_thing_is_answered_to_whom_it_may_be(app: Served, home: Path) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as owner, Visitor.at(app.address) as other:
            await other.goto("")
            await owner.goto("")
            await owner.drop("song.wav", sound(6), on="Drop a song")
            await owner.until(lambda: owner.says("Explore it"))
            (song,) = [part.partition("=")[2] for part in owner.query.split("&") if part.startswith("song=")]
            (folder,) = home.glob(f"visitors/*/songs/{song}/..")
            root = folder.resolve().parent
            Library(root).keep(song, "film-0123456789ab.png", b"a poster")
            token = Shares(home).make(root.name, song)
            await owner.goto("export")
            await owner.click("Numbers for Python")
            (data,) = owner.downloads()
            await owner.click("A page that opens anywhere")
            addresses = {
                "sound": f"/sound/{song}",
                "film": f"/film/{song}/film-0123456789ab.png",
                "data": data,
                "media": owner.downloads()[-1],
                "share": f"/sound/{song}?shared={token}",
                "share of another song": f"/sound/0123456789abcdef?shared={token}",
            }
            assert addresses.keys() == WHOSE.keys()
            assert addresses["data"] != addresses["media"]
            for kind, path in addresses.items():
                found = tuple([await ask(app.address, path, Cookie=cookie) for cookie in (owner.cookie, other.cookie, "")])
                assert found == WHOSE[kind], kind

    asyncio.run(try_all())


def test_a_film_and_a_picture_are_their_owners_alone(app: Served, home: Path) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as owner, Visitor.at(app.address) as other:
            for each in (owner, other):
                await each.goto("")
            await owner.drop("song.wav", sound(3), on="Drop a song")
            (song,) = [part.partition("=")[2] for part in owner.query.split("&") if part.startswith("song=")]
            (folder,) = home.glob(f"visitors/*/songs/{song}/..")
            kept = Library(folder.resolve().parent)
            kept.keep(song, "film-0123456789ab.mp4", b"a film of mine")
            address = f"/film/{song}/film-0123456789ab.mp4"
            assert await owner.fetch(address) == b"a film of mine"
            assert await owner.fetch(f"{address}?called=mine.mp4") == b"a film of mine"
            part = await status(HTTPRequest(f"{app.address}{address}", headers={"Cookie": owner.cookie, "Range": "bytes=2-5"}))
            assert part == 206
            assert await ask(app.address, address, Cookie=other.cookie) == 404
            assert await ask(app.address, address) == 403
            for name in ("heard-0-end.npz", "sound.wav", "..%2f..%2fcatalogue.sqlite3", "film-x.mp4"):
                assert await ask(app.address, f"/film/{song}/{name}", Cookie=owner.cookie) in (400, 403, 404)

    asyncio.run(try_all())


def test_who_asks_to_be_forgotten_is(app: Served, home: Path) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as visitor:
            await visitor.goto("")
            before = tree(home)
            await visitor.drop("song.wav", sound(4), on="Drop a song")
            assert len(tree(home) - before) == 1
            await visitor.goto("library")
            assert not visitor.says("There is no song yet")
            await visitor.click("Delete all that is mine")
            assert visitor.says("All that was yours is deleted"), visitor.words()
            assert visitor.says("There is no song yet")
            assert {name for name in tree(home) - before if "gone-" not in name} == set()
            client = AsyncHTTPClient(force_instance=True)
            page = await client.fetch(f"{app.address}/", headers={"Accept": "text/html", "Cookie": visitor.cookie})
            client.close()
            (cookie,) = [each for each in page.headers.get_list("Set-Cookie") if each.startswith("trajectory_visitor=")]
            assert cookie.partition(".")[0] not in visitor.cookie

    asyncio.run(try_all())


def test_the_app_has_as_many_handles_as_it_may(app: Served) -> None:
    soft, hard = psutil.Process(app.process).rlimit(psutil.RLIMIT_NOFILE)
    assert soft in (hard, 65_536)


def test_no_visitor_reads_where_the_server_keeps_things(app: Served, home: Path) -> None:
    async def try_all() -> None:
        async with Visitor.at(app.address) as visitor:
            await visitor.goto("")
            await visitor.drop("song.wav", sound(5), on="Drop a song")
            (song,) = [part.partition("=")[2] for part in visitor.query.split("&") if part.startswith("song=")]
            (folder,) = home.glob(f"visitors/*/songs/{song}/..")
            catalogue = folder.resolve().parent / "catalogue.sqlite3"
            catalogue.write_bytes(b"no catalogue" * 1_000)
            for page in ("", "library", "explore", "forecast", "compare", "alike", "export", "about"):
                await visitor.goto(page)
                assert not visitor.says(str(home)), visitor.words()
                assert page == "about" or visitor.says("is damaged"), (page, visitor.words())

    asyncio.run(try_all())


# --- A machine of one's own


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("local"), warm=False) as running:
        yield running


async def opens(address: str, **headers: str) -> bool:
    where = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    try:
        socket = await websocket_connect(HTTPRequest(where, headers=headers, connect_timeout=20))
    except HTTPClientError:
        return False
    socket.close()
    return True


def test_another_site_reaches_nothing_and_holds_nobody_up(local: Served) -> None:
    async def try_all() -> None:
        port = local.address.rpartition(":")[2]
        assert await opens(local.address, Origin=local.address)
        began = time.perf_counter()
        for headers in (
            {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
            {"Host": f"evil.example:{port}"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
        ):
            assert not await opens(local.address, **headers), headers
        assert time.perf_counter() - began < 2.0  # each took two seconds, and everybody waited
        for path in ("/", "/sound/0123456789abcdef", "/health"):
            assert await ask(local.address, path, Host="evil.example") == 403
            assert await ask(local.address, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="audio") == 403
        assert await ask(local.address, "/_stcore/metrics") == 404
        assert await ask(local.address, "/_stcore/agent/openapi.json") == 404

    asyncio.run(try_all())
