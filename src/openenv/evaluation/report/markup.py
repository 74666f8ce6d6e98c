"""HTML and SVG that cannot be broken by what they show: everything is escaped unless it was made here."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "join", "percent", "printable", "shortened"]

_VOID = frozenset({"br", "line", "meta", "rect"})


class Markup(str):
    """Text that is markup already. Only `element` and `join` make it, from escaped parts."""

    __slots__ = ()


Child = str | Markup | None


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element. Children that are plain strings are escaped; ``None`` is left out.

    Attribute names lose a trailing underscore and have ``-`` for every other one (``class_``, ``text_anchor``). ``True``
    writes the name alone, ``None`` and ``False`` nothing.
    """
    written = [name]
    for key, value in attributes.items():
        label = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(label)
        elif value is not None and value is not False:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            written.append(f'{label}="{escape(printable(text), quote=True)}"')
    opened = " ".join(written)
    if name in _VOID and not children:
        return Markup(f"<{opened}/>")
    return Markup(f"<{opened}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after the other, those that are no markup escaped."""
    there = (child for child in children if child is not None)
    return Markup("".join(child if isinstance(child, Markup) else escape(printable(child), quote=True) for child in there))


def printable(text: str) -> str:
    """The text with a mark in place of every character that could steer a terminal or the direction of writing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def shortened(text: str, most: int) -> str:
    """The text, cut to so many characters, the last of which then is an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def percent(share: float | None) -> str:
    """A share in per cent, without decimals; a dash for none."""
    return "–" if share is None else f"{100 * share:.0f} %"
