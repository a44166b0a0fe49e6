"""Fetching packages, with clients that need no network: pip from a folder, npm and apt played by scripts."""

import io
import tarfile
import zipfile

import pytest

from backbone.errors import PolygraftError
from starter_build.datasets.packages import DEBIAN_LISTS, MARKER, Package, data_root, fetch

NPM = Package(registry="npm", name="@made/up", version="1.0.0")


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Return a function that puts a shell script on the path under a program's name, before anything else there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(name, script):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    return install


def packed(tmp_path, name="package/data.txt"):
    archive = tmp_path / "made.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"text"))
    return archive


def test_an_npm_package_is_unpacked_once(tmp_path, client):
    client("npm", f'cp {packed(tmp_path)} "$5" && echo called >> {tmp_path}/calls')
    folders = [fetch(NPM, tmp_path / "root") for _ in range(2)]
    assert folders[0] == folders[1] == tmp_path / "root" / "npm-made-up-1.0.0"
    assert (folders[0] / "package/data.txt").read_text() == "text"
    assert (tmp_path / "calls").read_text() == "called\n"


def test_a_refusal_is_one_sentence_and_leaves_nothing(tmp_path, client):
    client("npm", "echo 'npm error 404 no such package' >&2; exit 1")
    with pytest.raises(PolygraftError, match=r"@made/up@1\.0\.0"):
        fetch(NPM, tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_a_half_written_folder_is_replaced(tmp_path, client):
    client("npm", f'cp {packed(tmp_path)} "$5"')
    (tmp_path / "root/npm-made-up-1.0.0/package").mkdir(parents=True)
    assert (fetch(NPM, tmp_path / "root") / MARKER).is_file()


def test_an_archive_that_writes_outside_its_folder_is_refused(tmp_path, client):
    client("npm", f'cp {packed(tmp_path, "../escaped.txt")} "$5"')
    with pytest.raises(PolygraftError, match=r"made\.tgz cannot be unpacked"):
        fetch(NPM, tmp_path / "root")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_missing_client_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PolygraftError, match="needs the program npm"):
        fetch(NPM, tmp_path / "root")


def test_pip_fetches_a_wheel_without_installing_it(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "made_up-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made_up/data.txt", "text")
        wheel.writestr("made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
        wheel.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("made_up-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    folder = fetch(Package(registry="pypi", name="made-up", version="1.0"), tmp_path / "root")
    assert (folder / "made_up/data.txt").read_text() == "text"


def test_apt_renews_its_own_lists_when_a_download_fails(tmp_path, client):
    calls = tmp_path / "calls"
    client(
        "apt-get",
        f'for last; do :; done; echo "$last" >> {calls}\n'
        f'[ "$last" = update ] || {{ [ "$(wc -l < {calls})" -gt 3 ] && touch cow_1_all.deb; }}',
    )
    client("dpkg", 'echo moo > "$3/cow"')
    folder = fetch(Package(registry="debian", name="cow"), tmp_path / "root")
    assert calls.read_text().split() == ["update", "cow", "update", "cow"]
    assert (folder / "cow").read_text() == "moo\n"
    assert (tmp_path / "root" / DEBIAN_LISTS.folder / "lists").is_dir()


def test_the_data_root_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYGRAFT_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.delenv("POLYGRAFT_DATA")
    assert data_root().parts[-3:] == (".cache", "polygraft", "data")


def test_a_package_that_pip_does_not_find_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PolygraftError, match="made-up==9"):
        fetch(Package(registry="pypi", name="made-up", version="9"), tmp_path)
