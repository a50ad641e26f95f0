"""Keys by the names that people call them (2.6 of the `anchor` contract), as CDP wants them. Pure."""

from typing import Any, NamedTuple

ALT, CONTROL, META, SHIFT = 1, 2, 4, 8


class Key(NamedTuple):
    """`modifier` is the bit of one that is held, 0 for others; `text` is what it types."""

    key: str
    code: str
    number: int
    modifier: int = 0
    text: str = ""

    def pressed(self, modifiers: int, text: str | None = None) -> dict[str, Any]:
        """What `Input.dispatchKeyEvent` takes."""
        typed = self.text if text is None else text
        asked = {"key": self.key, "code": self.code, "windowsVirtualKeyCode": self.number, "modifiers": modifiers}
        return asked | ({"text": typed, "unmodifiedText": typed} if typed else {})

    def shifted(self) -> "Key":
        """What a letter is under Shift."""
        letter = len(self.key) == 1 and self.key.isalpha()
        return self._replace(key=self.key.upper(), text=self.text.upper()) if letter else self


_NAMED = {
    "control": Key("Control", "ControlLeft", 17, CONTROL),
    "alt": Key("Alt", "AltLeft", 18, ALT),
    "shift": Key("Shift", "ShiftLeft", 16, SHIFT),
    "command": Key("Meta", "MetaLeft", 91, META),
    "space": Key(" ", "Space", 32, 0, " "),
    "enter": Key("Enter", "Enter", 13, 0, "\r"),
    "tab": Key("Tab", "Tab", 9),
    "escape": Key("Escape", "Escape", 27),
    "backspace": Key("Backspace", "Backspace", 8),
    "delete": Key("Delete", "Delete", 46),
    "insert": Key("Insert", "Insert", 45),
    "home": Key("Home", "Home", 36),
    "end": Key("End", "End", 35),
    "pageup": Key("PageUp", "PageUp", 33),
    "pagedown": Key("PageDown", "PageDown", 34),
    "up": Key("ArrowUp", "ArrowUp", 38),
    "down": Key("ArrowDown", "ArrowDown", 40),
    "left": Key("ArrowLeft", "ArrowLeft", 37),
    "right": Key("ArrowRight", "ArrowRight", 39),
    "capslock": Key("CapsLock", "CapsLock", 20),
    "numlock": Key("NumLock", "NumLock", 144),
    **{f"f{n}": Key(f"F{n}", f"F{n}", 111 + n) for n in range(1, 13)},
}
_OTHERWISE = {
    "ctrl": "control", "cmd": "command", "windows": "command", "win": "command", "meta": "command", "return": "enter", "esc": "escape",
    "ins": "insert", "del": "delete", "arrowup": "up", "arrowdown": "down", "arrowleft": "left", "arrowright": "right", " ": "space",
}  # fmt: skip


def named(name: str) -> Key | None:
    """None for a key that there is not."""
    plain = name.lower() if name == " " else name.strip().lower()
    if (found := _NAMED.get(_OTHERWISE.get(plain, plain))) is not None:
        return found
    return of_character(plain) if len(plain) == 1 else None


def of_character(character: str) -> Key | None:
    """The key that types it; None where no key is known to."""
    if character in ("\n", "\r"):
        return _NAMED["enter"]
    if character == "\t":
        return _NAMED["tab"]
    if character == " ":
        return _NAMED["space"]
    if character.isascii() and character.isalpha():
        upper = character.upper()
        return Key(character, f"Key{upper}", ord(upper), 0, character)
    if "0" <= character <= "9":
        return Key(character, f"Digit{character}", ord(character), 0, character)
    return Key(character, "", 0, 0, character) if "!" <= character <= "~" else None
