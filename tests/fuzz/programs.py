"""Changes to the native step's program alone, as if whoever builds it were hostile or wrong.

A mutant is a list of changes to an honest program. It is to be refused, or to run within its
memory, whatever it computes.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from random_weights import DECODERS, FORMS, RandomWeights

from refact_edge.runtime.backends.native import layout
from refact_edge.runtime.backends.native.library import Native, opened
from refact_edge.runtime.backends.native.program import Program, build_program
from refact_edge.runtime.bundle.decoder import decoder_of, to_json
from refact_edge.runtime.bundle.places import places_of, places_to_json
from refact_edge.runtime.errors import RefactEdgeError

_WEIGHTS, _DECODER, _CHANGES = "weights", "decoder.json", "changes.json"
_NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 16, 17, 24, 48, 64, 96, 97, 127, 128, 129, 144, 256, 384, 512, 1024, 1025,
    65536, 2**20, 2**30, 2**31 - 1, -1, -2, -128, -(2**31),
)  # fmt: skip
_FLOATS = (0.0, -1.0, 1.0, 1e-45, 1e30, 3.4e38, float("inf"), float("nan"))
_KINDS = (
    "EMBED", "NORM", "ROUND", "MULTIPLY", "NORM_HEADS", "ROTARY", "APPEND", "ATTEND", "GATE",
    "KEEP_LAST",
)  # fmt: skip
_SHIFTS = (-4096, -8, -4, -2, -1, 1, 2, 4, 8, 64, 512, 4096, 10**6)


def make_decoders(folder: Path) -> None:
    """Write honest decoders with their weights, a folder each."""
    for number, (name, by_row) in enumerate(FORMS):
        decoder = DECODERS[name]
        own = folder / str(number)
        own.mkdir(parents=True)
        weights = RandomWeights(decoder, own / _WEIGHTS, seed=number, by_row=by_row)
        facts = {"decoder": to_json(decoder), "places": places_to_json(weights.places)}
        (own / _DECODER).write_text(json.dumps(facts), encoding="utf-8")


def mutate(random: Random, folder: Path) -> str:
    """Choose a decoder and changes to its program, and say which."""
    number = random.randrange(len(FORMS))
    changes = [_change(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    (folder / _CHANGES).write_text(json.dumps({"decoder": number, "changes": changes}))
    name, by_row = FORMS[number]
    return f"{name}{', by row' if by_row else ''}: " + "; ".join(map(str, changes))


def _change(random: Random) -> list[Any]:
    """Return a change: of whole operations, or of a number; operations are counted modulo."""
    index = random.randrange(1000)
    if random.random() < 0.2:
        return [random.choice(("drop", "repeat", "swap")), index, random.randrange(1000)]
    target = random.choice(("program", "operation", "own", "own", "own"))
    return ["set", index, target, random.random()]


def _apply(
    operations: list[layout.Operation], program: layout.Program, kinds: list[str], change: list[Any]
) -> None:
    """Apply a change to the list of operations, or to a number of one of them or of the program."""
    kind, index, *rest = change
    place = index % len(operations)
    if kind == "drop" and len(operations) > 1:
        del operations[place]
    elif kind == "repeat":
        operations.insert(rest[0] % len(operations), _copy(operations[place]))
    elif kind == "swap":
        other = rest[0] % len(operations)
        operations[place], operations[other] = operations[other], operations[place]
    elif kind == "set":
        target, draw = rest
        operation = operations[place]
        own = kinds[operation.kind] if 0 <= operation.kind < len(kinds) else ""
        structure = program if target == "program" else operation
        if target == "own" and hasattr(operation, own):
            structure = getattr(operation, own)
        _set(Random(draw), structure)


def _set(random: Random, target: Any) -> None:
    """Set a number somewhere in a structure to another one."""
    names = [entry[0] for entry in target._fields_ if entry[0] not in ("operations", "of")]
    name = random.choice(names)
    before = getattr(target, name)
    if isinstance(before, ctypes.Structure):
        _set(random, before)
    elif isinstance(before, ctypes.Array):
        place = random.randrange(len(before))
        before[place] = _other(random, before[place])
    else:
        setattr(target, name, _other(random, before))


def _other(random: Random, before: Any) -> Any:
    """Return another number, or another address."""
    if isinstance(before, float):
        return random.choice(_FLOATS)
    if before is None or before > 2**32:
        return random.choice((None, (before or 0) + random.choice(_SHIFTS)))
    number = random.choice((random.choice(_NUMBERS), before + random.choice(_SHIFTS)))
    return max(-(2**31), min(number, 2**31 - 1))


def run_mutant(folder: Path) -> None:
    """Open a mutant's program, and run two steps of it.

    Raises:
        RefactEdgeError: when the library refuses it.

    """
    mutant = json.loads((folder / _CHANGES).read_text())
    own = folder / str(mutant["decoder"])
    facts = json.loads((own / _DECODER).read_text(encoding="utf-8"))
    decoder, places = decoder_of(facts["decoder"]), places_of(facts["places"])
    native, data = opened(), np.fromfile(own / _WEIGHTS, np.uint8)
    program = build_program(decoder, places, data, native.constants)
    operations = [_copy(one) for one in program.c.operations[: program.c.count]]
    program.c.count = 0
    names = [name.lower() for name in _KINDS]
    kinds = sorted(names, key=lambda name: native.constants[name.upper()])
    for change in mutant["changes"]:
        _apply(operations, program.c, kinds, change)
    array = (layout.Operation * len(operations))(*operations)
    program.c.operations = array
    program.c.count = program.c.count or len(operations)
    if program.c.count <= len(operations):  # no library can know how long the list is
        _run(native, program)


def _copy(operation: layout.Operation) -> layout.Operation:
    return layout.Operation.from_buffer_copy(operation)


def _run(native: Native, program: Program) -> None:
    c, edge, done = program.c, ctypes.c_void_p(), native.constants["EDGE_DONE"]
    opening = native.functions.edge_open(
        ctypes.byref(c), 2, native.best.encode(), ctypes.byref(edge)
    )
    if opening != done:
        raise RefactEdgeError("the program is refused")
    widest = c.kv_width + c.kv_heads  # with the scales that a cache of int8 has
    caches = [np.zeros((c.context, widest), np.float32) for _ in range(2 * c.layers)]
    pointers = (ctypes.c_void_p * len(caches))(*(cache.ctypes.data for cache in caches))
    for past, tokens in ((0, min(20, c.context)), (0, 1)):
        ids = np.arange(tokens) % c.vocabulary
        logits = np.zeros((1, c.vocabulary), np.float32)
        native.functions.edge_step(
            edge, ids.ctypes.data, tokens, past, pointers, 1, logits.ctypes.data
        )
    native.functions.edge_close(edge)
