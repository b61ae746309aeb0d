"""The install: a complete lock file, the command that installs it, and one version."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dec_keras
from dec_keras.runs.record import environment
from tests.helpers import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}


def requirements(text):
    """Those of a lock file or of a requirements file, without hashes, comments and options such as `-r other.txt`."""
    lines = (re.split(r"(?:^|\s)#|\s--hash", line)[0].strip() for line in text.replace("\\\n", "").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def applies(need, where, extras=()):
    """Whether a requirement holds in an environment, for one of a package's extras or without."""
    return need.marker is None or any(need.marker.evaluate(where | {"extra": extra}) for extra in ("", *extras))


def needs_of(package):
    """What the installed release of a locked package needs; nothing is known where another release is installed."""
    try:
        found = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(need) for need in found.requires or ()] if found.version in package.specifier else []


def missing(locked, wanted, where, needs_of=needs_of):
    """What the wanted and the locked packages need, extras included, that an environment's lock lacks: sorted texts."""
    locked = {canonicalize_name(package.name): package for package in locked if applies(package, where)}
    left, seen, lacking = [*wanted, *locked.values()], set(), set()
    while left:
        need = left.pop()
        if str(need) in seen:
            continue
        seen.add(str(need))
        package = locked.get(canonicalize_name(need.name))
        if package is None or not need.specifier.contains(next(iter(package.specifier)).version, prereleases=True):
            lacking.add(str(need))
        else:
            left += [further for further in needs_of(package) if applies(further, where, need.extras)]
    return sorted(lacking)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_is_complete(python, system):
    """It is installed without its packages' own requirements: what it lacks is not there."""
    where = SYSTEMS[system] | {"python_version": python, "python_full_version": f"{python}.0"}
    wanted = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    assert missing(requirements(LOCK), requirements(wanted), where) == []


READER = 'reader>=2; python_version < "3.12" and extra == "toml"'


@pytest.mark.parametrize(
    ("python", "lock", "lacking"),
    [
        ("3.11", "plugin==1\ncover==7\nreader==2", []),
        ("3.11", "plugin==1\ncover==7", [READER]),
        ("3.11", "plugin==1\ncover==7\nreader==1", [READER]),
        ("3.11", "plugin==1\ncover==7\nreader==2 ; python_version > '3.11'", [READER]),
        ("3.12", "plugin==1\ncover==7", []),
        ("3.12", "plugin==1", ["cover[toml]>=7"]),
        ("3.12", "cover==7", ["plugin"]),
    ],
)
def test_a_package_that_a_lock_lacks_is_named(python, lock, lacking):
    needs = {
        "plugin": [Requirement("cover[toml]>=7")],
        "cover": [Requirement(READER), Requirement("rare; extra == 'x'")],
        "reader": [],
    }
    where = SYSTEMS["linux"] | {"python_version": python, "python_full_version": f"{python}.0"}
    assert missing(requirements(lock), [Requirement("plugin")], where, lambda package: needs[package.name]) == lacking


def wheel(folder, name, version, needs=()):
    """A wheel without a module in a folder; its line of a lock file."""
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: toml"]
        file.writestr(f"{about}/METADATA", "\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]))
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def make_venv(folder):
    """`make .venv/ready` by the project's Makefile in a folder, of its lock and its index alone."""
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))}
    env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "index"), "PIP_CONFIG_FILE": os.devnull}
    command = ["make", ".venv/ready", f"PYTHON={sys.executable}"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def index(tmp_path):
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_newer_releases_do_not_break_the_install(index):
    """pip 23.2.1 resolves `cover[toml]` to the newest release, for which a lock has no hash (pypa/pip#9644)."""
    lock = [
        wheel(index, "plugin", "1.0", ["cover[toml]>=7"]),
        wheel(index, "cover", "7.0", ["reader; extra == 'toml'"]),
        wheel(index, "reader", "1.0"),
    ]
    for name in ("plugin", "cover", "reader"):
        wheel(index, name, "99.0")
    (index.parent / "requirements.lock").write_text("".join(lock))
    done = make_venv(index.parent)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in index.parent.glob(".venv/lib/python*/site-packages/*.dist-info")}
    assert installed >= {"plugin-1.0.dist-info", "cover-7.0.dist-info", "reader-1.0.dist-info"}


def test_an_incomplete_lock_stops_the_install(index):
    (index.parent / "requirements.lock").write_text(wheel(index, "plugin", "1.0", ["cover>=7"]))
    done = make_venv(index.parent)
    assert done.returncode != 0
    assert "plugin 1.0 requires cover, which is not installed" in done.stdout + done.stderr
    assert not (index.parent / ".venv/ready").exists()


def test_readme_installs_as_the_makefile_does():
    (command,) = re.findall(r"pip install .*-r requirements\.lock", (ROOT / "Makefile").read_text())
    assert command.replace("--quiet ", "") + " && pip check" in (ROOT / "README.md").read_text()


def test_one_version():
    version = dec_keras.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    assert environment()["version"] == version
