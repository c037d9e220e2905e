"""Verification of a bundle before anything in it is opened."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edited import edit_manifest
from systems import needs_links

import refact_edge
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.bundle.contract import (
    read_bundle,
)
from refact_edge.runtime.bundle.verified import verify, verify_files, verify_standard
from refact_edge.runtime.errors import BundleError, OptionError


def test_an_untouched_bundle_passes(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    assert list(bundle.variants) == ["fp32", "fp16", "int8", "int4"]
    for name in bundle.variants:
        verify(bundle, name)
        verify_standard(bundle, name)
    on_disk = {p.relative_to(tiny_bundle).as_posix() for p in tiny_bundle.rglob("*") if p.is_file()}
    assert on_disk == {*bundle.files, layout.MANIFEST}


def test_a_folder_that_is_no_bundle_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no refact_edge\.json.*refact-edge export"):
        refact_edge.load(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        refact_edge.load(tmp_path / "nowhere")
    (tmp_path / "a.py").write_text("x")
    with pytest.raises(BundleError, match=r"a\.py is a file; expected the folder of a bundle"):
        refact_edge.load(tmp_path / "a.py")


def test_a_bundle_that_a_killed_export_has_moved_aside_is_put_back(bundle_copy: Path) -> None:
    """As on systems that cannot exchange two names."""
    bundle_copy.rename(bundle_copy.with_name(".bundle.partial-0123abcd.old"))
    assert read_bundle(bundle_copy).architecture == "gpt_refact"
    assert [path.name for path in bundle_copy.parent.iterdir()] == ["bundle"]


def test_a_missing_file_is_named(bundle_copy: Path) -> None:
    (bundle_copy / "onnx" / "model_q4.onnx_data").unlink()
    with pytest.raises(BundleError, match=r"onnx/model_q4\.onnx_data is missing"):
        refact_edge.load(bundle_copy, variant="int4")
    refact_edge.load(bundle_copy, variant="int8")


def test_one_altered_byte_is_noticed(bundle_copy: Path) -> None:
    file = bundle_copy / "onnx" / "model_q4.onnx_data"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"model_q4\.onnx_data was altered: its sha256"):
        refact_edge.load(bundle_copy, variant="int4")


def test_a_cut_file_is_noticed_without_hashing(bundle_copy: Path) -> None:
    file = bundle_copy / "onnx" / "model_q4.onnx_data"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BundleError, match=r"has \d+ bytes, the manifest says \d+"):
        refact_edge.load(bundle_copy, variant="int4", hashes=False)


def test_all_that_is_wrong_is_listed(bundle_copy: Path) -> None:
    (bundle_copy / "tokenizer.json").unlink()
    (bundle_copy / "onnx" / "engine_q4.onnx").write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing; .*engine_q4\.onnx has 2"):
        refact_edge.load(bundle_copy)


def test_what_the_runtime_never_opens_may_be_edited(bundle_copy: Path) -> None:
    (bundle_copy / "README.md").write_text("my own words")
    (bundle_copy / "genai_config.json").unlink()
    (bundle_copy / layout.standard_graph("int4")).write_bytes(b"not ours to open")
    with pytest.raises(BundleError, match=r"model_q4\.onnx has 16 bytes"):
        verify_standard(read_bundle(bundle_copy), "int4")
    assert refact_edge.load(bundle_copy).variant == "int4"


def test_another_format_and_broken_manifests_are_refused(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, lambda manifest: manifest.update(format=99))
    with pytest.raises(BundleError, match="format 99, this runtime reads 2; update refact-edge"):
        read_bundle(bundle_copy)
    for content, complaint in (
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"format": 1, "sizes": {}}', "format 1, this runtime reads 2; export the model again"),
        ("{}", "format None, this runtime reads 2; export the model again"),
        ('{"format": 2}', "not a manifest of format 2 .'decoder' is missing.; export the model"),
        ("[" * 100_000, "not valid JSON"),
    ):
        (bundle_copy / layout.MANIFEST).write_text(content)
        with pytest.raises(BundleError, match=complaint):
            read_bundle(bundle_copy)


def test_an_unknown_variant_lists_those_there_are(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match=r"no variant 'int5'; it has: fp32, fp16, int8, int4$"):
        refact_edge.load(tiny_bundle, variant="int5")


def test_a_variant_that_was_not_exported_is_told_how_to_get(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, lambda manifest: manifest["variants"].pop("fp16"))
    with pytest.raises(OptionError, match=r"'fp16'; .*; export again with fp16 among --var"):
        refact_edge.load(bundle_copy, variant="fp16")


@needs_links
def test_links_are_followed_and_judged_by_content(bundle_copy: Path) -> None:
    file = bundle_copy / "onnx" / "model_q4.onnx_data"
    moved = bundle_copy.parent / "elsewhere"
    file.rename(moved)
    file.symlink_to(moved)
    assert refact_edge.load(bundle_copy, variant="int4").variant == "int4"
    moved.write_bytes(moved.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"model_q4\.onnx_data was altered: its sha256"):
        refact_edge.load(bundle_copy, variant="int4")


def test_a_tokenizer_left_out_of_the_manifest_is_not_opened(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, lambda manifest: manifest["files"].pop("tokenizer.json"))
    with pytest.raises(BundleError, match=r"tokenizer\.json is not in the manifest"):
        refact_edge.load(bundle_copy)


def _everywhere(**changes: object) -> Callable[[dict[str, Any]], object]:
    """Have the bundle's decoder and its variants' lie alike."""

    def edit(manifest: dict[str, Any]) -> None:
        for one in (manifest, *manifest["variants"].values()):
            one["decoder"].update(changes)

    return edit


MANIFEST_FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m["decoder"].update(layers="2"), r"decoder\.layers is '2', expected int"),
    (lambda m: m["decoder"].update(context=10**13), "context is 10000000000000, expected 1 to"),
    (lambda m: m["decoder"]["attention"].update(kv_heads=4), "6 heads in 4 groups"),
    (lambda m: m["decoder"]["attention"].update(kv_heads=2), "a decoder of other sizes"),
    (lambda m: m["decoder"].pop("tied"), "decoder lacks or should not have tied"),
    (lambda m: m["decoder"]["positions"].update(kind="sine"), r"positions\.kind is 'sine'"),
    (lambda m: m["decoder"]["positions"]["slopes"].pop(), "5 slopes for 6 heads"),
    (lambda m: m["decoder"]["norm"].update(epsilon=-1.0), r"norm\.epsilon is -1\.0"),
    (lambda m: m.update(tokens="420"), "tokens is '420', expected 1 to"),
    (lambda m: m.update(tokens=449), "449 tokens for 448 rows"),
    (lambda m: m.update(tokens=448), "has 420 tokens, the manifest says 448"),
    (_everywhere(layers=1), r"other weights than its decoder: layers\.1\.attention\.kv"),
    (_everywhere(layers=3), r"other weights than its decoder: layers\.2\.attention\.kv"),
    (_everywhere(vocabulary=500), "other weights than its decoder: embedding, head"),
    (_everywhere(tied=True), "other weights than its decoder: head"),
    (lambda m: m["variants"]["int4"].update(kv_type="junk"), "a cache of 'junk'"),
    (lambda m: m["variants"].update(int3=m["variants"]["int4"]), "variant 'int3'"),
    (lambda m: m.update(variants={}), "no variants"),
    (lambda m: m["sampling"].pop("max_tokens"), "unusable sampling defaults"),
    (lambda m: m["sampling"].update(heat=1), "unusable sampling defaults"),
    (lambda m: m["prompts"]["fim"]["orders"].update(spm=[3, "sufix"]), "layouts are unusable"),
    (lambda m: m["prompts"]["chat"]["layouts"].pop("user"), "no layout for user"),
    (
        lambda m: m["prompts"]["special_ids"].append(19),
        "not a special token that text cannot spell",
    ),
    (lambda m: m["prompts"].update(special_ids=[19]), "is not among the special ids"),
    (lambda m: m["prompts"]["special_ids"].append(-1), "-1 is no id"),
    (lambda m: m["prompts"]["special_ids"].extend(range(5000)), r"names \d+ special tokens"),
    (lambda m: m["prompts"]["chat"]["layouts"]["user"].append(None), "None is no id"),
    (lambda m: m["prompts"].update(file=[True, "{}"]), "True is no id"),
    (lambda m: m["prompts"].update(file=["{}"] * 65), "a layout of 65 parts"),
    (lambda m: m["prompts"].update(file=["{}" * 3000]), "or too long a text"),
    (lambda m: m["prompts"].update(end_ids=[30]), "end_ids: 30 is not among the special ids"),
    (lambda m: m["prompts"].update(start_ids=[-1]), "-1 is no id"),
    (lambda m: m["prompts"]["fim"]["orders"].update(odd=["suffix"]), "order odd with .'suffix'"),
    (lambda m: m["prompts"]["chat"].update(marks=[5]), "5 is no text"),
    (lambda m: m["prompts"]["chat"].update(system_rule="never"), "system_rule 'never'"),
    (lambda m: m["prompts"]["chat"].update(default_system=5), "5 is no text"),
    (lambda m: m["decoder"].update(layers=2**24), "layers is 16777216, expected 1 to 1024"),
    (
        lambda m: m["decoder"]["attention"].update(heads=2**24),
        "heads is 16777216, expected 1 to 1024",
    ),
    (lambda m: m["decoder"]["attention"].update(heads=True), "heads is True"),
    (lambda m: m["decoder"].update(context=math.nan), "context is nan"),
    (lambda m: m["files"]["tokenizer.json"].pop("sha256"), r"'tokenizer\.json' without bytes and"),
    (lambda m: m["files"]["README.md"].update(bytes="1"), r"'README\.md' without bytes and sha256"),
    (lambda m: m["provenance"].update(source=[{"file": 1, "bytes": 0, "sha256": ""}]), "source "),
    (lambda m: m["provenance"].update(source=[{}]), "not a manifest of format 2"),
    (lambda m: m["provenance"].update(source=5), "not a manifest of format 2"),
    (lambda m: m.update(architecture=["gpt_refact"]), r"architecture \['gpt_refact'\]"),
    (lambda m: m.update(architecture="\x1b[2J"), "architecture '.x1b"),
    (lambda m: m["variants"]["int4"].update(scheme=None), "variant 'int4'"),
    (lambda m: m["variants"]["int4"].update(bytes=1.5), "variant 'int4'"),
    (lambda m: m["sampling"].update(top_k=2.5), "top_k 2.5; expected a whole number"),
    (lambda m: m["sampling"].update(max_tokens=-1), "max_tokens -1"),
]


@pytest.mark.parametrize(("edit", "complaint"), MANIFEST_FAULTS)
def test_a_manifest_that_lies_is_refused(
    edit: Callable[[dict[str, Any]], object], complaint: str, bundle_copy: Path
) -> None:
    edit_manifest(bundle_copy, edit)
    with pytest.raises(BundleError, match=complaint):
        refact_edge.load(bundle_copy, variant="int4")


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "onnx/../../outside", "a\\..\\b", "C:x"]
)
def test_a_manifest_cannot_name_files_outside(bundle_copy: Path, name: str) -> None:
    entry = {"bytes": 0, "sha256": "0" * 64}
    edit_manifest(bundle_copy, lambda manifest: manifest["files"].update({name: entry}))
    bundle = read_bundle(bundle_copy)
    with pytest.raises(BundleError, match="is not a path inside the bundle"):
        verify_files(bundle, bundle.side_files())
