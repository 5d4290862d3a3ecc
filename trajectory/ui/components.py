"""Components of our own in the browser: their code is served from static/, and each page is told where and in which version."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

ROOT = Path(__file__).parents[2]
ASSETS, STATIC = ROOT / "assets", ROOT / "static"


def mounted(name: str) -> Callable[..., Any]:
    """The component whose HTML and CSS lie in assets/NAME and whose modules in static/NAME."""
    folder = ASSETS / name
    html, css = ((folder / f"{name}.{ending}").read_text(encoding="utf-8") for ending in ("html", "css"))
    return _component(name, html=html, css=css)


def ahead(name: str) -> Callable[..., Any]:
    """What shows nothing: it has the browser fetch a component's modules, and whatever they want, before a page needs them."""
    made = _component(f"{name}_ahead", html="<div data-part></div>", css="")

    def fetch(**about: str) -> None:
        made(key=f"{name}-ahead", data={"meta": {"code": code(name), "ahead": about}})

    return fetch


def _component(name: str, *, html: str, css: str) -> Callable[..., Any]:
    made: Callable[..., Any] = st.components.v2.component(
        f"trajectory_{name}", html=html, css=css, js=(ASSETS / "loader.js").read_text(encoding="utf-8")
    )
    return made


def static_address(path: str) -> str:
    """Where the browser finds a file of static/."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{f'/{base}' if base else ''}/app/static/{path}"


def code(name: str) -> dict[str, Any]:
    """What the loader needs: a changed module is fetched anew."""
    files, version = _modules(name)
    return {"base": static_address(f"{name}/"), "files": files, "version": version}


@functools.cache
def _modules(name: str) -> tuple[list[str], str]:
    files = sorted(path.name for path in (STATIC / name).glob("*.js"))
    return files, hashlib.blake2b(b"".join((STATIC / name / file).read_bytes() for file in files), digest_size=8).hexdigest()
