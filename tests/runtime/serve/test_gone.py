"""A bundle that is moved away, or changed, while it is served."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, serving, wait_for
from systems import needs_links

from refact_edge.runtime.serve.web import pages

ASK = {"prompt": "a", "max_tokens": 1, "temperature": 0}
READ_FILES = ("/api/tags", "/api/ps", "/tokenizer/tiny")


@pytest.fixture
def served(bundle_copy: Path) -> Iterator[Served]:
    with serving(bundle_copy) as server:
        yield server


def _move(bundle: Path) -> Path:
    return bundle.rename(bundle.with_name("elsewhere"))


def test_what_reads_its_files_is_answered_503_and_the_rest_goes_on(
    served: Served, bundle_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _move(bundle_copy)
    with caplog.at_level(logging.ERROR, "refact_edge.serve"):
        for path in READ_FILES:
            reply = served.http.get(path)
            assert reply.status_code == 503, path
            error = reply.json()["error"]
            text = error if path.startswith("/api/") else error["message"]
            assert text == "a file cannot be read any more; the server's log tells which"
            assert str(bundle_copy) not in reply.text
        assert served.post("/api/show", model="m").status_code == 503
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(READ_FILES) + 1
    assert all(str(bundle_copy) in message and "\n" not in message for message in messages)
    for path in ("/health", "/v1/models", "/props", "/refact-caps", "/api/version", "/metrics"):
        assert served.http.get(path).status_code == 200, path
    assert served.post("/v1/completions", **ASK).status_code == 200


def test_files_that_are_back_are_read_again(served: Served, bundle_copy: Path) -> None:
    _move(bundle_copy).rename(bundle_copy)
    for path in READ_FILES:
        assert served.http.get(path).status_code == 200, path
    assert served.http.get("/tokenizer/tiny").json()["model"]["type"] == "BPE"


@needs_links
def test_a_tokenizer_that_became_a_link_to_something_else_is_not_told(
    served: Served, bundle_copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, secret = bundle_copy / "tokenizer.json", tmp_path / "secret"
    secret.write_text("sesame")
    file.rename(tmp_path / "kept")
    file.symlink_to(secret)
    reply = served.http.get("/tokenizer/tiny")
    assert (reply.status_code, "sesame" in reply.text) == (503, False)
    assert "tokenizer.json was altered: its sha256 is not the manifest's; put it" in caplog.text
    file.unlink()
    file.symlink_to(tmp_path / "kept")
    assert served.http.get("/tokenizer/tiny").json()["model"]["type"] == "BPE"


def _damage(bundle: Path, name: str) -> None:
    """Damage one part of a bundle, in one of the ways that there are."""
    if name == "all":
        _move(bundle)
    elif name == "manifest":
        file = bundle / "refact_edge.json"
        file.write_text(file.read_text()[:100])
    elif name == "folder":
        (bundle / "refact_edge.json").unlink()
        (bundle / "refact_edge.json").mkdir()
    elif name == "weights":
        file = bundle / "onnx" / "model.onnx_data"
        file.write_bytes(file.read_bytes()[:-8])
    elif name == "other":
        file = bundle / "refact_edge.json"
        manifest = json.loads(file.read_text())
        manifest["variants"].pop("fp32")
        file.write_text(json.dumps(manifest))
    else:
        (bundle / name).unlink()


@pytest.mark.parametrize(
    "part", ["all", "manifest", "folder", "weights", "other", "tokenizer.json"]
)
def test_a_model_that_was_let_go_is_opened_once_its_bundle_is_right_again(
    served: Served,
    bundle_copy: Path,
    tiny_bundle: Path,
    part: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert served.post("/api/generate", keep_alive=0).status_code == 200
    wait_for(lambda: not served.service.loaded)
    _damage(bundle_copy, part)
    with caplog.at_level(logging.ERROR, "refact_edge.serve"):
        reply = served.post("/v1/completions", **ASK)
    assert reply.status_code == 503, reply.text
    assert "the server's log tells why" in reply.json()["error"]["message"]
    (record,) = caplog.records
    assert str(bundle_copy) in record.getMessage()
    assert served.http.get("/health").json()["loaded"] is False
    for file in tiny_bundle.rglob("*"):
        if file.is_file():
            copy = bundle_copy / file.relative_to(tiny_bundle)
            if copy.is_dir():
                copy.rmdir()
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    assert served.post("/v1/completions", **ASK).status_code == 200


def test_any_error_of_the_system_that_keeps_a_model_from_opening_is_503(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.post("/api/generate", keep_alive=0).status_code == 200

    def vanished() -> None:
        raise FileNotFoundError(2, "No such file or directory", "/secret/model.onnx")

    with monkeypatch.context() as patch:
        patch.setattr(served.service, "_open", vanished)
        reply = served.post("/v1/completions", **ASK)
        assert reply.status_code == 503
        assert "secret" not in reply.text
    assert served.post("/v1/completions", **ASK).status_code == 200


def test_a_page_whose_files_were_removed_is_503(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", tmp_path)
    reply = served.http.get("/", headers={"accept": "text/html"})
    assert (reply.status_code, reply.json()["error"]["type"]) == (503, "unavailable_error")
