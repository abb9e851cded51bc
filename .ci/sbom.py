"""The software bill of materials of a wheel: itself and the dependencies that constraints.txt pins, in CycloneDX.

    sbom.write(Path("dist"), Path("constraints.txt"), epoch)    # dist/tftrt_yolo-0.1.0.cdx.json

pip says, without installing anything, what it would install for the wheel and its extras, and each package's own
metadata says what asks for what. The document has no serial number and no clock but the release's, so the same commit
gives the same bytes.
"""

import datetime
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = (
    "benchmark",
    "dataframe",
    "evaluate",
    "export",
    "preflight",
    "ray",
    "serve",
    "tracing",
    "track",
    "triton",
    "video",
)  # what a user runs; of gpu's libraries none is pinned
_MODELS = (".pt",)
# Its builds for GPUs ask for libraries that its build for CPUs has not: they belong to a machine, not to the release.
_ASKS_FOR_PLATFORM = "torch"


def write(build_dir: Path, constraints: Path, epoch: int) -> Path:
    """Writes the document beside a wheel.

    Args:
      build_dir: The folder of the wheel.
      constraints: The file that pins its dependencies.
      epoch: Date of the release, seconds since 1970.

    Returns:
      The file that was written.
    """
    [wheel] = build_dir.glob("*.whl")
    document = make(resolve(wheel, constraints), pins(constraints.read_text(encoding="utf-8")), wheel, epoch)
    path = build_dir / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json"
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def resolve(wheel: Path, constraints: Path) -> dict:
    """Asks pip what it would install.

    Args:
      wheel: The file.
      constraints: The file that pins its dependencies.

    Returns:
      pip's installation report.

    Source: https://pip.pypa.io/en/stable/reference/installation-report/.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = ["install", "--quiet", "--dry-run", "--ignore-installed", "--constraint", str(constraints)]
        wanted = f"{wheel}[{','.join(EXTRAS)}]"
        subprocess.run([sys.executable, "-m", "pip", *command, "--report", str(report), wanted], check=True)
        return json.loads(report.read_text(encoding="utf-8"))


def pins(constraints: str) -> dict[str, str]:
    """Reads pinned versions.

    Args:
      constraints: Lines `name==version`, with or without a marker.

    Returns:
      Canonical name to version.
    """
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def make(report: dict, pinned: dict[str, str], wheel: Path, epoch: int) -> dict:
    """Makes the document.

    Args:
      report: pip's installation report on the wheel with EXTRAS.
      pinned: Canonical name to version.
      wheel: The file.
      epoch: Date of the release, seconds since 1970.

    Returns:
      A CycloneDX 1.6 document.

    Raises:
      ValueError: If a dependency is not pinned.
    """
    packages = {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in report["install"]}
    root = canonicalize_name(wheel.name.split("-")[0])
    purls = {name: f"pkg:pypi/{name}@{version}" for name, version in pinned.items()}  # as the purl specification has it
    purls[root] = f"pkg:pypi/{root}@{packages[root]['version']}"
    required = dependencies(packages, root, (), pinned, report["environment"])
    graph = dependencies(packages, root, EXTRAS, pinned, report["environment"])
    components = [
        _component(packages[name], purls[name]) | {"scope": "required" if name in required else "optional"}
        for name in sorted(graph)
        if name != root
    ]
    date = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": _component(packages[root], purls[root])
            | {"hashes": _hashes(wheel.read_bytes()), "components": _models(wheel)},
            "properties": [
                {"name": "tftrt_yolo:extras", "value": ",".join(EXTRAS)},
                {"name": "tftrt_yolo:python", "value": report["environment"]["python_version"]},
            ],
        },
        "components": components,
        "dependencies": [
            {"ref": purls[name], "dependsOn": sorted(purls[needed] for needed in graph[name])} for name in sorted(graph)
        ],
    }


def dependencies(
    packages: dict[str, dict], root: str, extras: Iterable[str], pinned: dict[str, str], environment: dict[str, str]
) -> dict[str, set[str]]:
    """Follows requirements from a package to everything that it needs.

    Args:
      packages: Canonical name to core metadata.
      root: Where to begin.
      extras: Extras of root.
      pinned: Canonical name to version.
      environment: Values for requirements' markers.

    Returns:
      Canonical name to the names that it asks for, here.

    Raises:
      ValueError: If one is not pinned.
    """
    graph, visited, waiting = {}, set(), [(root, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in visited:
            continue
        visited.add((name, extra))
        graph.setdefault(name, set())
        for requirement in map(Requirement, packages[name].get("requires_dist", ())):
            needed = canonicalize_name(requirement.name)
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
                continue
            if needed not in pinned and needed != root:
                if name == _ASKS_FOR_PLATFORM:
                    continue
                raise ValueError(f"{name} needs {needed}, which is not pinned. Pin it in constraints.txt.")
            graph[name].add(needed)
            waiting += [(needed, asked) for asked in ("", *requirement.extras)]
    return {name: needed - {name} for name, needed in graph.items()}


def schema_error(document: str) -> str:
    """Holds a document against CycloneDX's own schema.

    Args:
      document: JSON.

    Returns:
      What is wrong with it; empty if nothing is.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) or "")


def _component(metadata: dict, purl: str) -> dict:
    """A package as the document describes it."""
    version = purl.rpartition("@")[2]  # the pinned one, without the name of a build (+cpu)
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": metadata["name"],
        "version": version,
        **_licences(metadata),
    }


def _hashes(content: bytes) -> list[dict]:
    """The digest of a file."""
    return [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]


def _licences(metadata: dict) -> dict:
    """What a package says of its licence: an SPDX expression, classifiers or a name; nothing if it says nothing."""
    if expression := metadata.get("license_expression"):
        return {"licenses": [{"expression": expression}]}
    names = [c.rpartition(" :: ")[2] for c in metadata.get("classifier", ()) if c.startswith("License :: ")]
    named = metadata.get("license", "").strip()
    names = sorted(set(names)) or ([named] if named and "\n" not in named else [])
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _models(wheel: Path) -> list[dict]:
    """The models that lie in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return [
            {
                "type": "machine-learning-model",
                "bom-ref": name,
                "name": name,
                "hashes": _hashes(archive.read(name)),
            }
            for name in sorted(archive.namelist())
            if name.endswith(_MODELS)
        ]
