"""A web server, a user's home and a dataset of three small pictures, for tests to break."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.dataset import manifest
from bench.files import user_cache


def png(value: int, level: int = 6) -> bytes:
    """Return a small image of one value; ``level`` changes the file and not the picture."""
    buffer = BytesIO()
    pixels = np.full((5, 7, 3), value, np.uint8) + np.arange(7, dtype=np.uint8)[:, None]
    PILImage.fromarray(pixels).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def entry(name: str, data: bytes) -> str:
    pixels = np.asarray(PILImage.open(BytesIO(data)))
    return (
        f'{{ name = "{name}", bytes = {len(data)}, width = 7, height = 5, '
        f'sha256 = "{hashlib.sha256(data).hexdigest()}", '
        f'rgb_sha256 = "{hashlib.sha256(pixels.tobytes()).hexdigest()}" }},'
    )


PICTURES = {"a.png": png(10), "b.png": png(20), "c.png": png(30)}


@dataclass
class Site:
    """A web server on this machine: what it serves, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=lambda: dict(PICTURES))

    png = staticmethod(png)
    entry = staticmethod(entry)

    def publish(
        self,
        *,
        files: dict[str, bytes] | None = None,
        unknown: tuple[str, ...] = (),
        images: int | None = None,
        archive: str = "",
        md5: str = "",
    ) -> None:
        """Write the manifest of a dataset ``three`` that comes from here."""
        known = files or {}
        lines = [entry(name, data) for name, data in known.items()]
        lines += [f'{{ name = "{name}" }},' for name in unknown]
        text = (
            'title = "Three"\nlicence = "CC0"\nsource = "https://example.org/three"\n'
            'revision = "1"\ndescription = "Pictures."\ndefault = "download"\n'
            f'images = {images or len(lines)}\nfolders = ["three", "trio"]\n'
        )
        if lines:
            text += f'urls = ["{self.url}/{{file}}"]\n' if self.url else ""
            text += "files = [\n" + "\n".join(lines) + "\n]\n"
        if archive:
            text += f'[archive]\nurl = "{self.url}/{archive}"\n'
            text += f'md5 = "{md5}"\n' if md5 else ""
        (manifest.FOLDER / "three.toml").write_text(text)


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            served.asked.append(name)
            if name not in served.files:
                self.send_error(404)
                return
            data = served.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if name in served.cut else data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _clean_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a user with an empty cache, no $BENCH_DATA and no proxy."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the real manifests behind an empty folder; return the user cache's datasets/."""
    (tmp_path / "manifests").mkdir()
    monkeypatch.setattr(manifest, "FOLDER", tmp_path / "manifests")
    return user_cache() / "datasets"
