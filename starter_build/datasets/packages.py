"""Fetching one registry package: downloaded by the registry's own client, unpacked, never installed.

The clients (`pip`, `npm`, `apt-get`) decide where to look, so mirrors and proxies set up for them hold here too.
Each package becomes one folder that appears only when it is complete; asking again costs nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from backbone.errors import PolygraftError

MARKER = "fetched.json"  # written last into every package folder: the package and the archive it came from


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package of a registry."""

    registry: Literal["pypi", "pypi-source", "npm", "debian", "debian-lists"]
    """`pypi-source` is a project's source archive, whose metadata step pip runs: for known projects alone.
    `debian-lists` is apt's own index, which holds the description of every package."""
    name: str
    version: str = ""  # pinned where the registry keeps old versions (PyPI, npm); Debian keeps only the current one

    @property
    def folder(self) -> str:
        """Name of the package's folder under the data root."""
        name = self.name.strip("@").replace("/", "-")
        return f"{self.registry}-{name}" + (f"-{self.version}" if self.version else "")


DEBIAN_LISTS = Package(registry="debian-lists", name="en")


def data_root() -> Path:
    """Where fetched packages are kept: `$POLYGRAFT_DATA`, or `~/.cache/polygraft/data`."""
    return Path(os.environ.get("POLYGRAFT_DATA") or Path.home() / ".cache" / "polygraft" / "data")


def fetch(package: Package, root: Path) -> Path:
    """Folder with the unpacked files of `package`, downloaded on the first call.

    Raises PolygraftError when the registry's client is missing or refuses.
    """
    folder = root / package.folder
    if (folder / MARKER).is_file():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as scratch:
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        archive = _download(package, root, Path(scratch), unpacked)
        (unpacked / MARKER).write_text(json.dumps(asdict(package) | {"archive": archive}) + "\n")
        _put_in_place(unpacked, folder)
    return folder


def member(folder: Path, path: str) -> Path:
    """The file or folder `path` of an unpacked package. Raises PolygraftError when the package has no such thing."""
    found = folder / path
    if not found.exists():
        raise PolygraftError(
            f"The package in {folder} has no {path}: another version than this reader knows; "
            "remove the folder to fetch it again."
        )
    return found


def _put_in_place(unpacked: Path, folder: Path) -> None:
    if folder.exists() and not (folder / MARKER).is_file():
        shutil.rmtree(folder)
    try:
        unpacked.rename(folder)
    except OSError:
        # Another process fetched the same package meanwhile: its copy is as good as ours.
        if not (folder / MARKER).is_file():
            raise


def _download(package: Package, root: Path, scratch: Path, unpacked: Path) -> str:
    """Download into `scratch`, unpack into `unpacked`; the archive's file name ("" when there is none)."""
    if package.registry == "debian-lists":
        _apt_update(unpacked, package.name)
        return ""
    downloads = scratch / "downloads"
    downloads.mkdir()
    {"pypi": _pip, "pypi-source": _pip, "npm": _npm, "debian": _apt}[package.registry](package, root, downloads)
    archives = sorted(downloads.iterdir())
    if len(archives) != 1:
        found = ", ".join(path.name for path in archives) or "nothing"
        raise PolygraftError(f"Fetching {package.name} should bring one file but brought {found}; try again.")
    _unpack(archives[0], unpacked)
    return archives[0].name


def _unpack(archive: Path, target: Path) -> None:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(target)
        elif archive.suffix == ".deb":
            _call(["dpkg", "-x", str(archive), str(target)], archive.name)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise PolygraftError(f"{archive.name} cannot be unpacked ({error}); fetch it again.") from None


def _pip(package: Package, _root: Path, downloads: Path) -> None:
    wanted = f"{package.name}=={package.version}" if package.version else package.name
    form = "--no-binary=:all:" if package.registry == "pypi-source" else "--only-binary=:all:"
    options = ["--no-deps", form, "--disable-pip-version-check", "-q", "-d", str(downloads)]
    _call([sys.executable, "-m", "pip", "download", *options, wanted], wanted)


def _npm(package: Package, _root: Path, downloads: Path) -> None:
    wanted = f"{package.name}@{package.version}" if package.version else package.name
    _call(["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(downloads), wanted], wanted)


def _apt(package: Package, root: Path, downloads: Path) -> None:
    command = ["apt-get", "-q", *_apt_options(fetch(DEBIAN_LISTS, root)), "download", package.name]
    try:
        _call(command, package.name, cwd=downloads)
    except PolygraftError:
        # Lists of an earlier day may name a version that the archive has replaced since.
        _apt_update(fetch(DEBIAN_LISTS, root), DEBIAN_LISTS.name)
        _call(command, package.name, cwd=downloads)


def _apt_update(folder: Path, languages: str) -> None:
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = [*_apt_options(folder), "-o", f"Acquire::Languages={languages}"]
    _call(["apt-get", "-q", *options, "update"], "the package lists of apt")


def _apt_options(folder: Path) -> list[str]:
    # apt's lists are kept in `folder`, uncompressed, so that no system folder is touched
    settings = {
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::GzipIndexes": "false",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _call(command: list[str], wanted: str, cwd: Path | None = None) -> None:
    program = "pip" if "pip" in command else Path(command[0]).name
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PolygraftError(f"Fetching {wanted} needs the program {program}, which is not here; install it.") from None
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no message"]
        raise PolygraftError(
            f"{program} could not fetch {wanted} ({lines[-1].strip()}); check its set-up and try again."
        )
