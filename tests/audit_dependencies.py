"""What is installed is what the files say, and nothing of it is known to be unsafe: a step of `script/check`.

The first part needs no network. For the second, pip-audit asks a service for advisories, which not every machine may reach; then it
says so in one line and lets the check go on.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
TOOLS = frozenset({"pip", "setuptools", "wheel"})
"""They come with the virtual environment."""
PATIENCE = 60
"""Seconds for asking about all packages."""
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z0-9,._-]+\])?==(?P<version>[A-Za-z0-9.!+_-]+)")
_REGISTRY = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|rubygems|crates|packagist|jfrog|nexus)\.(?:org|com|io)\b", re.IGNORECASE
)
SKIPPED = frozenset({".git", ".venv", ".data", "__pycache__", ".hypothesis", ".ruff_cache", ".mypy_cache"})
TEXTS = frozenset(
    {
        "",
        ".py",
        ".txt",
        ".toml",
        ".md",
        ".sh",
        ".html",
        ".js",
        ".css",
        ".yaml",
        ".yml",
        ".json",
        ".cfg",
        ".example",
        ".svg",
    }
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The pinned versions by name, and a sentence for each line that pins nothing."""
    found: dict[str, str] = {}
    problems = []
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text or text == "-r requirements.txt":
            continue
        pin = _PIN.fullmatch(text)
        if pin is None:
            problems.append(f"“{text}” pins no version. Write name==version.")
        elif canonical(pin["name"]) in found:
            problems.append(f"{pin['name']} is pinned twice.")
        else:
            found[canonical(pin["name"])] = pin["version"]
    return found, problems


def differences(pinned: dict[str, str], installed: dict[str, str]) -> list[str]:
    """What is installed and pinned nowhere, or in another version, or not at all."""
    extra = [
        f"{name} {version} is installed and pinned nowhere."
        for name, version in installed.items()
        if name not in pinned
    ]
    missing = [f"{name} is pinned and not installed." for name in pinned if name not in installed]
    other = [
        f"{name} is pinned to {version}, and {installed[name]} is installed."
        for name, version in pinned.items()
        if name in installed and installed[name] != version
    ]
    return sorted(extra + missing + other)


def installed_here() -> dict[str, str]:
    found = {canonical(one.metadata["Name"]): one.version for one in distributions()}
    return {name: version for name, version in found.items() if name not in TOOLS}


def registries(root: Path) -> list[str]:
    """Files that name a package registry: where packages come from is the machine's business."""
    return [
        f"{path.relative_to(root)} names a package registry. Leave that to the machine's own settings."
        for path in _texts(root)
        if path != Path(__file__) and _REGISTRY.search(path.read_text(encoding="utf-8", errors="replace"))
    ]


def _texts(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from _texts(path)
        elif path.suffix in TEXTS:
            yield path


def conflicts() -> list[str]:
    """Packages whose needs are not met, in pip's own words."""
    done = _run([sys.executable, "-m", "pip", "--disable-pip-version-check", "check"], PATIENCE)
    return done.stdout.splitlines() if done is not None and done.returncode else []


def advisories() -> tuple[list[str], str]:
    """Known vulnerabilities, and why of some or all packages nothing could be known, if so."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--progress-spinner",
        "off",
        "--timeout",
        "5",
        "--disable-pip",
        "--no-deps",
    ]
    files = [part for name in FILES for part in ("--requirement", str(ROOT / name))]
    done = _run([*command, "--format", "json", *files], PATIENCE)
    return ([], f"no answer within {PATIENCE} seconds") if done is None else judged(done.stdout, done.stderr)


def judged(told: str, trouble: str) -> tuple[list[str], str]:
    """pip-audit ends well, too, when the service knows nothing of a package; its report tells them apart."""
    try:
        packages = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = trouble.strip().splitlines()
        return [], (said[-1] if said else "it said nothing")[:160]
    known = [
        f"{one['name']} {one['version']} has {flaw['id']}, mended in {' or '.join(flaw['fix_versions']) or 'no version yet'}."
        for one in packages
        for flaw in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    return known, f"{len(skipped)} of {len(packages)} packages are unknown to the service" if skipped else ""


def _run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None


def main() -> int:
    lines = [line for name in FILES for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    pinned, problems = pins(lines)
    problems += differences(pinned, installed_here()) + conflicts() + registries(ROOT)
    known, why_not = advisories()
    problems += known
    if why_not:
        print(f"  Known vulnerabilities were not looked for everywhere: {why_not}.", file=sys.stderr)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
