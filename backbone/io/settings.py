"""Settings read strictly: TOML files, JSON or TOML into dataclasses with no key too many or too few, and bounds."""

import difflib
import sys
import tomllib
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import is_file, read_text

T = TypeVar("T")

_MAX_TOML = 1 << 20  # bytes: a file of settings, not of data


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        PolygraftError: It cannot be read, is no TOML, or is larger than a megabyte.
    """
    if is_file(path) and path.stat().st_size > _MAX_TOML:
        raise PolygraftError(f"{path} is larger than a megabyte: give a TOML file of settings")
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise PolygraftError(f"{path} is not TOML: {error}") from None


def check_range(options: object, names: str, low: float, high: float = inf) -> None:
    """Refuse options that are empty or hold a number outside ``low`` to ``high``; ``names`` has spaces between.

    Raises:
        UsageError: Names the field, its value and what is allowed.
    """
    for name in names.split():
        value = getattr(options, name)
        if value == ():
            raise UsageError(f"{name} is empty: give at least one")
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, int | float) and not low <= one <= high:
                allowed = f"at least {low}" if high == inf else f"{low} to {high}"
                raise UsageError(f"{name} is {one}, allowed is {allowed}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like ``name``."""
    return difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]


def check_keys(owner: str, found: Iterable[str], known: Iterable[str]) -> None:
    """Refuse keys that are not known.

    Raises:
        PolygraftError: Names the first, the nearest known key, and all known keys.
    """
    known = list(known)
    if unknown := sorted(set(found) - set(known)):
        close = nearest(unknown[0], known)
        raise PolygraftError(f"{owner} has no {unknown[0]!r} (nearest: {close!r}): it knows {', '.join(known)}")


def config_from_dict(cls: type[T], mapping: Mapping[str, Any]) -> T:
    """Build the dataclass ``cls`` from ``mapping``, the inverse of ``dataclasses.asdict`` after a trip through JSON.

    Lists become tuples where the field is a tuple, objects become dataclasses where it is one.

    Raises:
        PolygraftError: An unknown or missing key, a value of another type, or one that the class itself refuses.
    """
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is any dataclass
    check_keys(cls.__name__, mapping, known)
    if missing := [name for name in known if name not in mapping]:
        raise PolygraftError(f"{cls.__name__} lacks {', '.join(missing)}: the file is damaged or of another version")
    hints = get_type_hints(cls)
    values = {name: convert(f"{cls.__name__}.{name}", mapping[name], hints[name]) for name in known}
    try:
        return cls(**values)
    except (ValueError, PolygraftError) as error:  # a UsageError as well: the fault is in a file, not in the call
        raise PolygraftError(f"{cls.__name__} refuses its settings: {error}") from error


def convert(place: str, value: Any, hint: Any) -> Any:
    """Return a value of JSON or TOML as the annotation ``hint`` wants it.

    Raises:
        PolygraftError: It does not fit; names ``place``, the value and what is allowed.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for option in inner:  # the first that fits
            with suppress(PolygraftError):
                return convert(place, value, option)
    elif origin is tuple and isinstance(value, list | tuple):
        items = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(items) == len(value):
            return tuple(convert(place, item, own) for item, own in zip(value, items, strict=True))
        raise PolygraftError(f"{place} is {value!r}, but must have {len(items)} values")
    elif origin is list and isinstance(value, list):
        return [convert(place, item, inner[0]) for item in value]
    elif isinstance(value, Mapping) and (origin is dict or is_dataclass(hint)):
        if origin is not dict:
            return config_from_dict(hint, value)
        return {key: convert(f"{place}.{key}", item, inner[1]) for key, item in value.items()}
    elif _fits(value, hint):
        return float(value) if hint is float else value
    raise PolygraftError(f"{place} is {value!r}, but must be {_named(hint)}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)
    if hint is int:
        return type(value) is int  # True is an int to isinstance
    return hint is Any or isinstance(value, str if hint is Path else get_origin(hint) or hint)


def _named(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_named, get_args(hint)))
    return "null" if hint is type(None) else getattr(hint, "__name__", str(hint))
