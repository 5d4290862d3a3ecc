"""What a visitor's cookie holds: a secret, the day on which it was given, and this app's signature. What somebody made up is nobody's."""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from trajectory.clocks import steady
from trajectory.errors import TrajectoryError

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 random bytes
SIGNED = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{5,6})\.([A-Za-z0-9_-]{43})")
DAY_SECONDS = 86_400.0
KEPT_DAYS = 400  # after which a cookie that was never renewed is nobody's
KEY, KEY_BYTES = "visitors.key", 32


class SecretError(TrajectoryError):
    """A key that cannot be kept."""


class VisitorSecrets:
    """Gives secrets out, and knows again whose they are; the key that signs them lies in the app's folder, for its user alone."""

    def __init__(self, home: Path, *, has_library: Callable[[str], bool] = lambda _: False, now: Callable[[], float] = steady) -> None:
        self._home, self._has_library, self._now = home, has_library, now
        self._forgotten: set[str] = set()  # the digests of those that are given out no more
        self._known_key: bytes | None = None

    def issue(self, value: str) -> str:
        """What a visitor's cookie is to hold from now on: their own secret with today's signature, or a new one."""
        secret = self.recognise([value])
        if secret is None or _digest(secret) in self._forgotten:
            secret = secrets.token_urlsafe(32)
        today = int(self._now() // DAY_SECONDS)
        return f"{secret}.{today}.{self._signature(secret, today)}"

    def recognise(self, values: Iterable[str]) -> str | None:
        """The secret of who sends one of these; None for who was given none, or made one up.

        A cookie of an older version, which did not sign, is known by the library that it opens.
        """
        for value in values:
            if signed := SIGNED.fullmatch(value):
                secret, day, signature = signed[1], int(signed[2]), signed[3]
                is_fresh = self._now() // DAY_SECONDS - day <= KEPT_DAYS
                if is_fresh and hmac.compare_digest(signature, self._signature(secret, day)):
                    return secret
            elif SECRET.fullmatch(value) and self._has_library(value):
                return value
        return None

    def forget(self, secret: str) -> None:
        """Gives this one out no more: its visitor gets a new one with the next page."""
        self._forgotten.add(_digest(secret))

    def _signature(self, secret: str, day: int) -> str:
        said = hmac.new(self._key(), f"{secret}.{day}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(said).decode().rstrip("=")

    def _key(self) -> bytes:
        if self._known_key is None:
            self._known_key = _kept_key(self._home / KEY)
        return self._known_key


def _kept_key(place: Path) -> bytes:
    """The key, made by whoever comes first; it appears whole or not at all."""
    try:
        if not place.is_file():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = place.with_name(f"{KEY}.{secrets.token_hex(8)}")
            number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(number, secrets.token_bytes(KEY_BYTES))
                os.fsync(number)
            finally:
                os.close(number)
            try:
                os.link(fresh, place)  # unlike a rename it leaves alone what somebody put there meanwhile
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = place.read_bytes()
    except OSError as error:
        raise SecretError(f"the app's key for its visitors cannot be kept or read ({error.strerror})") from error
    if len(key) != KEY_BYTES:
        raise SecretError(f"{place.name} is damaged: restore it, or remove it and so give all visitors new cookies")
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
