"""What is signed: names and digests of files, read and written."""

import hashlib
import json
from typing import Any

import pytest

from refact_edge.runtime.trust.statement import Statement, read_statement, written

ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))


def test_the_digest_of_all_files_is_that_of_theirs_folder_by_folder() -> None:
    files = {"a.txt": ONE, "a/b": TWO}
    expected = hashlib.sha256(bytes.fromhex(TWO) + bytes.fromhex(ONE)).hexdigest()
    assert Statement("model", files).digest == expected


def test_what_was_written_is_read_again() -> None:
    statement = Statement("model", {"b": ONE, "a": TWO})
    assert read_statement(written(statement)) == statement


def _twice(whole: dict[str, Any]) -> None:
    whole["predicate"]["resources"] *= 2


def _other_method(whole: dict[str, Any]) -> None:
    whole["predicate"]["serialization"]["method"] = "shards"


def _other_hash(whole: dict[str, Any]) -> None:
    whole["predicate"]["resources"][0]["algorithm"] = "blake3"


def _other_digest(whole: dict[str, Any]) -> None:
    whole["subject"][0]["digest"]["sha256"] = TWO


def _other_kind(whole: dict[str, Any]) -> None:
    whole["predicateType"] = "https://slsa.dev/provenance/v1"


def _no_subject(whole: dict[str, Any]) -> None:
    del whole["subject"]


WRONG = [
    (_twice, "names a file twice"),
    (_other_method, "not digested one by one by sha256"),
    (_other_hash, "no sha256 of 'a'"),
    (_other_digest, "not that of its files"),
    (_other_kind, "it states 'https://slsa.dev/provenance/v1', expected https://model_signing"),
    (_no_subject, "no statement of files"),
]


@pytest.mark.parametrize(("spoil", "complaint"), WRONG)
def test_a_statement_that_is_none_is_told(spoil: Any, complaint: str) -> None:
    whole = json.loads(written(Statement("model", {"a": ONE})))
    spoil(whole)
    with pytest.raises(ValueError, match=complaint):
        read_statement(json.dumps(whole).encode())
