"""The native step: its products against plain sums, and the whole of it against onnxruntime."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels_built import KernelsBuilt

import refact_edge
from refact_edge.export import quality
from refact_edge.export.quality import default_data, measure_bundle
from refact_edge.runtime.backends.native import weights
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.backends.native.weights import alibi_slopes
from refact_edge.runtime.bundle.contract import Bundle, read_bundle
from refact_edge.runtime.bundle.onnxfile import HALF, UINT8, OnnxGraph, Place, Tensor, read_graph
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.machine.library import Native, computes_rightly, opened

HERE = Path(__file__).parent
X86 = ["amx", "avx512vnni", "avxvnni", "avx2"]
CPUS = [*X86, "portable"]
WARNINGS = "-g", "-O1", "-Wall", "-Wextra", "-Werror"
# What a kind needs, in Linux's words.
FEATURES = {
    "amx": {"amx_tile", "amx_int8", "avx512_vnni", "avx512bw", "avx512dq", "avx512vl", "avx2"},
    "avx512vnni": {"avx512_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2"},
    "avxvnni": {"avx_vnni", "avx2", "fma", "f16c"},
    "avx2": {"avx2", "fma", "f16c"},
    "i8mm": {"i8mm", "asimddp"},
    "neon": {"asimddp"},
}


@pytest.fixture(scope="session")
def compiler() -> str:
    found = next((name for name in ("gcc", "cc") if shutil.which(name)), None)
    if found is None:
        pytest.skip("no GCC: install gcc")
    return found


@pytest.fixture(scope="session")
def built(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> KernelsBuilt:
    return KernelsBuilt(compiler, tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def library() -> Native:
    try:
        return opened()
    except OptionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def bundle(demo_bundle: Path) -> Bundle:
    return read_bundle(demo_bundle)


@pytest.fixture(params=CPUS)
def cpu(request: pytest.FixtureRequest, library: Native) -> str:
    name: str = request.param
    if name not in library.able:
        pytest.skip(f"this CPU cannot compute as {name}")
    return name


@pytest.fixture
def native(cpu: str, bundle: Bundle, library: Native) -> NativeSession:
    return NativeSession(verify(bundle, "int4"), threads=2, cpu=cpu, native=library)


def _ids(bundle: Bundle, count: int, seed: int = 0) -> np.ndarray:
    model = refact_edge.load(bundle.path, variant="int4", hashes=False, engine="onnxruntime")
    text = Path(__file__).read_text(encoding="utf-8")
    return np.array(model.tokens.encode(text)[seed : seed + count])


def _check(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("products\n")


@pytest.fixture(scope="session")
def sanitized(built: KernelsBuilt) -> Path:
    return built.program(HERE / "products.c", *_sanitizing("address,undefined"))


def _sanitizing(sanitizers: str) -> tuple[str, ...]:
    return (*WARNINGS, f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all")


def test_products_have_the_bits_of_plain_c_and_are_within_the_bound_under_sanitizers(
    sanitized: Path, cpu: str
) -> None:
    """Token counts to 32, odd widths, whole panels and others, extremes; codes at both ends."""
    _check(sanitized, cpu)


def test_products_of_made_up_shapes_have_the_bits_of_plain_c_under_sanitizers(
    sanitized: Path, cpu: str
) -> None:
    _check(sanitized, cpu, 1, 200)


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_whole_steps_of_odd_sizes_are_the_same_however_they_are_cut_under_sanitizers(
    built: KernelsBuilt, library: Native, sanitizer: str
) -> None:
    program = built.program(HERE / "steps.c", *_sanitizing(sanitizer))
    logits = {}
    for cpu in library.able:
        done = subprocess.run(
            [program, cpu, "1", "12"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        count, _, logits[cpu] = done.stdout.partition(" models, logits ")
        assert count == "12"
    assert len({text for cpu, text in logits.items() if cpu in X86}) <= 1, logits


@pytest.mark.parametrize("cpu", ["avx2", "portable"])  # what valgrind knows
def test_products_are_clean_under_valgrind(built: KernelsBuilt, cpu: str) -> None:
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind: install it to look for uninitialized memory")
    if cpu == "avx2" and "avx2" not in opened().able:
        pytest.skip("this CPU cannot compute as avx2")
    program = built.program(HERE / "products.c", "-g", "-O1")
    _check("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", program, cpu, 1, 20)


def test_logits_are_onnxruntimes_but_for_rounded_last_digits(
    native: NativeSession, bundle: Bundle
) -> None:
    """Onnxruntime's own differ as much between tokens at once and one by one."""
    model = refact_edge.load(bundle.path, variant="int4", hashes=False, engine="onnxruntime")
    session = model.session
    ids = _ids(bundle, 60)
    at_once = session.step(ids, session.new_cache(), len(ids))
    cache = session.new_cache()
    alone = np.concatenate([session.step(ids[i : i + 1], cache) for i in range(len(ids))])
    mine = native.step(ids, native.new_cache(), len(ids))
    theirs = np.abs(at_once - alone).max()
    assert np.abs(mine - alone).max() <= max(2 * theirs, 1e-3)
    assert (mine.argmax(1) == alone.argmax(1)).mean() > 0.95


