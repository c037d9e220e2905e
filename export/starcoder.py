"""The special tokens and FIM prompts that Refact-1.6B shares with the StarCoder family."""

from __future__ import annotations

from typing import Any

# Their ids are their places here.
SPECIAL_TOKENS = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>",
    "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>",
    "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>",
    "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip


def special_id(token: str) -> int:
    """Return the id of a special token."""
    return SPECIAL_TOKENS.index(token)


def fim_prompts(*, default: str) -> dict[str, Any]:
    """Return the layouts of holes and of other open files for the manifest.

    `default` is the order, spm (suffix first) or psm. Files are introduced by their names as in
    StarCoder's pre-training.
    """
    prefix, middle, suffix = (
        special_id(f"<fim_{part}>") for part in ("prefix", "middle", "suffix")
    )
    return {
        "fim": {
            "default": default,
            "orders": {
                "spm": [suffix, "suffix", prefix, "prefix", middle],
                "psm": [prefix, "prefix", suffix, "suffix", middle],
            },
        },
        "file": [special_id("<filename>"), "{}\n"],
        "end_id": special_id("<|endoftext|>"),
        "special_ids": list(range(len(SPECIAL_TOKENS))),
    }
