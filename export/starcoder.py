"""The special tokens of the StarCoder family, with which Refact-1.6B was trained too."""

from __future__ import annotations

# Their ids are their places here.
SPECIAL_TOKENS = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>",
    "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>",
    "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>",
    "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip
IDS = {token: place for place, token in enumerate(SPECIAL_TOKENS)}
