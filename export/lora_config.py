"""What an adapter_config.json of PEFT means for the weights: a plain sum, and at what scale.

Several kinds of adapter look like plain LoRA in their tensors and mean something else: PiSSA's and
OLoRA's belong to base weights that were changed before the training. So a field is taken when it
is known to be harmless, and refused by its name otherwise. Fields are those of PEFT 0.21.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

# They tell how it was trained, or what its tensors tell as well.
_HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "exclude_modules",
    "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout",
    "lora_ga_config", "megatron_core", "modules_to_save", "peft_version", "qalora_group_size",
    "revision", "runtime_config", "target_modules", "task_type",
})  # fmt: skip
_READ = frozenset({
    "alpha_pattern", "bias", "init_lora_weights", "lora_alpha", "peft_type", "r", "rank_pattern",
    "trainable_token_indices", "use_rslora",
})  # fmt: skip
_OFF: tuple[Any, ...] = (None, False, [], {})
# They draw the adapter alone, and leave the base weights as they are.
_STARTS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
# PEFT can rewrite these as a plain sum.
_REWRITABLE = ("pissa", "olora", "corda", "lora_ga")
_LARGEST_ALPHA = 1e6  # adapters have some hundreds

# A repeated group, or many signs of repetition, can take a search longer than anybody waits.
_REPEATED_GROUP, _REPETITION = re.compile(r"\)[*+{]"), re.compile(r"[*+?{]")
_MOST_REPETITIONS, _LONGEST_PATTERN = 3, 200


@dataclass(frozen=True)
class AdapterConfig:
    """Ranks and scales, of all modules and of those that patterns name."""

    rank: int
    alpha: float
    ranks: dict[str, int]  # by a regular expression for the ends of modules' names
    alphas: dict[str, float]
    root_of_rank: bool  # rank-stabilized: alpha / sqrt(rank) in place of alpha / rank
    token_rows: list[int] | dict[str, list[int]]  # ids, or ids by the name of the embedding
    saved_modules: tuple[str, ...]

    def rank_of(self, module: str) -> int:
        """Return the rank that a module's tensors must have."""
        return self.ranks.get(_matching(self.ranks, module), self.rank)

    def scale_of(self, module: str) -> float:
        """Return what B @ A of a module is multiplied by."""
        rank = self.rank_of(module)
        alpha = self.alphas.get(_matching(self.alphas, module), self.alpha)
        return alpha / (math.sqrt(rank) if self.root_of_rank else rank)

    def rows_of(self, module: str) -> list[int]:
        """Return the ids whose rows of an embedding are replaced; none where it has none."""
        if isinstance(self.token_rows, list):
            return self.token_rows
        ends = (end for end in self.token_rows if f".{module}".endswith(f".{end}"))
        return self.token_rows.get(next(ends, ""), [])


def read_adapter_config(config: dict[str, Any], problems: list[str]) -> AdapterConfig | None:
    """Read what adapter_config.json holds; None, and why in `problems`, where it is not taken."""
    wrong: list[str] = []
    if config.get("peft_type") != "LORA":
        wrong.append(f"peft_type is {config.get('peft_type')!r}, expected 'LORA'")
    if config.get("bias") not in (None, "none"):
        wrong.append(f"bias is {config['bias']!r}, expected 'none'")
    if config.get("use_rslora") not in (None, False, True):
        wrong.append(f"use_rslora is {config['use_rslora']!r}, expected true or false")
    wrong += _start_problem(config.get("init_lora_weights"))
    wrong += [
        f"{field} is {value!r}; it may change what the adapter adds to the weights and is not "
        "known here, so that it must be off"
        for field, value in config.items()
        if field not in _HARMLESS | _READ and value not in _OFF
    ]
    read = AdapterConfig(
        rank=_rank("r", config.get("r"), wrong),
        alpha=_alpha("lora_alpha", config.get("lora_alpha"), wrong),
        ranks={
            name: _rank(f"rank_pattern: {name}", value, wrong)
            for name, value in _patterns("rank_pattern", config, wrong).items()
        },
        alphas={
            name: _alpha(f"alpha_pattern: {name}", value, wrong)
            for name, value in _patterns("alpha_pattern", config, wrong).items()
        },
        root_of_rank=bool(config.get("use_rslora")),
        token_rows=_token_rows(config.get("trainable_token_indices"), wrong),
        saved_modules=_names(config.get("modules_to_save"), wrong),
    )
    problems += wrong
    return None if wrong else read


def _start_problem(start: Any) -> list[str]:
    if start in _STARTS:
        return []
    name = f"init_lora_weights is {start!r}"
    if not isinstance(start, str) or not start.lower().startswith((*_REWRITABLE, "loftq")):
        return [f"{name}, which is not known; expected one of {', '.join(map(repr, _STARTS[1:]))}"]
    changed = f"{name}: the weights under such an adapter are not the checkpoint's"
    if start.lower().startswith("loftq"):
        return [f"{changed}; merge it with PEFT into its own base model, and export that"]
    return [
        f"{changed}; save it anew with PEFT's save_pretrained(path_initial_model_for_weight_"
        "conversion=...), which makes it a plain sum"
    ]


def _rank(field: str, value: Any, problems: list[str]) -> int:
    if type(value) is int and value > 0:
        return value
    problems.append(f"{field} is {value!r:.40}, expected a whole number above 0")
    return 1


def _alpha(field: str, value: Any, problems: list[str]) -> float:
    if type(value) in (int, float) and abs(value) <= _LARGEST_ALPHA:
        return float(value)
    problems.append(f"{field} is {value!r:.40}, expected a number, {_LARGEST_ALPHA:g} at most")
    return 0.0


def _patterns(field: str, config: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return the patterns of a field that can be searched with, and note the others."""
    value = config.get(field)
    if value is not None and not isinstance(value, dict):
        problems.append(f"{field} is {value!r:.40}, expected an object")
        return {}
    patterns: dict[str, Any] = value or {}
    problems += [
        f"{field}: {pattern!r:.60} {problem}"
        for pattern in patterns
        if (problem := _pattern_problem(pattern))
    ]
    return patterns


def _pattern_problem(pattern: str) -> str:
    repetitions = len(_REPETITION.findall(pattern))
    if (
        len(pattern) > _LONGEST_PATTERN
        or repetitions > _MOST_REPETITIONS
        or _REPEATED_GROUP.search(pattern)
    ):
        return "is too involved; name modules, or repeat single signs, three times at most"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"
    return ""


def _matching(patterns: dict[str, Any], module: str) -> str:
    """Return the first pattern for the whole name or for its last parts, as PEFT does."""
    return next((p for p in patterns if re.match(rf"(.*\.)?({p})$", module)), "")


def _token_rows(value: Any, problems: list[str]) -> list[int] | dict[str, list[int]]:
    lists = value.values() if isinstance(value, dict) else [value or []]
    if all(isinstance(ids, list) and all(type(i) is int for i in ids) for ids in lists):
        return value or []
    problems.append(f"trainable_token_indices is {value!r:.40}, expected lists of ids")
    return []


def _names(value: Any, problems: list[str]) -> tuple[str, ...]:
    if value is None or (isinstance(value, list) and all(isinstance(n, str) for n in value)):
        return tuple(value or ())
    problems.append(f"modules_to_save is {value!r:.40}, expected a list of names")
    return ()
