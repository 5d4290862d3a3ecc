"""What the log says, and how: a line in words, or an object of JSON a line for machines (TRAJECTORY_LOG=json)."""

import asyncio
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from trajectory.errors import TrajectoryError

FIELDS = ("job", "task", "outcome", "seconds")  # given as `extra`
PLAIN = "%(asctime)s %(levelname)s %(message)s"
OURS = "trajectory"
SILENT = ("uvicorn.access",)  # addresses hold what only their owners may know
SESSION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LOG = logging.getLogger(__name__)


class LogError(TrajectoryError):
    """A way to log that there is not."""


class JsonLines(logging.Formatter):
    """One object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, Any] = {"time": f"{second}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        said |= {"logger": record.name, "message": record.getMessage()}
        said |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said)


def begin(environment: Mapping[str, str]) -> None:
    """Lets this program's log be written, and in JSON everybody else's in this process with it; no thread ends unseen."""
    way = environment.get("TRAJECTORY_LOG") or "plain"
    if way not in ("plain", "json"):
        raise LogError(f"TRAJECTORY_LOG is {way!r}; choose 'plain' or 'json'")
    handler = logging.StreamHandler()
    ours = logging.getLogger(OURS)
    ours.setLevel(logging.INFO)
    if way == "plain":
        handler.setFormatter(logging.Formatter(PLAIN))
        ours.handlers, ours.propagate = [handler], False
    else:
        handler.setFormatter(JsonLines())
        logging.root.handlers = [handler]
        adopt_all()
    threading.excepthook = _say_that_a_thread_ended
    logging.setLogRecordFactory(_record)


def _record(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Without the ids of Streamlit's sessions: who knows one could go on with it."""
    record = logging.LogRecord(*arguments, **options)
    if record.name.startswith("streamlit") and SESSION.search(said := record.getMessage()):
        record.msg, record.args = SESSION.sub("…", said), None
    return record


def adopt_all() -> None:
    """For after a library was loaded that brings loggers of its own: where JSON is written, theirs is too."""
    if not is_json():
        return
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            adopt(logger)


def adopt(logger: logging.Logger) -> None:
    """A logger that writes lines of its own hands them on instead, so that each comes once, and in JSON."""
    for handler in [each for each in logger.handlers if getattr(each, "stream", None) in (sys.stdout, sys.stderr)]:
        logger.removeHandler(handler)
    if not logger.handlers and logger.name not in SILENT:
        logger.propagate = True


def is_json() -> bool:
    """Whether lines of JSON are written."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.root.handlers)


def watch(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """Says in the log that a task in the background ended by an error; asyncio itself does so only once nothing holds the task."""
    task.add_done_callback(_say_that_a_task_ended)
    return task


def _say_that_a_task_ended(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("the task %s ended by an error", task.get_name(), exc_info=error)


def _say_that_a_thread_ended(about: threading.ExceptHookArgs) -> None:
    if about.exc_type is not SystemExit and about.exc_value is not None:
        LOG.error("the thread %s ended by an error", about.thread.name if about.thread else "", exc_info=about.exc_value)
