"""Seeded damage: bytes, numbers, JSON, npy, npz, safetensors and zips, changed as a stranger would change them."""

import copy
import functools
import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from trajectory.errors import DAMAGE

Members = list[tuple[str, bytes]]

HEAD = 512  # bytes where most formats keep what they promise
MOST = 400_000  # bytes of a case
NUMBERS = (0, 1, 2, 7, 255, 1 << 15, (1 << 16) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
WORDS = (
    *(b"0", b"-1", b"1e308", b"1e999", b"NaN", b"Infinity", b"-Infinity", b"9" * 400, b"null", b"true", b"{}", b"[]", b"\0", b"\xff\xfe"),
    *(
        b"../../../x",
        b"/etc/passwd",
        b"file:",
        b"http://127.0.0.1:9/x",
        b"\xed\xa0\x80",
        "\u202e".encode(),
        b"<script>",
        b"%s%n",
        b"O" * 5000,
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.0, -0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63, 10**400, -(10**400)),
    *("", "x", "../../x", "\ud800", "\0", "a\nb", "<b>", "x" * 20_000, "NaN", "0", [], {}, [[]], [1, 2, 3], [1e308] * 9, {"": None}),
)
NAMES = (
    "../../x",
    "/etc/x",
    "x" * 300,
    "sound.mp3/../../x",
    "sound.mp3",
    "sound.wav",
    "features.npz",
    "a\0b",
    "C:\\x",
    "settings.json/",
    "\u202e",
)
DTYPES = ("|O", "<f8", ">f4", "<U1000000", "|V0", "<M8[s]", "|b1", "<c16", "f4, i4", "|S0", "<U0", "<f2", "|u1")
SHAPES = ((), (0,), (0, 3), (3, 0), (1, 3), (2**40, 3), (2**62, 2**62), (-1, 3), (50, 2**31), (1,) * 40, (True, 3), (10**30, 0), (2, 1))


def of_bytes(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes that know nothing of the format."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_BYTE_CHANGES)(data, random, others)[:MOST]
    return data


def _place(data: bytes, random: Random) -> int:
    end = random.choice((min(HEAD, len(data)), len(data)))
    return random.randrange(end) if end else 0


def _flips(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8, 40)) if data else 0):
        changed[_place(data, random)] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    return bytes(changed)


