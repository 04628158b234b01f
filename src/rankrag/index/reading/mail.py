"""The text of mails (`.eml`) and mailboxes (`.mbox`): headers as attributes, attachments by their kind."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from .encodings import decode
from .html import read_html
from .packed import opened
from .records import Enclosed, FromCollection, Unreadable
from .texts import Attached, Block, Extract, Paragraph, shortened

_HEADERS = ("from", "to", "cc", "date", "subject")
_PARTS = 200
"""Most parts of a mail that are looked at."""


LONGEST_HEADER = 2000
"""Characters of a header that are read: the standard library takes 2 s for 20,000 brackets, and four times
that for twice as many."""


class _Policy(email.policy.EmailPolicy):
    def header_fetch_parse(self, name: str, value: str) -> str:
        read: str = super().header_fetch_parse(
            name, value if len(value) <= LONGEST_HEADER else value[:LONGEST_HEADER]
        )
        return read


def read_eml(data: bytes, _name: str = "") -> Extract:
    """Read a mail; its subject is its title."""
    return read_message(cast("EmailMessage", email.message_from_bytes(data, policy=_Policy())))


def read_message(message: EmailMessage) -> Extract:
    """Read a mail that was parsed: its plain text, else its HTML, then what is attached."""
    attributes = {name: value for name in _HEADERS if (value := _header(message, name))}
    blocks: list[Block] = [Paragraph(line) for line in _above(attributes)]
    body = message.get_body(("plain", "html"))
    if body is not None:
        blocks += _body(cast("EmailMessage", body))
    notes: list[str] = []
    for number, part in enumerate(_attachments(message, body), 1):
        if number > _PARTS:
            notes.append(f"more than {_PARTS} attachments: the rest was not read")
            break
        blocks.append(_attached(part, number))
    return Extract(attributes.get("subject", ""), blocks, tuple(notes), attributes)


LONGEST_MAIL = 64 * 2**20
"""Bytes of a mail in a mailbox; a longer one is named and passed over."""


def mailbox(path: Path, name: str, after: int = 0) -> Iterator[FromCollection]:
    """Yield the mails of a mailbox that follow the first `after`.

    A line that begins with `From ` after a blank one begins a mail, as all programs that write mailboxes
    have it.
    """
    number, held, size, blank = 0, [b""], 0, True

    def mail(read: int) -> Iterator[FromCollection]:
        if size > LONGEST_MAIL:
            yield Unreadable(
                number, f"{name}#{number}: found a mail of more than {LONGEST_MAIL:,} bytes", read
            )
        elif number > after:
            yield Enclosed(number, ".eml", b"".join(held), read)

    with opened(path) as (stream, position):
        for line in stream:
            if blank and line.startswith(b"From "):
                yield from mail(position())
                number, held, size = number + 1, [], 0
            elif number:
                size += len(line)
                if size <= LONGEST_MAIL:
                    held.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
            blank = not line.strip()
        yield from mail(position())


def _above(attributes: dict[str, str]) -> Iterator[str]:
    lines = [f"{name.title()}: {attributes[name]}" for name in _HEADERS if name in attributes]
    if lines:
        yield "\n".join(lines)


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = message[name]
    except Exception:  # the standard library's parser of headers fails in many ways on broken ones
        value = dict(message.raw_items()).get(name, "")
    return shortened(str(value or ""), 1000)


def _content(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: EmailMessage) -> str:
    data = _content(part)
    charset = part.get_content_charset()
    if charset:
        try:
            return data.decode(charset)
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data).text if data.strip() else ""


def _body(part: EmailMessage) -> list[Block]:
    text = _text(part)
    if part.get_content_type() == "text/html":
        return list(read_html(text.encode("utf-8-sig", "replace")).blocks) if text.strip() else []
    return [Paragraph(text.replace("\r\n", "\n"))]


def _attachments(message: EmailMessage, body: object) -> Iterator[EmailMessage]:
    left = list(message.iter_parts()) if message.is_multipart() else []
    while left:
        part = cast("EmailMessage", left.pop(0))
        if part.get_content_maintype() == "multipart":
            left = [*part.iter_parts(), *left]
        elif part is not body and (part.get_filename() or part.get_content_type() == "message/rfc822"):
            yield part


def _attached(part: EmailMessage, number: int) -> Attached:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_content()
        return Attached(part.get_filename() or f"mail-{number}.eml", inner.as_bytes())
    return Attached(str(part.get_filename()), _content(part))
