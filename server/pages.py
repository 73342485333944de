"""The browser's files: the pages, and everything under `clients/` that they load, held ready in memory.

Invariants: a file's address with the hash of its content may be kept for ever; every other address is asked for anew.
An address with an old hash answers the file as it is now, so that a deploy never breaks an open page. Nothing
outside `clients/`, no hidden file and no tool of the developers is ever served.
"""

import base64
import functools
import gzip
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response

from server import errors

PAGES: dict[str, str] = {
    "/": "index.html",
    "/admin": "admin/index.html",
    "/agenda": "agenda/index.html",
    "/appointments": "mine/index.html",
    "/board": "board/index.html",
    "/book": "book/index.html",
    "/bookings": "bookings/index.html",
    "/console": "console/index.html",
    "/mailbox": "mailbox/index.html",
    "/reception": "reception/index.html",
    "/schedule": "schedule/index.html",
    "/waitlist": "waitlist/index.html",
    "/feedback/{secret}": "feedback/index.html",
    "/invite/{secret}": "invite/index.html",
    "/offer/{secret}": "offer/index.html",
    "/t/{secret}": "ticket/index.html",
    "/unsubscribe/{secret}": "unsubscribe/index.html",
}
"""Every page's address and its file under `clients/`."""

KINDS: dict[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""What may be served, and as what; a file of any other kind stays where it is."""

PRIVATE = frozenset({"tsconfig.json", "jsconfig.json", "package.json", "package-lock.json"})
PRIVATE_FOLDERS = frozenset({"node_modules", "__pycache__", "tests"})
HEAD_MARK = "<!-- callboard:head -->"
WORKER = "/clients/sw.js"
SHELL = re.compile(rb"/\* callboard:shell \*/ \{[^}]*\{\}[^}]*\}")
OFFLINE: dict[str, str] = {
    "/appointments": "/appointments",
    "/board": "/board",
    "/t": "/t/{secret}",
}
"""The pages that open without a network, by the first part of their address. They are the same for every ticket."""
FOR_EVER = "public, max-age=31536000, immutable"
IMPORTS = re.compile(r"""(?:^|[;}\s])(?:import|export)\s*(?:[\w$*{}\s,]*?\bfrom\s*)?["']([^"'\n]+)["']""")
KEPT = re.compile(r"""\b(?:src|href)="(/clients/[^"]+\?v=[0-9a-f]+)\"""")
LOADED = re.compile(r"""\b(src|href)="(/clients/[^"?#]+)\"""")
ENTRIES = re.compile(r"""<script\b(?=[^>]*\btype="module")[^>]*\bsrc="(/clients/[^"?#]+)\"""")
HOST = re.compile(r"[A-Za-z0-9.-]{1,255}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent, plain and, where that helps, compressed."""

    content: bytes
    packed: bytes | None
    kind: str
    hash: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it is sent, and the hash by which its policy admits its import map."""

    content: bytes
    packed: bytes
    map_hash: str
    etag: str


class Clients:
    """The folder `clients/`, read once."""

    def __init__(self, folder: Path, build: str) -> None:
        self.build = build
        self.assets = {f"/clients/{name}": asset(folder / name) for name in servable(folder)}
        self.imports = {**vendored(folder), **{path: path for path in self.assets if path.endswith((".js", ".mjs"))}}
        self.pages = {
            address: self.page((folder / name).read_text(encoding="utf-8"))
            for address, name in PAGES.items()
            if (folder / name).is_file()
        }
        self.worker = self.service_worker()

    def service_worker(self) -> bytes:
        """The service worker, told which pages and files it keeps: a change in any of them makes it another one."""
        found = {first: self.pages[address] for first, address in OFFLINE.items() if address in self.pages}
        files = {path for page in found.values() for path in KEPT.findall(page.content.decode())}
        files |= {self.hashed(path) for path in self.assets if path.startswith("/clients/i18n/")}
        pages = {first: OFFLINE[first].replace("{secret}", "-") for first in found}
        build = digest(b"".join(page.content for page in found.values()))
        shell = orjson.dumps({"build": build, "pages": pages, "files": sorted(files)})
        script = self.assets[WORKER].content if WORKER in self.assets else b""
        return SHELL.sub(lambda _: shell, script)

    def hashed(self, path: str) -> str:
        """The address of a file that may be kept for ever; any other text comes back as it is."""
        found = self.assets.get(path)
        return f"{path}?v={found.hash}" if found else path

    def page(self, html: str) -> Page:
        """A page with its import map, its build and what it will load, filled in where the file marks its head."""
        entries = ENTRIES.findall(html)
        html = LOADED.sub(lambda match: f'{match[1]}="{self.hashed(match[2])}"', html)
        imports = {name: self.hashed(path) for name, path in sorted(self.imports.items()) if path in self.assets}
        # The languages, too: the pages read from the map which there are, and fetch theirs by its hash.
        imports |= {path: self.hashed(path) for path in sorted(self.assets) if path.startswith("/clients/i18n/")}
        import_map = orjson.dumps({"imports": imports}).decode().replace("</", "<\\/")
        # The map comes first: a browser ignores one that follows the first module it was told of.
        head = [
            f'<script type="importmap">{import_map}</script>',
            f'<meta name="build" content="{escape(self.build)}">',
        ]
        head += [f'<link rel="modulepreload" href="{escape(self.hashed(path))}">' for path in self.modules(entries)]
        content = html.replace(HEAD_MARK, "\n".join(head)).encode()
        map_hash = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
        return Page(content, squeezed(content), map_hash, digest(content))

    def modules(self, entries: Iterable[str]) -> list[str]:
        """These modules and all that they import, each once, in the order of discovery."""
        found: dict[str, None] = {}
        waiting = list(entries)
        while waiting:
            path = waiting.pop(0)
            if path in found or path not in self.assets:
                continue
            found[path] = None
            for name in imported(self.assets[path].content):
                relative = name.startswith(("./", "../"))
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if relative else name
                waiting.append(self.imports.get(target, target))
        return list(found)

    async def serve_asset(self, request: Request) -> Response:
        """A file under `clients/`, by its exact path."""
        path = f"/clients/{request.path_params['path']}"
        found = self.assets.get(path)
        if found is None:
            raise errors.NotFound()
        keep = FOR_EVER if request.query_params.get("v") == found.hash else "no-cache"
        packed = found.packed if accepts_gzip(request) else None
        headers = {"ETag": f'"{found.hash}{"-gz" if packed else ""}"', "Cache-Control": keep}
        if found.packed:
            headers["Vary"] = "Accept-Encoding"
        if unchanged(request, found.hash, f"{found.hash}-gz"):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(packed or found.content, headers=headers, media_type=found.kind)

    async def serve_worker(self, request: Request) -> Response:
        """The service worker, at an address above all pages; it may fetch from us and run nothing but itself."""
        if not self.worker:
            raise errors.NotFound()
        headers = {
            "ETag": f'"{digest(self.worker)}"',
            "Cache-Control": "no-cache",
            "Content-Security-Policy": "default-src 'none'; connect-src 'self'; base-uri 'none'",
        }
        if unchanged(request, digest(self.worker)):
            return Response(status_code=304, headers=headers)
        return Response(self.worker, headers=headers, media_type=KINDS[".js"])

    async def serve_page(self, request: Request, address: str) -> Response:
        """A page; which ticket it is about only its own script reads, from the address."""
        found = self.pages.get(address)
        if found is None:
            raise errors.NotFound()
        packed = accepts_gzip(request)
        headers = {
            "ETag": f'"{found.etag}{"-gz" if packed else ""}"',
            "Cache-Control": "no-cache",
            "Content-Security-Policy": policy(found.map_hash, request.headers.get("host", "")),
            "Vary": "Accept-Encoding",
        }
        if unchanged(request, found.etag, f"{found.etag}-gz"):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(
            found.packed if packed else found.content, headers=headers, media_type="text/html; charset=utf-8"
        )


def servable(folder: Path) -> list[str]:
    """The relative paths of all files that may be served."""
    names, inside = [], folder.resolve()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) or PRIVATE_FOLDERS.intersection(parts[:-1])
        outside = path.is_symlink() or not path.resolve().is_relative_to(inside)
        if path.is_file() and not hidden and not outside and path.name not in PRIVATE and path.suffix in KINDS:
            names.append("/".join(parts))
    return names


def asset(path: Path) -> Asset:
    """A file read, hashed, and compressed where that saves a tenth."""
    content = path.read_bytes()
    packed = squeezed(content)
    return Asset(content, packed if len(packed) < 0.9 * len(content) else None, KINDS[path.suffix], digest(content))


@functools.cache
def imported(script: bytes) -> list[str]:
    """What a module imports, as it is written in it; each is looked through once in a process."""
    return IMPORTS.findall(script.decode())


@functools.cache
def squeezed(content: bytes) -> bytes:
    """A content as small as it gets, which takes a while: each is squeezed once in a process."""
    return gzip.compress(content, 9, mtime=0)


def vendored(folder: Path) -> dict[str, str]:
    """The bare names of the vendored libraries and their files, from the manifest that lists them."""
    manifest = folder / "vendor" / "manifest.json"
    if not manifest.is_file():
        return {}
    packages = orjson.loads(manifest.read_bytes())["packages"]
    files = (file for package in packages for file in package["files"])
    return {file["module"]: f"/clients/vendor/{file['file']}" for file in files if "module" in file}


def build_hash(*folders: Path) -> str:
    """One hash over the names and contents of all sources in these folders, the same wherever they lie."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and path.suffix != ".pyc" and not any(part.startswith(".") for part in name.parts):
                content = path.read_bytes()
                total.update(f"{folder.name}/{name.as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


def policy(map_hash: str, host: str) -> str:
    """The Content-Security-Policy of a page: its own origin, its own import map, nothing else."""
    # Safari before 15.4 does not count a websocket to the page's own host as 'self'.
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    rules: Mapping[str, str] = {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{map_hash}'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self'{sockets}",
        "font-src": "'self'",
        "media-src": "'self'",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def digest(content: bytes) -> str:
    """The short hash by which a file's content is known."""
    return hashlib.sha256(content).hexdigest()[:16]


def accepts_gzip(request: Request) -> bool:
    """Whether the browser takes a compressed answer."""
    offers = [offer.strip().lower().replace(" ", "") for offer in request.headers.get("accept-encoding", "").split(",")]
    return any(offer.split(";")[0] == "gzip" and not re.search(r";q=0(\.0*)?$", offer) for offer in offers)


def unchanged(request: Request, *hashes: str) -> bool:
    """Whether the browser already has one of these contents."""
    had = {tag.strip().removeprefix("W/").strip('"') for tag in request.headers.get("if-none-match", "").split(",")}
    return "*" in had or not had.isdisjoint(hashes)