def _number(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    width, at = random.choice((1, 2, 4, 8)), _place(data, random)
    value = random.choice((*NUMBERS, len(data), len(data) - at)) & ((1 << 8 * width) - 1)
    return data[:at] + value.to_bytes(width, random.choice(("little", "big"))) + data[at + width :]


def _cut_off(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return data[: _place(data, random)]


def _cut_out(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at + random.choice((1, 4, 64, 1000)) :]


def _repeat(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at, length = _place(data, random), random.choice((1, 4, 64, 1000))
    return data[:at] + data[at : at + length] * random.choice((2, 10, 100)) + data[at + length :]


def _put_in(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, random)
    return data[:at] + random.choice((*WORDS, random.randbytes(random.choice((1, 8, 200))))) + data[at:]


def _put_over(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at, word = _place(data, random), random.choice(WORDS)
    return data[:at] + word + data[at + len(word) :]


def _splice(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else data
    return data[: _place(data, random)] + other[_place(other, random) :]


def _written_number(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:20_000]))
    if not found:
        return data
    chosen = random.choice(found)
    return data[: chosen.start()] + random.choice(WORDS[:8]) + data[chosen.end() :]


_BYTE_CHANGES = (_flips, _flips, _number, _number, _cut_off, _cut_out, _repeat, _put_in, _put_over, _splice, _written_number)


def of_json(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Values of another kind, fields that are gone or more, or the bytes themselves."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(data, random, others)
    chance = random.random()
    if chance < 0.15:
        return of_bytes(data, random, others)
    if chance < 0.17:
        deep = random.choice((500, 5_000, 100_000))
        return b"[" * deep + b"1" + b"]" * deep if random.random() < 0.5 else b'{"a":' * deep + b"1" + b"}" * deep
    try:
        for _ in range(random.choice((1, 1, 2, 5))):
            tree = _of_tree(tree, random)
        return json.dumps(tree).encode()
    except RecursionError:
        return of_bytes(data, random, others)


def _of_tree(tree: Any, random: Random) -> Any:
    """One place of it changed."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    match random.choice(("value", "value", "value", "gone", "more", "swap")):
        case "value":
            holder[key] = random.choice(VALUES)
        case "gone":
            del holder[key]
        case "more" if isinstance(holder, dict):
            holder[random.choice(("x", "", "__class__", "version", "\ud800"))] = random.choice(VALUES)
        case "more":
            holder.extend([holder[key]] * random.choice((1, 10, 1000)))
        case "swap":
            other, place = random.choice(places)
            if place in other if isinstance(other, dict) else place < len(other):
                holder[key] = copy.deepcopy(other[place])
    return tree


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)


def of_npy(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Another shape, type, order or version in the head, whether or not the rest fits it."""
    match = re.match(rb"\x93NUMPY(..)(..)(\{[^\n]*)\n", data, re.DOTALL)
    if match is None or random.random() < 0.3:
        return of_bytes(data, random, others)
    body, head = data[match.end() :], match[3].strip().decode("latin1")
    shape, dtype = random.choice(SHAPES), random.choice(DTYPES)
    change = random.choice(("shape", "dtype", "order", "text", "values"))
    if change == "shape":
        head = re.sub(r"'shape': \([^)]*\)", f"'shape': {shape!r}", head)
    elif change == "dtype":
        head = re.sub(r"'descr': '[^']*'", f"'descr': {dtype!r}", head)
    elif change == "order":
        head = head.replace("False", "True")
    elif change == "text":
        head = random.choice(("{", "(" * 5000, head * 50, head + "+1", "{'descr': __import__('os').system('true')}", "-" * 3000 + "1"))
    else:
        values = struct.pack("<f", random.choice((float("nan"), float("inf"), 3e38, -3e38, 1e-45, 0.0)))
        body = values * (len(body) // 4) if random.random() < 0.5 else values + body[4:]
    line = (head + "\n").encode("latin1")
    version = random.choice((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\xff\0"))
    return (
        b"\x93NUMPY" + version + (struct.pack("<H", len(line) & 0xFFFF) if version[0] == 1 else struct.pack("<I", len(line))) + line + body
    )


def of_safetensors(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Its head says other names, types, shapes and places."""
    if len(data) < 10 or random.random() < 0.3:
        return of_bytes(data, random, others)
    length = int.from_bytes(data[:8], "little")
    head = of_json(data[8 : 8 + length], random)
    said = len(head) if random.random() < 0.85 else random.choice(NUMBERS)
    return said.to_bytes(8, "little") + head + data[8 + length :]


def of_zip(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Its members changed and packed anew, or its own bytes."""
    members = unpacked(data)
    if members is None or random.random() < 0.2:
        return of_bytes(data, random, others)
    return packed(of_members(members, random), random)


def of_members(members: Members, random: Random) -> Members:
    """One or two members with other content, another name, gone, twice, or too large."""
    members = list(members)
    for _ in range(random.choice((1, 1, 2))):
        if not members:
            return members
        at = random.randrange(len(members))
        name, data = members[at]
        match random.choice(("content",) * 12 + ("name", "gone", "twice", "more", "large")):
            case "content":
                members[at] = name, of_kind(name)(data, random, [other for _, other in members])
            case "name":
                members[at] = random.choice(NAMES), data
            case "gone":
                del members[at]
            case "twice":
                members.append((name, data))
            case "more":
                members.append((random.choice(NAMES), random.choice(WORDS)))
            case "large":
                members[at] = name, data + bytes(random.choice((1, 1000, 300_000)))
    return members


def of_kind(name: str) -> Callable[[bytes, Random, Sequence[bytes]], bytes]:
    """What changes a file of such a name."""
    kinds = {"json": of_json, "npz": of_zip, "npy": of_npy, "safetensors": of_safetensors, "zip": of_zip}
    return kinds.get(name.rpartition(".")[2], of_bytes)


def unpacked(data: bytes) -> Members | None:
    """The members of a zip that is whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except DAMAGE:
        return None


def packed(members: Members, random: Random | None = None) -> bytes:
    """A zip of them; with a `random` it may be packed or described in some rare way."""
    rare = random is not None and random.random() < 0.15
    method = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)) if rare and random else zipfile.ZIP_DEFLATED
    kept = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(kept, "w", method, compresslevel=1) as archive:
        warnings.simplefilter("ignore")  # names that are there twice
        archive.comment = b"x" * 3 if rare else b""
        for name, data in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if rare and random and random.random() < 0.3 else 0o100644) << 16
            archive.writestr(entry, data, method)
    made = kept.getvalue()
    return _with_lies(made, random) if random is not None and random.random() < 0.1 else made


def _with_lies(made: bytes, random: Random) -> bytes:
    """A size, offset or flag in the list of members that is not so."""
    entries = [match.start() for match in re.finditer(b"PK\x01\x02", made)]
    if not entries:
        return made
    at = random.choice(entries) + random.choice((8, 10, 16, 20, 24, 28, 30, 42))
    return made[:at] + struct.pack("<I", random.choice(NUMBERS) & 0xFFFF_FFFF) + made[at + 4 :]


@functools.cache
def bomb(name: str) -> bytes:
    """A zip of 300 kB whose one member unpacks to 300 MB."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as member:
        for _ in range(300):
            member.write(bytes(1_000_000))
    return kept.getvalue()
