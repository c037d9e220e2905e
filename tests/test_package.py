"""The house rules: packages, arrows between folders, a light and silent runtime."""

import ast
import gc
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import face
import pytest

import refact_edge
from refact_edge.runtime import errors
from refact_edge.runtime.opening.machine import why_not_native

FACE = Path(__file__).parent / "face.txt"
NOT_INSTALLED = {"tests", "demo", "bench", "docs", "examples", "build", "dist"}
HEAVY = {"torch", "transformers", "optimum", "onnx", "safetensors", "ml_dtypes"}
NETWORK = {"huggingface_hub", "httpx", "httpx2", "requests", "urllib3"}  # tokenizers brings some
# Which of our folders each one may import.
ARROWS = {
    "runtime": {"runtime"},
    "quant": {"quant", "runtime"},
    "export": {"export", "quant", "runtime"},
}


def _sources(root: Path, folder: str) -> Iterator[tuple[Path, ast.Module]]:
    # What earlier tests left is let go of first: where that parses code (tracebacks do) in the
    # middle of `ast.parse`, Python 3.11 gives a SystemError (CPython's issue 106905).
    gc.collect()
    for file in sorted((root / folder).rglob("*.py")):
        yield file, ast.parse(file.read_text(encoding="utf-8"))


def _imports(file: Path, tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield the absolute names of everything a file imports."""
    inside = ["refact_edge", *file.relative_to(root).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def test_every_folder_with_code_is_in_the_package_list(root: Path) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(["refact_edge", *file.parent.relative_to(root).parts])
        for file in root.rglob("*.py")
        if not file.relative_to(root).parts[0].startswith(".")
        and file.relative_to(root).parts[0] not in NOT_INSTALLED
    }
    assert found == set(listed)


@pytest.mark.parametrize("folder", ARROWS)
def test_imports_follow_the_arrows(folder: str, root: Path) -> None:
    for file, tree in _sources(root, folder):
        for name in _imports(file, tree, root):
            if name.startswith("refact_edge."):
                other = name.split(".")[1]
                assert other in ARROWS[folder] | {"__version__"}, f"{file} imports {name}"


def test_only_cli_files_import_click_and_only_one_file_each_engine(root: Path) -> None:
    users: dict[str, set[str]] = {"click": set(), "onnxruntime": set(), "openvino": set()}
    for folder in ARROWS:
        for file, tree in _sources(root, folder):
            for name in _imports(file, tree, root):
                if (package := name.split(".")[0]) in users:
                    users[package].add(file.relative_to(root).as_posix())
    shells = (
        "export",
        "export/kit",
        "quant",
        "quant/eval",
        "runtime/bench",
        "runtime/serve",
        "runtime/serve/lsp",
        "runtime/serve/sidecar",
    )
    outside = {file for file in users["click"] if not file.startswith("runtime/console/")}
    commands = (f"{folder}/cli.py" for folder in shells)
    assert outside == {"runtime/__main__.py", "runtime/serve/options.py", *commands}
    assert users["onnxruntime"] == {"runtime/backends/onnxruntime.py"}
    assert users["openvino"] == {"runtime/backends/openvino.py"}


def test_the_face_is_the_one_that_is_promised() -> None:
    assert list(face.lines()) == FACE.read_text(encoding="utf-8").splitlines()
    assert {*refact_edge.__all__} <= {*dir(refact_edge)}
    assert sorted(refact_edge.__all__) == refact_edge.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = refact_edge.nothing


def test_every_error_that_there_is_is_public() -> None:
    own = {name for name, value in vars(errors).items() if isinstance(value, type)}
    public = {name for name in own if issubclass(getattr(errors, name), (Exception, Warning))}
    assert public <= {*refact_edge.__all__}


def _run(script: str, *arguments: object, home: Path) -> str:
    """Run Python in a fresh home folder; returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        environment.pop(name, None)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    script = "import sys, refact_edge; print('\\n'.join(sys.modules))"
    loaded = set(_run(script, home=tmp_path).split())
    assert not loaded & {*HEAVY, *NETWORK, "onnxruntime", "numpy", "click"}


COMPLETE = """
import json, os, sys
sys.argv[:] = [
    "refact-edge", "complete", "--bundle", sys.argv[1], "--prefix", "a", "--engine", sys.argv[2]
]
connections = []
sys.addaudithook(lambda name, args: connections.append(name) if name == "socket.connect" else None)
from refact_edge.runtime.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
fds = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
       if os.path.exists(f"/proc/self/fd/{fd}")] if os.path.isdir("/proc/self/fd") else []
print(json.dumps({
    "modules": sorted(sys.modules),
    "telemetry": os.environ.get("ORT_DISABLE_TELEMETRY"),
    "connections": connections,
    "sockets": [name for name in fds if name.startswith("socket:")],
}))
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "native"])
def test_completing_loads_no_export_code_writes_no_file_and_opens_no_socket(
    tiny_bundle: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "native" and (reason := why_not_native()):
        pytest.skip(reason)
    state = json.loads(_run(COMPLETE, tiny_bundle, engine, home=tmp_path).splitlines()[-1])
    modules = set(state["modules"])
    assert ("onnxruntime" in modules) == (engine == "onnxruntime")
    assert not modules & (HEAVY | NETWORK)
    assert not [
        name for name in modules if name.startswith(("refact_edge.export", "refact_edge.quant"))
    ]
    assert state["telemetry"] == ("1" if engine == "onnxruntime" else None)
    assert (state["connections"], state["sockets"]) == ([], [])
    assert [str(path) for path in tmp_path.rglob("*")] == []


def test_the_system_sees_no_network_call_either(tiny_bundle: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, and Python alone sees only its own sockets")
    log = tmp_path / "calls"
    trace = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    command = [sys.executable, "-m", "refact_edge.runtime", "complete"]
    arguments = ["--bundle", str(tiny_bundle), "--prefix", "a", "--max-tokens", "3"]
    probe = subprocess.run([*trace, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()}")
    done = subprocess.run([*trace, *command, *arguments], capture_output=True, check=False)
    assert done.returncode == 0
    assert log.read_text() == ""


def test_telemetry_is_off_before_onnxruntime_is_imported(tmp_path: Path) -> None:
    script = """
import builtins, os
real, seen = builtins.__import__, []
def watch(name, *rest, **named):
    if name == "onnxruntime":
        seen.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
    return real(name, *rest, **named)
builtins.__import__ = watch
from refact_edge.runtime.backends.onnxruntime import import_onnxruntime
import_onnxruntime()
print(seen[0])
"""
    assert _run(script, home=tmp_path).strip() == "1"


def test_nothing_in_the_library_prints(root: Path) -> None:
    for folder in ARROWS:
        for file, tree in _sources(root, folder):
            calls = [
                node.lineno
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ]
            assert not calls, f"{file} prints in lines {calls}"
