"""Builds a release twice and refuses it if the two differ in a byte: `make dist`.

    .venv-dist/bin/python .ci/dist.py    # dist/: sdist, wheel, SBOM (CycloneDX) and SHA256SUMS

What goes in are the files of the last commit, copied to a folder of their own with one mode and one date, so that
neither the checkout's place, nor its umask, nor anything left lying in it reaches the archives. setuptools builds the
sdist and from it the wheel; the sdist is packed anew, because setuptools leaves the clock and the user in it. The two
builds have different paths, time zones and hash seeds.
"""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import sbom

ROOT = Path(__file__).resolve().parents[1]
PYTHON = (3, 11)  # the one for which constraints.txt pins every dependency
SOURCES = ("LICENSE", "README.md", "setup.cfg", "setup.py", "tftrt_yolo")  # tests need the repository around them
FILE_MODE, FOLDER_MODE, UMASK = 0o644, 0o755, 0o022
_VARIATIONS = {
    "first": {"TZ": "UTC", "PYTHONHASHSEED": "1"},
    "the second, elsewhere": {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2"},
}


class ReleaseError(Exception):
    """A release that must not go out."""


def main() -> None:
    """Builds twice, compares, checks, and only then replaces dist/."""
    if sys.version_info[:2] != PYTHON:
        expected = ".".join(map(str, PYTHON))
        raise ReleaseError(
            f"This is Python {sys.version.split()[0]}; expected {expected}, for which constraints.txt pins every "
            f"dependency. Remove .venv-dist and run make dist PYTHON=python{expected}."
        )
    paths = source_files(ROOT)
    epoch = source_date_epoch(ROOT, paths)
    with tempfile.TemporaryDirectory() as folder:
        builds = []
        for name, environment in _VARIATIONS.items():
            builds.append(build(ROOT, paths, epoch, Path(folder) / name, environment))
            sbom.write(builds[-1], ROOT / "constraints.txt", epoch)
            write_checksums(builds[-1])
        refuse_difference(*builds)
        check(builds[0])
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(builds[0], ROOT / "dist")
    sys.stdout.write((ROOT / "dist" / "SHA256SUMS").read_text(encoding="utf-8"))


def source_files(root: Path) -> list[Path]:
    """Lists what a release is made of.

    Args:
      root: The checkout, or a folder without git, such as an unpacked archive.

    Returns:
      Files, relative to root, sorted: those that git tracks; without git all but caches.

    Raises:
      ReleaseError: If one of them is not as in the last commit.
    """
    if not (root / ".git").exists():
        return all_files(root)
    if changes := _git(root, "status", "--porcelain", "--", *SOURCES):
        raise ReleaseError(
            f"Not as in the last commit:\n{changes}A release is made of a commit: commit or stash these."
        )
    return sorted(Path(name) for name in _git(root, "ls-files", "-z", "--", *SOURCES).split("\0") if name)


def all_files(root: Path) -> list[Path]:
    """Lists SOURCES' files, relative to root, sorted: all but caches, whatever git thinks of them."""
    paths = [path for name in SOURCES for path in [root / name, *(root / name).rglob("*")]]
    return sorted(p.relative_to(root) for p in paths if p.is_file() and "__pycache__" not in p.parts)


def source_date_epoch(root: Path, paths: Iterable[Path]) -> int:
    """The one date of everything in the archives.

    Args:
      root: The folder of the files.
      paths: The files, relative to root.

    Returns:
      Seconds since 1970: $SOURCE_DATE_EPOCH, or the last commit's date, or without git the newest file's.

    Source: https://reproducible-builds.org/specs/source-date-epoch/.
    """
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    if (root / ".git").exists():
        return int(_git(root, "log", "-1", "--format=%ct"))
    return max(int((root / path).stat().st_mtime) for path in paths)


def build(root: Path, paths: Iterable[Path], epoch: int, work_dir: Path, environment: dict[str, str]) -> Path:
    """Builds sdist and wheel once.

    Args:
      root: The folder of the files.
      paths: What goes in, relative to root.
      epoch: Date of everything, seconds since 1970.
      work_dir: A folder that does not exist yet.
      environment: Variables for the build, beside those of this process.

    Returns:
      The folder of the two archives.
    """
    stage_dir, output_dir = work_dir / "stage", work_dir / "dist"
    for path in paths:
        (stage_dir / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, stage_dir / path)
    for path in [stage_dir, *stage_dir.rglob("*")]:
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.utime(path, (epoch, epoch))
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output_dir), str(stage_dir)],
        env={**os.environ, **environment, "SOURCE_DATE_EPOCH": str(epoch)},
        umask=UMASK,  # the metadata that setuptools writes takes its mode from it
        stdout=subprocess.DEVNULL,
        check=True,
    )
    pack_anew(next(output_dir.glob("*.tar.gz")), epoch)
    return output_dir


