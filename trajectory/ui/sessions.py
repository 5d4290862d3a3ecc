"""Whose a session of Streamlit's is, and what it holds in memory: read from Streamlit's own books, which know no visitors."""

import threading

import anyio
from streamlit.runtime import Runtime

from trajectory.ui import cookies
from trajectory.visitor_secrets import VisitorSecrets

MOST_SEEN = 4_096  # files of whom is remembered that they may see them
LOOK_SECONDS, LOOKS = 0.25, 8  # a page that is drawn anew shows nothing for a moment

_seen: dict[tuple[str, str], None] = {}
_lock = threading.Lock()


def secret_of(session: str, secrets: VisitorSecrets) -> str | None:
    """The secret of the visitor who opened a session; None for one that there is not."""
    client = Runtime.instance().get_client(session) if Runtime.exists() else None
    context = None if client is None else client.client_context
    return None if context is None else secrets.recognise(cookies.values_of(context.cookies))


async def shows(name: str, secret: str, secrets: VisitorSecrets) -> bool:
    """Whether a page of this visitor shows a file that Streamlit holds for its pages."""
    file, wanted = name.partition(".")[0], (secret, name.partition(".")[0])
    for _ in range(LOOKS):
        with _lock:
            if wanted in _seen:
                return True
        if any(secret_of(session, secrets) == secret for session in _sessions_with(file)):
            with _lock:
                _seen[wanted] = None
                while len(_seen) > MOST_SEEN:
                    del _seen[next(iter(_seen))]
            return True
        await anyio.sleep(LOOK_SECONDS)
    return False


def _sessions_with(file: str) -> list[str]:
    if not Runtime.exists():
        return []
    manager = Runtime.instance().media_file_mgr
    with manager._lock:
        return [session for session, shown in manager._files_by_session_and_coord.items() if file in shown.values()]


def held_bytes() -> dict[str, int]:
    """Bytes of uploads that each session holds in memory."""
    if not Runtime.exists():
        return {}
    held = Runtime.instance().uploaded_file_mgr.file_storage  # type: ignore[attr-defined]
    return {session: sum(len(file.data) for file in list(files.values())) for session, files in list(held.items())}


def drop_uploads_of_the_gone() -> None:
    """Lets go of uploads whose sessions nobody is connected to: Streamlit would hold them for minutes, in case somebody comes back."""
    runtime = Runtime.instance()
    for session in held_bytes():
        if runtime.get_client(session) is None:
            runtime.uploaded_file_mgr.remove_session_files(session)
