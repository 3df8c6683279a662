"""Documents of program terms that ship with the product, and the values that they leave open.

1. A value that is written "?" is open: nobody publishes it, so whoever uses the document has to say it.
2. What stands on a line of its own, as one plain value, may be set: it is written in the place of the value that ships,
   quoted if that was, and nothing else of the document changes. Lists and tiers are changed in a copy of the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources

from settlement.errors import InputRefused
from settlement.program import presets
from settlement.program.toml_lines import KeyPath, lines_of_keys

_SUFFIX = ".toml"
_OPEN = '"?"'
_PLAIN_VALUE = re.compile(r'(?P<key>[^=]+=\s*)(?P<value>"[^"\\]*"|[^\s"\'\[{#]+)(?P<rest>\s*(?:#.*)?)')
_SETTABLE = re.compile(r'[^"\\\x00-\x1f\x7f]+')


def preset_names() -> list[str]:
    """The documents that ship."""
    files = resources.files(presets).iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def as_shipped(name: str) -> str:
    """The document of that name as it ships, with what it leaves open. Raises `InputRefused` if none has that name."""
    if name not in preset_names():
        raise InputRefused("no such preset", where=name, mend=f"those that ship are {', '.join(preset_names())}")
    return resources.files(presets).joinpath(f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def completed(name: str, settings: Mapping[str, str]) -> str:
    """The document `name` with `settings` (a dotted key such as "cap.monthly_usdt" -> its value).

    Raises `InputRefused` for a key that cannot be set, and for a value that stays open.
    """
    document = as_shipped(name)
    for key, value in settings.items():
        document = _with_value(document, key, value, where=name)
    if left_open := open_keys(document):
        missing = " ".join(f"--set {key}=VALUE" for key in left_open)
        raise InputRefused(
            f"{', '.join(left_open)} is not set, and nobody publishes it",
            where=name,
            mend=f"settlement terms preset {name} {missing} -o FILE writes a complete document",
        )
    return document


def open_keys(document: str) -> list[str]:
    """The dotted keys of the values that are left open."""
    lines = document.splitlines()
    return [
        ".".join(map(str, path))
        for path, number in lines_of_keys(document).items()
        if (found := _PLAIN_VALUE.fullmatch(lines[number - 1])) and found["value"] == _OPEN
    ]


def headline(document: str) -> str:
    """What a document says of itself first."""
    return document.partition("\n")[0].removeprefix("#").strip()


def _with_value(document: str, key: str, value: str, *, where: str) -> str:
    lines = document.splitlines(keepends=True)
    path: KeyPath = tuple(key.split("."))
    number = lines_of_keys(document).get(path)
    found = _PLAIN_VALUE.fullmatch(lines[number - 1].rstrip("\n")) if number is not None else None
    if number is None or found is None:
        mend = (
            f"those that may be set are {', '.join(_settable_keys(document, lines))}; change a copy for anything else"
        )
        raise InputRefused(f"there is no single value {key!r} to set", where=where, mend=mend)
    if not _SETTABLE.fullmatch(value):
        raise InputRefused(f"{key} cannot be set to {value!r}", where=where, mend="give a value without quotes")
    quote = '"' if found["value"].startswith('"') else ""
    lines[number - 1] = f"{found['key']}{quote}{value}{quote}{found['rest']}\n"
    return "".join(lines)


def _settable_keys(document: str, lines: Sequence[str]) -> list[str]:
    return [
        ".".join(map(str, path))
        for path, number in lines_of_keys(document).items()
        if all(isinstance(step, str) for step in path) and _PLAIN_VALUE.fullmatch(lines[number - 1].rstrip("\n"))
    ]
