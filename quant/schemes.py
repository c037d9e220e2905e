"""The table of schemes: what each variant of a bundle is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..runtime.errors import OptionError


@dataclass(frozen=True)
class Floats:
    """Plain floating point; `type` is a numpy name."""

    type: str


@dataclass(frozen=True)
class Rows:
    """int8 with a scale an output row; activations are sums of `terms` int8, a scale a token each.

    A token's result then does not depend on the tokens evaluated beside it. A second term stands
    for what the first one rounded off, and costs a second row in the same product.
    """

    terms: int = 1


@dataclass(frozen=True)
class Blocks:
    """Codes of `bits` bits with a scale each `size` inputs; activations as the kernel likes."""

    bits: int
    size: int

    def __str__(self) -> str:
        return f"{self.bits} bits in blocks of {self.size}"


Quantized = Rows | Blocks
Form = Floats | Quantized


@dataclass(frozen=True)
class Scheme:
    """One row of the table: the forms of the weights, and the type of the rest.

    The head is the matrix that makes logits, `kv` the one that makes keys and values. `compute`
    says in what numbers products are made. With `shares`, a head that is the embedding in the
    checkpoint is so here, in the head's form, wherever rotation allows it.
    """

    name: str
    summary: str
    compute: str
    matrix: Form
    kv: Form
    head: Form
    embedding: Form
    activations: str  # numpy name; also the type of norms, scales and KV cache
    shares: bool = False
    forms: Mapping[str, Form] = field(default_factory=dict)  # of single weights, by name

    @property
    def rotated(self) -> bool:
        """Whether activations are rotated (see rotation.py): wherever numbers share a scale."""
        return not isinstance(self.matrix, Floats)


# int4 takes blocks of 128. Products alone on a 2-core AVX512 CPU against blocks of 32, interleaved:
# one row in about half the time and 128 rows in two thirds. What smaller blocks win back in
# accuracy is for calibrated rounding to win back without the bytes.
_INT4 = Blocks(bits=4, size=128)

# The head's errors go straight into the choice of a token, and one narrow matrix makes the keys and
# values of all heads: on the demo checkpoint, at 4 bits they were a half and a tenth of all that
# was lost, for an eighth and a thirtieth of the weights (at 1.6B: 6 % and 0.6 %).
_INT4_FINE = Blocks(bits=8, size=128)

# int8 is products of bytes with a scale a token. Beside MatMulNBits at 8 bits it takes 0.4 of the
# time at 128 rows and 0.3 at 256; at one row it is level or somewhat slower (bench/int8_forms.py).
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="fp32",
            summary="32-bit floats: the values of the checkpoint, exactly",
            compute="32-bit floats",
            matrix=Floats("float32"),
            kv=Floats("float32"),
            head=Floats("float32"),
            embedding=Floats("float32"),
            activations="float32",
        ),
        Scheme(
            name="fp16",
            summary="16-bit floats throughout, KV cache included; for GPUs",
            compute="16-bit floats",
            matrix=Floats("float16"),
            kv=Floats("float16"),
            head=Floats("float16"),
            embedding=Floats("float16"),
            activations="float16",
        ),
        Scheme(
            name="int8",
            summary="8-bit weights, a scale a row; 8-bit activations, a scale a token",
            compute="8-bit integers, a scale a token; two of them a number in the head",
            matrix=Rows(),
            kv=Rows(),
            head=Rows(terms=2),
            embedding=Rows(),
            activations="float32",
        ),
        Scheme(
            name="int4",
            summary=(
                f"4-bit weights in blocks of {_INT4.size} with a scale each; 8 bits for the head, "
                "keys and values"
            ),
            compute="8-bit integers, a scale a block",
            matrix=_INT4,
            kv=_INT4_FINE,
            head=_INT4_FINE,
            embedding=_INT4,
            activations="float32",
            shares=True,
        ),
    )
}

DEFAULT_VARIANTS = ("int8", "int4")


def require_schemes(names: list[str]) -> list[Scheme]:
    """Return the schemes of that name, in the order of the table.

    Raises:
        OptionError: when one is unknown or named twice; lists those there are.

    """
    listed = ", ".join(SCHEMES)
    unknown = [name for name in names if name not in SCHEMES]
    if unknown or not names:
        raise OptionError(
            f"variant {', '.join(map(repr, unknown)) or '(none)'}; expected: {listed}"
        )
    if len(set(names)) < len(names):
        raise OptionError(f"variants {', '.join(names)} name one twice; expected each once")
    return [scheme for name, scheme in SCHEMES.items() if name in names]
