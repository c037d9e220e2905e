"""Rows of the tables by which architectures say where weights lie; see tensors.py."""

from __future__ import annotations

from collections.abc import Callable

from .sources import Shared, Stacked
from .tensors import Table

_PARTS = ("weight", "bias")
_QKV = ("layers.{}.attention.q", "layers.{}.attention.kv")


def whatever_it_holds(table: Table) -> Callable[[set[str]], Table]:
    """Return what an architecture with one layout says of a checkpoint's tensors."""
    return lambda names: table


def matrix(role: str, tensor: str) -> Table:
    """Return the rows of a matrix, with the bias that some have."""
    return {role: f"{tensor}.weight", f"{role}.bias": f"{tensor}.bias"}


def norm(role: str, tensor: str) -> Table:
    """Return the rows of a norm, with the bias that some have."""
    return {f"{role}.{part}": f"{tensor}.{part}" for part in _PARTS}


def stacked(role: str, *tensors: str) -> Table:
    """Return the rows of a matrix that lies in several tensors, with the biases that some have."""
    weight, bias = (Stacked(tuple(f"{tensor}.{part}" for tensor in tensors)) for part in _PARTS)
    return {role: weight, f"{role}.bias": bias}


def fused_qkv(tensor: str) -> Table:
    """Return the rows of queries, keys and values that lie in one tensor, in this order."""
    biases = tuple(f"{role}.bias" for role in _QKV)
    return {
        **{role: Shared(f"{tensor}.weight", _QKV) for role in _QKV},
        **{role: Shared(f"{tensor}.bias", biases) for role in biases},
    }
