"""Graphs composed from facts are the models that transformers has, whatever their blocks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from decoders import DECODERS, TOKENS, VARIANTS, decoder, logits, make_checkpoint
from more_decoders import MORE

from refact_edge.export.budget import Limit
from refact_edge.export.convert import export_bundle
from refact_edge.export.decoder import STREAM, STREAM_OUT
from refact_edge.export.fisher import observe
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.parity import compare
from refact_edge.export.progress import SILENT
from refact_edge.export.rotated import rotated_decoder
from refact_edge.export.scratch import Scratch
from refact_edge.export.sequential import Sequential
from refact_edge.export.stage_graph import Feeds
from refact_edge.export.variants import specs_in
from refact_edge.quant.pack import NO_ERROR, Packed, unpack
from refact_edge.quant.schemes import SCHEMES, Blocks, Floats, Form, Rows
from refact_edge.quant.texts.calibration import default_sources
from refact_edge.runtime.backends.onnxruntime import ask_for_exact_products, import_onnxruntime
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.bundle.contract import INPUT_IDS, Bundle, read_bundle
from refact_edge.runtime.bundle.decoder import EMBEDDING, HEAD, POSITIONS, Rotary
from refact_edge.runtime.bundle.places import NORM_MATRIX, ROTATION, Place
from refact_edge.runtime.bundle.verified import verify, verify_standard
from refact_edge.runtime.errors import CheckpointError

Logits = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
IDS = np.random.default_rng(7).integers(0, TOKENS, 90)
CUTS = {"whole": [90], "chunks": [1, 40, 3, 17, 29], "single tokens": [1] * 90}
TOLERANCE = 1e-4


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("checkpoints")

    def of(name: str) -> Path:
        path = folder / name
        return path if path.exists() else make_checkpoint(name, path)

    return of


class Plain:
    """A graph with its cache [1, G, S, D] as plain arrays."""

    def __init__(self, bundle: Bundle, variant: str, *, standard: bool) -> None:
        name = layout.standard_graph(variant) if standard else layout.engine_graph(variant)
        settings = import_onnxruntime().SessionOptions()
        ask_for_exact_products(settings)
        self._session = import_onnxruntime().InferenceSession(
            str(bundle.path / name), settings, providers=["CPUExecutionProvider"]
        )
        self._standard = standard
        sizes = bundle.sizes
        self._parts = [(i, part) for i in range(sizes.layers) for part in ("key", "value")]
        shape = (sizes.kv_heads, 0, sizes.head_size)
        if not standard:
            shape = (1, 0, sizes.kv_heads * sizes.head_size)
        empty = np.zeros((1, *shape), np.float32)
        self.past = {self._past(*part): empty for part in self._parts}

    def _past(self, layer: int, part: str) -> str:
        return layout.past_name(layer, part, standard=self._standard)

    def step(self, ids: Ids, mask: npt.NDArray[np.int64] | None = None) -> Logits:
        """Return the logits [T, V] of new ids."""
        seen = next(iter(self.past.values())).shape[2] + len(ids)
        more: dict[str, Any] = {layout.LOGITS_TO_KEEP: np.array(len(ids))}
        if self._standard:
            more = {layout.ATTENTION_MASK: np.ones((1, seen), np.int64) if mask is None else mask}
        outputs = [value.name for value in self._session.get_outputs()]
        feeds = {layout.INPUT_IDS: ids[None], **more, **self.past}
        made = dict(zip(outputs, self._session.run(None, feeds), strict=True))
        for part in self._parts:
            new = made[layout.present_name(*part)]
            name = self._past(*part)
            self.past[name] = new if self._standard else np.concatenate([self.past[name], new], 2)
        first: Logits = made[layout.LOGITS][0]
        return first

    def run(self, ids: Ids, cuts: Sequence[int]) -> Logits:
        """Return the logits of all ids, evaluated in pieces."""
        ends = np.cumsum(cuts)
        pieces = zip(ends - cuts, ends, strict=True)
        return np.concatenate([self.step(ids[start:end]) for start, end in pieces])


def assert_same(got: Logits, want: Logits, tolerance: float = TOLERANCE) -> None:
    assert np.abs(got - want).max() <= tolerance
    np.testing.assert_array_equal(got.argmax(1), want.argmax(1))


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_fp32_graphs_have_the_logits_of_transformers_however_text_is_cut(
    name: str, standard: bool, cuts: str, decoder_bundles: dict[str, Path]
) -> None:
    graph = Plain(read_bundle(decoder_bundles[name]), "fp32", standard=standard)
    assert_same(graph.run(IDS, CUTS[cuts]), logits(name, IDS))


@pytest.mark.parametrize("name", MORE)
def test_fp32_graphs_of_other_blocks_have_the_logits_of_transformers(
    name: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    export_bundle(checkpoints(name), tmp_path / "bundle", ["fp32"])
    bundle = read_bundle(tmp_path / "bundle")
    for standard in (False, True):
        graph = Plain(bundle, "fp32", standard=standard)
        assert_same(graph.run(IDS, CUTS["chunks"]), logits(name, IDS))


@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_padding_on_the_left_is_not_seen(name: str, decoder_bundles: dict[str, Path]) -> None:
    """Rotary positions are relative, so that text may begin anywhere."""
    bundle = read_bundle(decoder_bundles[name])
    padded = np.concatenate([np.zeros(5, np.int64), IDS[:40]])
    mask = np.concatenate([np.zeros(5, np.int64), np.ones(40, np.int64)])[None]
    got = Plain(bundle, "fp32", standard=True).step(padded, mask)[5:]
    assert_same(got, logits(name, IDS[:40]))


@pytest.mark.parametrize("name", [*DECODERS, *MORE])
def test_a_rotated_model_has_the_same_logits(name: str, checkpoints: Callable[[str], Path]) -> None:
    checked = inspect_checkpoint(checkpoints(name), SILENT)
    want = logits(name, IDS)
    for rotated in (False, True):
        (got,) = Layerwise(checked, rotated=rotated).evaluate([IDS], lambda _done: None)()
        assert_same(got, want, 2e-4)


@pytest.mark.parametrize("variant", ["int8", "int4"])
@pytest.mark.parametrize("name", DECODERS)
def test_quantized_graphs_compute_what_their_codes_stand_for(
    name: str,
    variant: str,
    decoder_bundles: dict[str, Path],
    checkpoints: Callable[[str], Path],
) -> None:
    """Up to the rounding of activations to bytes."""
    bundle = read_bundle(decoder_bundles[name])
    data = np.fromfile(bundle.path / layout.weights_file(variant), np.uint8)
    places = bundle.variants[variant].weights
    shared = NORM_MATRIX in places
    tables = {POSITIONS} if shared else {EMBEDDING, POSITIONS}
    weights = {
        role: _floats(place, data, table=role in tables)
        for role, place in places.items()
        if role != ROTATION
    }
    if shared:
        weights[HEAD] = weights[EMBEDDING] @ weights.pop(NORM_MATRIX)
    model = Layerwise(inspect_checkpoint(checkpoints(name), SILENT), rotated=True)
    (want,) = model.evaluate([IDS], lambda _done: None, weights)()
    for standard, cuts in ((False, "whole"), (False, "chunks"), (True, "chunks")):
        got = Plain(bundle, variant, standard=standard).run(IDS, CUTS[cuts])
        assert np.linalg.norm(got - want) <= 0.03 * np.linalg.norm(want)


def _floats(place: Place, data: npt.NDArray[np.uint8], *, table: bool) -> Logits:
    """Return a weight [N, K] as its codes tell."""
    parts = {}
    for key, part in place.parts.items():
        raw = data[part.offset : part.offset + part.length]
        parts[key] = raw.view(part.type).reshape(part.shape)
    rows, columns = (1, *place.shape)[-2:]
    form: Form
    if place.form == "blocks":
        form = Blocks(place.bits, place.block)
        short = -columns % place.block * place.bits // 8
        codes = parts["codes"].reshape(rows, -1)
        parts["codes"] = np.pad(codes, ((0, 0), (0, short if table else 0)))
    elif place.form == "rows":
        form = Rows()
        parts["codes"] = parts["codes"] if table else parts["codes"].T
    else:
        form = Floats("float32")
        values = parts["values"].reshape(1, -1) if len(place.shape) == 1 else parts["values"]
        parts["values"] = values if table or len(place.shape) == 1 else values.T
    return unpack(Packed(form, (rows, columns), parts, NO_ERROR))


def test_parity_finds_a_model_of_transformers_exact(
    decoder_bundles: dict[str, Path],
) -> None:
    bundle = decoder_bundles["gpt_bigcode"]
    checkpoint = bundle.parent / "checkpoint"
    result = compare(checkpoint, bundle, variants=["fp32"], prompt_tokens=100, greedy_tokens=20)
    assert result["fp32"].exact


def shares(name: str) -> bool:
    """Whether int4 of a model has its embedding as head, too."""
    return decoder(name).tied and decoder(name).norm.kind == "rms"


@pytest.mark.parametrize("name", DECODERS)
def test_what_a_rounded_layer_leaves_is_what_running_it_gives(
    name: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    checked = inspect_checkpoint(checkpoints(name), SILENT)
    model, scratch = Layerwise(checked, rotated=True), Scratch(tmp_path)
    fisher = observe(model, [IDS], checked.sizes.tokens, scratch.inside("fisher"), lambda _: None)
    scheme = SCHEMES["int4"]
    specs = {spec.name: spec for spec in specs_in(checked.decoder, scheme)}
    own = scratch.inside("int4")
    rounding = Sequential(model, scheme, [IDS], fisher).run(specs, own)
    weights = {result.spec.name: unpack(result.packed) for result in next(rounding)}
    (stream,) = model.embedded([IDS], weights)
    for number in range(1, model.layers + 1):
        weights = {result.spec.name: unpack(result.packed) for result in next(rounding)}
        fed = model.layer.fed(weights)
        feeds: Feeds = {INPUT_IDS: IDS[None], STREAM: stream}
        stream = model.layer.run(fed, feeds, [STREAM_OUT])[STREAM_OUT]
        left = own.load(f"stream.{number}")["texts"].astype(np.float32)
        np.testing.assert_allclose(left, stream, rtol=1e-3, atol=1e-4 * float(np.abs(stream).max()))


@pytest.mark.parametrize("name", DECODERS)
def test_calibration_and_mixed_forms_see_every_product(
    name: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    plain = export_bundle(checkpoints(name), tmp_path / "plain", ["int4"])
    limit = Limit(bytes=int(1.1 * plain.manifest["variants"]["int4"]["bytes"]))
    sources = default_sources()[:2]
    mixed = tmp_path / "mixed"
    export_bundle(
        checkpoints(name), mixed, ["int4"], calibration=sources, limit=limit, effort="more"
    )
    report = read_bundle(mixed).variants["int4"].report
    chosen = [role for roles in report["mix"].values() for role in roles]
    outside = ("embedding",) if shares(name) else ("embedding", "head")
    assert len(chosen) == len(outside) + 5 * decoder(name).layers
    assert set(outside) <= set(chosen)
    assert all("output_error" in row for row in report["worst"])


@pytest.mark.parametrize("name", DECODERS)
def test_the_manifest_tells_the_facts_of_the_model_and_of_each_variant(
    name: str, decoder_bundles: dict[str, Path]
) -> None:
    bundle = read_bundle(decoder_bundles[name])
    assert bundle.decoder == decoder(name) == bundle.variants["fp32"].decoder
    rotated = rotated_decoder(decoder(name))
    assert bundle.variants["int8"].decoder == rotated
    assert bundle.variants["int4"].decoder == replace(rotated, tied=shares(name))
    assert (rotated.norm.bias, rotated.tied) == (False, False)
    assert rotated.head_bias == decoder(name).norm.bias
    for variant in VARIANTS:
        verify(bundle, variant)
        verify_standard(bundle, variant)


def test_a_tied_head_is_stored_once_where_it_can_be_and_its_copy_is_told_where_not(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    done = export_bundle(checkpoints("llama"), tmp_path / "bundle", ["fp32", "int8", "int4"])
    variants = read_bundle(tmp_path / "bundle").variants
    assert {name for name in variants if "head" in variants[name].weights} == {"int8"}
    size = sum(part.length for part in variants["int8"].weights["head"].parts.values())
    assert [note for note in done.notes if "head" in note] == [
        f"int8: the head no longer shares the embedding's weights, and takes {size:,} bytes"
    ]
    embedding = variants["int4"].weights["embedding"]
    assert (embedding.form, embedding.bits) == ("blocks", 8)


def test_a_tied_head_of_a_model_whose_mean_goes_out_has_a_copy(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    name = next(
        name for name in DECODERS if decoder(name).tied and decoder(name).norm.kind == "layer"
    )
    export_bundle(checkpoints(name), tmp_path / "bundle", ["int4"])
    assert "head" in read_bundle(tmp_path / "bundle").variants["int4"].weights


def test_nodes_are_named_by_paths_and_graphs_say_what_they_are(
    decoder_bundles: dict[str, Path],
) -> None:
    file = decoder_bundles["gpt_neox"] / layout.engine_graph("int4")
    model = onnx.load(file, load_external_data=False)
    names = {node.name for node in model.graph.node}
    assert {
        "layers.1/attention/q/MatMulNBits",
        "layers.1/attention/k_rotary/Add",
        "layers.0/norm2/LayerNormalization",
        "layers.0/mlp/Gelu",
        "head/MatMulNBits",
    } <= names
    assert len(names) == len(model.graph.node)
    assert {entry.key for entry in model.metadata_props} == {"variant", "scheme"}


def _without(name: str, tensors: dict[str, np.ndarray]) -> None:
    del tensors[name]


def _cut(name: str, tensors: dict[str, np.ndarray]) -> None:
    tensors[name] = tensors[name][:-1].copy()


def _untied(name: str, tensors: dict[str, np.ndarray]) -> None:
    tensors[name] = np.ones((448, 96), np.float32)


QKV = "gpt_neox.layers.1.attention.query_key_value"
FAULTS = [
    ("gpt_neox", partial(_without, f"{QKV}.bias"), "lacks 1 tensors beside 28 expected ones"),
    ("gpt_neox", partial(_cut, f"{QKV}.weight"), r"has shape \[287, 96\], expected \[288, 96\]"),
    ("gpt_bigcode", partial(_cut, "transformer.h.0.attn.c_attn.weight"), r"expected \[128, 96\]"),
    ("llama", partial(_untied, "lm_head.weight"), "differ, and config.json says that they are"),
]


@pytest.mark.parametrize(("name", "edit", "complaint"), FAULTS)
def test_tensors_that_the_table_has_otherwise_are_named(
    name: str, edit: Callable[[dict[str, np.ndarray]], None], complaint: str, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = make_checkpoint(name, tmp_path / name)
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(folder, SILENT)


def test_facts_that_no_runtime_takes_are_told_by_config(tmp_path: Path) -> None:
    folder = make_checkpoint("gpt_neox", tmp_path / "c")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"rotary_pct": 0.25', '"rotary_pct": 0.2'))
    assert isinstance(decoder("gpt_neox").positions, Rotary)
    with pytest.raises(CheckpointError, match=r"config\.json: positions\.dims is 3, expected even"):
        inspect_checkpoint(folder, SILENT)
