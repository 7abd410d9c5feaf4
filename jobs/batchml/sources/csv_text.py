"""Decode a file block by block, and return its text line by line."""

import codecs
import io
import re
from collections.abc import Sequence
from typing import IO

from batchml.errors import BadData
from batchml.sources.csv_form import CsvForm

# A noncharacter in place of bytes that cannot be decoded. No codec decodes to it, and it never
# reaches a table.
INVALID = "\udcff"
BLOCK = 1_000_000  # characters that are read and parsed at once
# Codecs of Python that return surrogates, which are not characters.
LENIENT_CODECS = ("utf-7", "unicode-escape", "raw-unicode-escape")
SURROGATE = re.compile("[\ud800-\udfff]")
LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)?")


def _replace_invalid(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "only a decoder uses it"
    return INVALID, error.end


codecs.register_error("batchml.invalid", _replace_invalid)


class CsvText:
    """The text of a file from the current position on.

    ``line`` is the number of lines before the position. Bytes that cannot be decoded are
    ``INVALID``.
    """

    def __init__(self, stream: IO[bytes], form: CsvForm, display_name: str) -> None:
        codec = _codec(form.encoding)
        self._encoding = form.encoding
        self._max_characters = form.max_characters
        self._display_name = display_name
        self._is_lenient = codec in LENIENT_CODECS
        self._stream = io.TextIOWrapper(stream, codec, errors="batchml.invalid", newline="")
        self._text = ""  # the part of the file that has been read and not yet dropped
        self._position = 0
        self._has_all = False
        self.line = 0

    def peek_block(self) -> tuple[str, bool]:
        """Return the next characters, and True if the file ends with them. Do not move on."""
        self._fill(BLOCK)
        end = self._position + min(BLOCK, self._max_characters)
        block = self._text[self._position : end]
        is_last = self._has_all and self._position + len(block) == len(self._text)
        return block, is_last

    def skip(self, part: str) -> None:
        """Move on past ``part``, the whole lines that follow."""
        self.line += part.count("\n") or part.count("\r")
        self._position += len(part)

    def next_line(self) -> str:
        """Return the next line with its end, or "" at the end of the file."""
        self._fill(self._max_characters + 1)
        match = LINE.match(self._text, self._position)
        assert match is not None, "the pattern matches an empty text too"
        line = match[0]
        self._position = match.end()
        if line:
            self.line += 1
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """Return to the position before ``lines``, the last ones that were returned."""
        if not lines:
            return
        rest = self._text[self._position :]
        self._text = "".join(lines) + rest
        self._position = 0
        self.line -= len(lines)

    def _fill(self, characters: int) -> None:
        """Read until so many characters are known, or all there are. Drop those before."""
        known = len(self._text) - self._position
        if self._has_all or known >= characters:
            return
        is_beginning = not self.line and not self._text
        parts = [self._text[self._position :]]
        while known < characters + BLOCK and not self._has_all:
            part = self._decoded()
            self._has_all = not part
            parts.append(part)
            known += len(part)

        self._text = "".join(parts)
        self._position = 0
        if is_beginning:
            self._text = self._text.removeprefix("\ufeff")

    def _decoded(self) -> str:
        """Return the next characters of the file.

        Raise BadData if the file is in another encoding altogether.
        """
        try:
            part = self._stream.read(BLOCK)
        except UnicodeError as error:  # of a file without byte order mark
            raise BadData(
                f"{self._display_name} is not text in {self._encoding}",
                str(error),
                remedy="set source.encoding to the encoding of the file, for example utf-8, "
                "utf-16-le or utf-16-be",
            ) from error
        if self._is_lenient:
            return SURROGATE.sub(INVALID, part)
        return part


def _codec(encoding: str) -> str:
    name = codecs.lookup(encoding).name
    if name == "utf-8":
        return "utf-8-sig"  # removes a byte order mark
    return name