def pack_anew(sdist: Path, epoch: int) -> None:
    """Rewrites an sdist: members in order, one date, no user, plain modes, neither name nor clock in gzip's header.

    Args:
      sdist: A .tar.gz.
      epoch: Date of everything, seconds since 1970.
    """
    with tarfile.open(sdist) as archive:
        contents = {m.name: archive.extractfile(m).read() if m.isfile() else None for m in archive.getmembers()}
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.mtime, member.size = epoch, len(content or b"")
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.mode = FOLDER_MODE if content is None else FILE_MODE
            archive.addfile(member, io.BytesIO(content or b""))
    sdist.write_bytes(packed.getvalue())


def write_checksums(build_dir: Path) -> None:
    """Writes SHA256SUMS, as `sha256sum --check` reads it, for all files of a folder."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(build_dir.iterdir())]
    (build_dir / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def refuse_difference(first_dir: Path, second_dir: Path) -> None:
    """Compares two builds byte by byte.

    Args:
      first_dir: One folder of files.
      second_dir: The other.

    Raises:
      ReleaseError: At the first difference; the message has the file, the byte, and of an archive the member.
    """
    names = [sorted(path.name for path in folder.iterdir()) for folder in (first_dir, second_dir)]
    if names[0] != names[1]:
        raise ReleaseError(f"Two builds gave different files: {', '.join(names[0])}; and {', '.join(names[1])}.")
    for name in names[0]:
        first, second = ((folder / name).read_bytes() for folder in (first_dir, second_dir))
        if first != second:
            pairs = enumerate(zip(first, second, strict=False))
            byte = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
            where = _differing_member(first_dir / name, second_dir / name)
            raise ReleaseError(
                f"Two builds of {name} differ from byte {byte:,} on{where}. Expected the same bytes: find what "
                "depends on the clock, a path or an order, and mend it in .ci/dist.py."
            )


def _differing_member(first: Path, second: Path) -> str:
    """Where two archives differ, for a message; empty if they are no archives or only their packing differs."""
    for one, other in zip(_members(first), _members(second), strict=False):
        if one != other:
            return f", in {one[0]}" if one[0] == other[0] else f", where one has {one[0]} and the other {other[0]}"
    return ""


def _members(archive: Path) -> list[tuple]:
    """Name, content and what else an archive says of each member."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [(m.filename, wheel.read(m), m.date_time, m.external_attr) for m in wheel.infolist()]
    if archive.suffix == ".gz":
        with tarfile.open(archive) as sdist:
            members = [(m, sdist.extractfile(m)) for m in sdist.getmembers()]
            return [(m.name, file and file.read(), m.mtime, m.mode, m.uid, m.uname) for m, file in members]
    return []


def check(build_dir: Path) -> None:
    """Lets the tools of the trade look at a build: metadata, the wheel's contents, the SBOM's schema.

    Args:
      build_dir: What `build` returned.

    Raises:
      ReleaseError: If one of them objects; it says what it found on the standard output.
    """
    [wheel], [sdist] = build_dir.glob("*.whl"), build_dir.glob("*.tar.gz")
    package = str(build_dir.parent / "stage" / "tftrt_yolo")
    for command in (
        ["twine", "check", "--strict", str(wheel), str(sdist)],
        ["check_wheel_contents", "--package", package, str(wheel)],
    ):
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            raise ReleaseError(f"{command[0]} objects to the release. Expected no objection; see above and mend it.")
    for document in build_dir.glob("*.cdx.json"):
        if error := sbom.schema_error(document.read_text(encoding="utf-8")):
            raise ReleaseError(f"{document.name} is no CycloneDX: {error}. Mend .ci/sbom.py.")


def _git(root: Path, *arguments: str) -> str:
    """What git answers."""
    result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ReleaseError(f"git {arguments[0]} failed in {root}: {result.stderr.strip()} Expected a repository.")
    return result.stdout


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(f"{error}")
