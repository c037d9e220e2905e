"""A checkpoint folder: its config, and its weights one named tensor at a time.

Knows file formats, not models. Nothing from the folder is ever executed: safetensors is plain
data, and pytorch_model.bin is read by torch's weights_only loader alone.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - lets safetensors' numpy API read bfloat16
import numpy as np
import numpy.typing as npt

from ..runtime.errors import CheckpointError, MissingExtraError, one_line
from ..runtime.files.plain import MISSING, why_not_plain

Floating = npt.NDArray[np.float32]

FLOAT_TYPES = ("BF16", "F16", "F32")
_NOT_WEIGHTS = (AttributeError, TypeError)  # a list, say, in place of a dictionary of tensors
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies, and what it is."""

    file: Path
    type: str  # as safetensors names it: BF16, F16, F32, ...
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorFiles:
    """The weight files of one folder, and how a tensor in them is read as fp32."""

    paths: tuple[Path, ...]
    tensors: dict[str, TensorInfo]
    read: Callable[[str], Floating]


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint. `read` loads one tensor as fp32; nothing else is kept in memory.

    A file of weights may have the `tokenizer` in it, as tokenizer.json would say it.
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]
    files: tuple[Path, ...]  # of the weights
    read: Callable[[str], Floating]
    tokenizer: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()  # what whoever exports it should know
    name: str = ""  # where a file says what the model is called


def open_checkpoint(path: Path) -> Checkpoint:
    """Open the checkpoint in the folder `path`.

    Raises:
        CheckpointError: when the folder, config.json or the weights are missing or cut short.
        MissingExtraError: when there is only pytorch_model.bin and torch is not installed.

    """
    if not path.is_dir():
        raise CheckpointError(
            f"{path} is not a folder; expected a checkpoint folder, or a GGUF file"
        )
    config = read_json(path / "config.json")
    files = open_tensors(path, "model", "pytorch_model")
    if files is None:
        raise CheckpointError(
            f"{path} has no weights; expected model.safetensors, model.safetensors.index.json or "
            "pytorch_model.bin"
        )
    return Checkpoint(path, config, files.tensors, files.paths, files.read)


def open_tensors(path: Path, stem: str, bin_stem: str | None = None) -> TensorFiles | None:
    """Open a folder's safetensors files, or else its .bin files; None when it has neither.

    Raises:
        CheckpointError: when a file is missing, cut short or no plain data.
        MissingExtraError: when there are only .bin files and torch is not installed.

    """
    for name, suffix, opener in (
        (stem, ".safetensors", _open_safetensors),
        (bin_stem or stem, ".bin", _open_bin),
    ):
        files = _weight_files(path, name, suffix)
        if files:
            for file in files:
                _check_downloaded(file)
            tensors, read = opener(files)
            return TensorFiles(tuple(files), tensors, functools.partial(_read, tensors, read))
    return None


def _read(
    tensors: dict[str, TensorInfo], read: Callable[[TensorInfo, str], Floating], name: str
) -> Floating:
    return read(tensors[name], name)


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`.

    Raises:
        CheckpointError: when the file is missing or holds something else.

    """
    if not _is_there(file):
        raise CheckpointError(f"{file.parent} has no {file.name}, so it is not a checkpoint folder")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not valid JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} is not a JSON object; download it again")
    return value


def _weight_files(path: Path, stem: str, suffix: str) -> list[Path]:
    single, index = path / f"{stem}{suffix}", path / f"{stem}{suffix}.index.json"
    if _is_there(single):
        return [single]
    if not _is_there(index):
        return []
    entries = read_json(index).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise CheckpointError(f"{index} has no weight_map; download it again")
    names = sorted(set(map(str, entries.values())))
    if strange := [name for name in names if Path(name).name != name]:
        raise CheckpointError(
            f"{index} names files outside its folder: {one_line(', '.join(strange[:3]))}"
        )
    if missing := [name for name in names if not _is_file(path / name)]:
        listed = one_line(", ".join(missing[:5]))
        raise CheckpointError(
            f"{path} lacks {len(missing)} of {len(names)} weight files: {listed}; finish the "
            "download"
        )
    return [path / name for name in names]


def _is_there(file: Path) -> bool:
    """Whether there is a file, or a link to one.

    Raises:
        CheckpointError: when there is something else, such as a link to what was not downloaded.

    """
    reason = why_not_plain(file)
    if reason not in ("", MISSING):
        raise CheckpointError(f"{file} {reason}")
    return not reason


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a name that no file can have
        return False


def _check_downloaded(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_LFS_POINTER))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    if head == _LFS_POINTER:
        raise CheckpointError(
            f"{file} is a Git LFS pointer, not the weights; fetch them with: git lfs pull"
        )


def _check_new(file: Path, tensors: dict[str, TensorInfo], names: Iterable[str]) -> None:
    if twice := sorted(set(names) & tensors.keys()):
        first, listed = tensors[twice[0]].file.name, one_line(", ".join(twice[:3]))
        raise CheckpointError(f"{file} holds {len(twice)} tensors that {first} holds too: {listed}")


def _open_safetensors(
    files: list[Path],
) -> tuple[dict[str, TensorInfo], Callable[[TensorInfo, str], Floating]]:
    from safetensors import SafetensorError, safe_open

    def read(info: TensorInfo, name: str) -> Floating:
        # Opened anew each time: a mapping that stays open counts every page it has touched.
        with safe_open(info.file, framework="np") as tensors:
            array: Floating = tensors.get_tensor(name).astype(np.float32)
        return array

    tensors: dict[str, TensorInfo] = {}
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                _check_new(file, tensors, opened.keys())
                for name in opened.keys():  # noqa: SIM118 - safe_open does not iterate
                    part = opened.get_slice(name)
                    shape = tuple(part.get_shape())
                    tensors[name] = TensorInfo(file, str(part.get_dtype()), shape)
        except SafetensorError as error:
            raise CheckpointError(
                f"{file} has {file.stat().st_size} bytes and is cut short or damaged "
                f"({one_line(error)}); download it again"
            ) from error
    return tensors, read


def _named(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a weight is called {name!r:.40}, expected a text")
    return name


def _plain_shape(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a torch tensor whose values all lie in the file."""
    stored = tensor.device.type == "cpu" and str(tensor.layout) == "torch.strided"
    if not stored or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise TypeError("a weight that is sparse, expanded or not there")
    return tuple(tensor.shape)


def _open_bin(
    files: list[Path],
) -> tuple[dict[str, TensorInfo], Callable[[TensorInfo, str], Floating]]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"{files[0].name} is read by torch, which", "verify") from error
    import pickle

    names = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
    loaded: dict[str, torch.Tensor] = {}
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        try:
            part = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            # Only a dictionary of tensors by their names is a checkpoint.
            shapes = {_named(name): _plain_shape(tensor) for name, tensor in part.items()}
        except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, *_NOT_WEIGHTS) as error:
            reason = one_line(next(iter(str(error).strip().splitlines()), "cut short"))
            raise CheckpointError(
                f"{file} cannot be read as plain weights ({reason}); download it again, "
                "or take the checkpoint's safetensors file"
            ) from error
        _check_new(file, tensors, shapes)
        for name, shape in shapes.items():
            loaded[name] = part[name]
            kind = names.get(part[name].dtype, str(part[name].dtype))
            tensors[name] = TensorInfo(file, kind, shape)

    def read(_: TensorInfo, name: str) -> Floating:
        array: Floating = loaded[name].to(torch.float32).contiguous().numpy()
        return array

    return tensors, read
