"""From a JSON object back to the dataclass that wrote it, strictly: no key too many, too few or of another type."""

import sys
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from backbone.errors import PolygraftError

T = TypeVar("T")


def config_from_dict(cls: type[T], mapping: Mapping[str, Any]) -> T:
    """Build the dataclass ``cls`` from ``mapping``, the inverse of ``dataclasses.asdict`` after a trip through JSON.

    Lists become tuples where the field is a tuple, objects become dataclasses where it is one.

    Raises:
        PolygraftError: an unknown key (the known ones are listed), a missing key, a value of another type, or a value
            that the class itself refuses.
    """
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is any dataclass
    _check_keys(cls.__name__, set(mapping), known)
    hints = get_type_hints(cls)
    values = {name: _convert(f"{cls.__name__}.{name}", mapping[name], hints[name]) for name in known}
    try:
        return cls(**values)
    except (ValueError, PolygraftError) as error:  # a UsageError as well: the fault is in a file, not in the call
        raise PolygraftError(f"{cls.__name__} refuses its settings: {error}") from error


def _check_keys(owner: str, found: set[str], known: list[str]) -> None:
    if unknown := sorted(found - set(known)):
        raise PolygraftError(f"{owner} has no {', '.join(unknown)}: it knows {', '.join(known)}")
    if missing := [name for name in known if name not in found]:
        raise PolygraftError(f"{owner} lacks {', '.join(missing)}: the file is damaged or of another version")


def _convert(place: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as the annotation ``hint`` wants it, or raise a `PolygraftError` that names ``place``."""
    if get_origin(hint) in (Union, types.UnionType):
        return _convert_union(place, value, get_args(hint))
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return config_from_dict(hint, value)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return _convert_tuple(place, value, get_args(hint))
    if get_origin(hint) is list and isinstance(value, list):
        return [_convert(place, item, get_args(hint)[0]) for item in value]
    if get_origin(hint) is dict and isinstance(value, Mapping):
        return {key: _convert(f"{place}.{key}", item, get_args(hint)[1]) for key, item in value.items()}
    if not _fits(value, hint):
        wanted = " or ".join(map(repr, get_args(hint))) if get_origin(hint) is Literal else _name(hint)
        raise PolygraftError(f"{place} is {value!r}, but must be {wanted}")
    return float(value) if hint is float else value


def _convert_union(place: str, value: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        try:
            return _convert(place, value, option)
        except PolygraftError:
            continue
    raise PolygraftError(f"{place} is {value!r}, but must be {' or '.join(map(_name, options))}")


def _convert_tuple(place: str, value: list[Any] | tuple[Any, ...], items: tuple[Any, ...]) -> tuple[Any, ...]:
    if items[1:] == (...,):
        return tuple(_convert(place, item, items[0]) for item in value)
    if len(value) != len(items):
        raise PolygraftError(f"{place} is {value!r}, but must have {len(items)} values")
    return tuple(_convert(place, item, hint) for item, hint in zip(value, items, strict=True))


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)
    if hint is int:
        return type(value) is int  # True is an int to isinstance
    return hint is Any or isinstance(value, get_origin(hint) or hint)


def _name(hint: Any) -> str:
    return "null" if hint is type(None) else getattr(hint, "__name__", str(hint))
