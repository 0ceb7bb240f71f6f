"""Builds the wheel: runs cargo, reads the C header for cffi, and names the platform in the tag.

Set LISTENKIT_LIBRARY to the path of a shared library to pack that one and need no cargo.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include" / "listenkit.h"


def version() -> str:
    """The workspace's version: one for the crate, the C library and this package."""
    manifest = ROOT / "Cargo.toml"
    if not manifest.is_file():
        raise SystemExit(
            f"{manifest} is not there: listenkit is built from a checkout of the whole repository "
            "(pip install ./python), not from a copy of its python folder"
        )
    section = manifest.read_text(encoding="utf-8").split("[workspace.package]", 1)[1]
    found = re.search(r'^version\s*=\s*"([^"]+)"', section, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{manifest} has no workspace.package.version")
    return found[1]


def declarations(header: str) -> str:
    """What cffi understands of the header: types, functions, and constants that are numbers."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"#\s*if(?:def)?\s+[^\n]*__cplusplus.*?#\s*endif[^\n]*", "", text, flags=re.DOTALL)
    kept = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            found = re.match(r"\s*#\s*define\s+(LISTENKIT_\w+)\s+\(?(.+?)\)?\s*$", line)
            value = number(found[2]) if found else None
            if found and value is not None:
                kept.append(f"#define {found[1]} {value}")
        elif line.strip():
            kept.append(line)
    return "\n".join(kept)


def number(text: str) -> str | None:
    """A C integer constant as cffi takes it."""
    text = text.strip().strip("()").replace(" ", "")
    known = {"UINT32_MAX": str(2**32 - 1), "UINT64_MAX": str(2**64 - 1)}
    text = known.get(text, text)
    match = re.fullmatch(r"(-?(?:0[xX][0-9a-fA-F]+|\d+))[uUlL]*", text)
    if match is None:
        shifted = re.fullmatch(r"(\d+)[uUlL]*<<(\d+)", text)
        return None if shifted is None else str(int(shifted[1]) << int(shifted[2]))
    return match[1]


def library_name() -> str:
    if sys.platform == "win32":
        return "listenkit.dll"
    return "liblistenkit.dylib" if sys.platform == "darwin" else "liblistenkit.so"


def build_library() -> Path:
    """The shared library, from LISTENKIT_LIBRARY or from cargo."""
    given = os.environ.get("LISTENKIT_LIBRARY")
    if given:
        path = Path(given)
        if not path.is_file():
            raise SystemExit(f"LISTENKIT_LIBRARY is {given}, which is not a file")
        return path
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(ROOT / "ffi" / "Cargo.toml"), "--lib"]
    command += ["--message-format", "json-render-diagnostics"]
    command += os.environ.get("LISTENKIT_CARGO_ARGS", "").split()
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit("cargo is not on PATH: install Rust, or set LISTENKIT_LIBRARY to a built library") from None
    if done.returncode != 0:
        raise SystemExit("cargo could not build the listenkit library; its errors are above")
    suffix = Path(library_name()).suffix
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and "cdylib" in message["target"]["crate_types"]:
            for name in message["filenames"]:
                if name.endswith(suffix):
                    return Path(name)
    raise SystemExit(f"cargo built no {suffix}")


def strip(path: Path) -> None:
    """Symbols and debug information are of no use in a wheel."""
    tool = shutil.which("strip")
    if tool and sys.platform != "win32":
        flags = ["-x"] if sys.platform == "darwin" else ["--strip-unneeded"]
        subprocess.run([tool, *flags, str(path)], check=False)


def write_ffi(path: Path) -> None:
    """The out-of-line module: nothing is parsed when the package is imported."""
    from cffi import FFI

    ffi = FFI()
    ffi.set_source("listenkit._ffi", None)
    ffi.cdef(declarations(HEADER.read_text(encoding="utf-8")))
    ffi.emit_python_code(str(path))


class BuildNative(build_py):
    """Adds the library and the cffi module to the package."""

    def run(self) -> None:
        in_tree = Path(__file__).resolve().parent
        if not self.editable_mode:
            # Of an earlier build in this tree: modules that are gone would be packed again.
            shutil.rmtree(Path(self.build_lib) / "listenkit", ignore_errors=True)
        super().run()
        package = (in_tree if self.editable_mode else Path(self.build_lib)) / "listenkit"
        package.mkdir(parents=True, exist_ok=True)
        library = package / library_name()
        shutil.copyfile(build_library(), library)
        strip(library)
        write_ffi(package / "_ffi.py")


class PlatformWheel(bdist_wheel):
    """One wheel per platform, whatever the version of Python."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class NoSdist(sdist):
    """A source archive of this folder could not be built: the Rust code lies beside it."""

    def run(self) -> None:
        raise SystemExit("listenkit has no source archive; build wheels from a checkout: pip wheel ./python")


class WithLibrary(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(
    version=version(),
    distclass=WithLibrary,
    cmdclass={"build_py": BuildNative, "bdist_wheel": PlatformWheel, "sdist": NoSdist},
)
