"""Values as lines of JSON, and back: checked by their types.

Written and read by Python's own module, since names of files may hold bytes that are no text, which
msgspec refuses; msgspec checks and converts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

T = TypeVar("T")


def encode(value: object) -> bytes:
    """One line, with its end; a number that JSON has no word for (nan) becomes null."""
    return (
        json.dumps(_finite(msgspec.to_builtins(value, enc_hook=_text)), allow_nan=False).encode()
        + b"\n"
    )


def decode(line: bytes | str, kind: type[T]) -> T:
    """The value in a line; keys that its type does not know are passed over.

    Raises
    ------
    ValueError
        If the line is no JSON, or not of this type.
    RecursionError
        If it is nested too deeply.
    """
    return convert(json.loads(line, parse_constant=_refuse), kind)


def convert(value: object, kind: type[T]) -> T:
    """Plain values as a type has them.

    Raises
    ------
    ValueError
        If they are not of this type.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_path)
    except msgspec.ValidationError as error:  # which was no ValueError before msgspec 0.20
        raise ValueError(str(error)) from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")


def _path(kind: type[Any], value: Any) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind.__name__} has no form in JSON")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