def test_the_report_through_the_native_kernels_is_not_worse(
    demo_checkpoint: Path, bundle: Bundle, library: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runner(*_: object) -> Callable[[np.ndarray], np.ndarray]:
        session = NativeSession(verify(bundle, "int4"), threads=2, native=library)
        return lambda ids: session.step(np.asarray(ids), session.new_cache(), len(ids))

    given: dict[str, Any] = {"data": default_data(), "variants": ["int4"]}
    theirs = measure_bundle(demo_checkpoint, bundle.path, **given)["variants"]["int4"]
    monkeypatch.setattr(quality, "_runner", runner)
    mine = measure_bundle(demo_checkpoint, bundle.path, **given)["variants"]["int4"]
    assert mine["mean_kl"] <= 1.03 * theirs["mean_kl"]
    assert mine["top1_agreement"] >= theirs["top1_agreement"] - 0.005


def test_every_chunking_gives_the_same_to_the_last_bit(
    native: NativeSession, bundle: Bundle
) -> None:
    ids = _ids(bundle, 50)
    whole = native.step(ids, native.new_cache(), len(ids))
    for sizes in ([1] * 50, [7, 20, 3, 20], [49, 1], [2, 16, 32], [3, 4, 5, 8, 9, 10, 11]):
        cache, parts, at = native.new_cache(), [], 0
        for size in sizes:
            parts.append(native.step(ids[at : at + size], cache, size))
            at += size
        assert np.array_equal(np.concatenate(parts), whole), sizes


def test_the_last_logits_alone_are_those_of_all(native: NativeSession, bundle: Bundle) -> None:
    ids = _ids(bundle, 40)
    whole = native.step(ids, native.new_cache(), 40)
    for keep in (1, 3, 8, 16, 17):
        assert np.array_equal(native.step(ids, native.new_cache(), keep), whole[-keep:]), keep


def test_any_number_of_threads_gives_the_same(bundle: Bundle, library: Native) -> None:
    ids = _ids(bundle, 40)
    found = []
    for threads in (1, 2, 5):
        native = NativeSession(verify(bundle, "int4"), threads=threads, native=library)
        found.append(native.step(ids, native.new_cache(), 3))
        native.close()
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_rewound_cache_is_gone_on_from(native: NativeSession, bundle: Bundle) -> None:
    ids = _ids(bundle, 30)
    cache = native.new_cache()
    native.step(ids, cache)
    cache.rewind(10)
    again = native.step(ids[10:], cache)
    assert np.array_equal(again, native.step(ids, native.new_cache()))


def test_every_kind_of_x86_gives_the_same_logits_to_the_last_bit(
    bundle: Bundle, library: Native
) -> None:
    kinds = [name for name in library.able if name in X86]
    if len(kinds) < 2:
        pytest.skip(f"this CPU computes as {' and '.join(kinds) or 'no x86'} only")
    ids = _ids(bundle, 40)
    first, *others = (
        NativeSession(verify(bundle, "int4"), threads=2, cpu=name, native=library) for name in kinds
    )
    for count in (1, 2, 4, 5, 8, 9, 16, 17, 40):
        right = first.step(ids[:count], first.new_cache(), count)
        for other in others:
            assert np.array_equal(right, other.step(ids[:count], other.new_cache(), count)), count


def test_the_library_names_every_kind_that_linux_says_this_cpu_can(library: Native) -> None:
    """A runtime that answers no to every question once made each CPU `portable`, silently."""
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("the system tells no features of its CPU")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    features = next(set(line.split()) for line in lines if line.startswith(("flags", "Features")))
    able = [kind for kind, needs in FEATURES.items() if needs <= features]
    assert library.able == [*able, "portable"]


def test_short_last_blocks_and_odd_heads_are_computed(tiny_bundle: Path, cpu: str) -> None:
    bundle = read_bundle(tiny_bundle)
    theirs = refact_edge.load(tiny_bundle, variant="int4", engine="onnxruntime").session
    mine = NativeSession(verify(bundle, "int4"), threads=2, cpu=cpu)
    ids = np.arange(3, 43)
    right = theirs.step(ids, theirs.new_cache(), 40)
    found = mine.step(ids, mine.new_cache(), 40)
    assert np.abs(found - right).max() <= 0.02 * np.abs(right).max()
    assert (found.argmax(1) == right.argmax(1)).mean() >= 0.95


def test_another_graph_is_refused(tiny_bundle: Path, library: Native) -> None:
    found = read_graph(tiny_bundle / "onnx" / "engine.onnx")
    with pytest.raises(weights.OtherGraphError, match="it runs on onnxruntime only"):
        weights.check_operators(found, read_bundle(tiny_bundle).sizes, turned=False)
    found = read_graph(tiny_bundle / "onnx" / "engine_q4.onnx")
    with pytest.raises(weights.OtherGraphError, match="is not 97 x 96 in blocks of 128"):
        weights.matrix(found, "layers.0.attention.q", 97, 96)


Q = "layers.0.attention.q"


def _changed(graph: OnnxGraph, name: str, **changes: Any) -> None:
    graph.tensors[name] = replace(graph.tensors[name], **changes)


def _moved(graph: OnnxGraph, name: str, offset: int) -> None:
    place = graph.tensors[name].place
    assert place is not None
    _changed(graph, name, place=replace(place, offset=offset))


def _without_slopes(graph: OnnxGraph) -> None:
    slopes = [name for name, tensor in graph.tensors.items() if tensor.dims == (6, 1)]
    for name in slopes:
        del graph.tensors[name]


def _replaced(graph: OnnxGraph, of: str, **changes: Any) -> OnnxGraph:
    """Return the graph with the first node of an operator changed."""
    nodes = list(graph.nodes)
    first = next(i for i, node in enumerate(nodes) if node.operator == of)
    nodes[first] = replace(nodes[first], **changes)
    return replace(graph, nodes=tuple(nodes))


def _norms(graph: OnnxGraph, *epsilons: float) -> None:
    norms = [node for node in graph.nodes if node.operator == "LayerNormalization"]
    for node, epsilon in zip(norms, epsilons, strict=False):
        node.attributes["epsilon"] = epsilon


ODD = {
    "raw codes": lambda g: _changed(g, f"{Q}.codes", raw=bytes(6144), place=None),
    "codes of another size": lambda g: _changed(g, f"{Q}.codes", dims=(96, 1, 63)),
    "scales at an odd place": lambda g: _moved(g, f"{Q}.scales", 7),
    "a norm at an odd place": lambda g: _moved(g, "norm.weight", 6),
    "no scales": lambda g: g.tensors.pop(f"{Q}.scales"),
    "an epsilon below 0": lambda g: _norms(g, *[-1.0] * 5),
    "two epsilons": lambda g: _norms(g, 1e-3),
    "zero points": lambda g: _replaced(g, "MatMulNBits", inputs=("a", "b", "c", "d")),
    "other slopes": _without_slopes,
    "another operator": lambda g: _replaced(g, "Softmax", operator="Sigmoid"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_graph_is_refused(odd: str, tiny_bundle: Path, library: Native) -> None:
    graph = read_graph(tiny_bundle / "onnx" / "engine_q4.onnx")
    changed = ODD[odd](graph)
    graph = changed if isinstance(changed, OnnxGraph) else graph
    verified = replace(verify(read_bundle(tiny_bundle), "int4"), graph=graph)
    with pytest.raises(weights.OtherGraphError, match=r"onnxruntime only|where the native step"):
        NativeSession(verified, native=library)


def test_sizes_beyond_the_kernels_are_refused() -> None:
    tensors = [
        Tensor("w.codes", UINT8, (1, 513, 64), b"", Place("w", 0, 513 * 64)),
        Tensor("w.scales", HALF, (1, 513), b"", Place("w", 0, 2 * 513)),
    ]
    graph = OnnxGraph((), {tensor.name: tensor for tensor in tensors}, {})
    with pytest.raises(weights.OtherGraphError, match="w is not 1 x 65664"):
        weights.matrix(graph, "w", 1, 513 * 128)


def test_a_layer_wider_than_the_others_is_refused(bundle_copy: Path, library: Native) -> None:
    """All buffers are made by the sizes of one layer."""
    graph = read_graph(bundle_copy / "onnx" / "engine_q4.onnx")
    codes = graph.tensors["layers.1.mlp.gate_up.codes"]
    scales = graph.tensors["layers.1.mlp.gate_up.scales"]
    rows = codes.dims[0] + 256
    _changed(graph, codes.name, dims=(rows, *codes.dims[1:]))
    _changed(graph, scales.name, dims=(rows, *scales.dims[1:]))
    verified = replace(verify(read_bundle(bundle_copy), "int4"), graph=graph)
    with pytest.raises(weights.OtherGraphError, match=r"layers\.1\.mlp\.gate_up.* is not"):
        NativeSession(verified, native=library)


def test_ids_that_are_none_and_missing_libraries_are_told(
    bundle: Bundle, library: Native, tmp_path: Path
) -> None:
    native = NativeSession(verify(bundle, "int4"), threads=1)
    with pytest.raises(ValueError, match="expected some from 0"):
        native.step(np.array([10**9]), native.new_cache())
    with pytest.raises(ValueError, match="keep 2 of 1"):
        native.step(np.array([1]), native.new_cache(), 2)
    with pytest.raises(OptionError, match="where there is GCC 11"):
        Native(tmp_path / "_edge.so")
    (tmp_path / "_edge.so").write_text("no library")
    with pytest.raises(OptionError, match="cannot be loaded"):
        Native(tmp_path / "_edge.so")


def test_the_self_test_passes_and_sees_a_wrong_product(
    library: Native, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert computes_rightly(library, cpu)
    right = Native.product

    def off_by_little(self: Native, *given: Any) -> Any:
        return right(self, *given) * np.float32(1.001)

    monkeypatch.setattr(Native, "product", off_by_little)
    assert not computes_rightly(library, cpu)


def test_slopes_are_those_of_the_graph() -> None:
    assert alibi_slopes(4) == [0.25, 0.0625, 0.015625, 0.00390625]
    assert np.allclose(alibi_slopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125])
