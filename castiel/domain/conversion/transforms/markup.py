"""HTML."""

from __future__ import annotations

import html

from inscriptis import get_text  # type: ignore[import-untyped]
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, text_only, transform


@transform(
    "html_to_text",
    does="HTML to text as a page shows it: paragraphs, lists and tables laid out, scripts and styles left out",
    source="inscriptis (on lxml)",
    limits="links, images and emphasis are lost, line breaks of plain text too (`text_to_html` writes paragraphs)",
)
def html_to_text() -> Function:
    def render(value: object) -> str:
        text = text_only(value)
        if not text.strip():
            return ""
        try:
            rendered: str = get_text(text)
        except (LxmlError, ValueError) as error:
            raise UnconvertibleError("is not HTML") from error
        return "\n".join(line.rstrip() for line in rendered.splitlines()).strip()

    return render


@transform(
    "text_to_html",
    does="text to HTML: escaped, empty lines part paragraphs, single line breaks stay",
    source="Python's `html`",
    limits="makes no links of addresses (use `html_to_text` for it)",
)
def text_to_html() -> Function:
    def write(value: object) -> str:
        paragraphs = [part.strip("\n") for part in text_only(value).replace("\r\n", "\n").split("\n\n")]
        return "".join(
            f"<p>{html.escape(part, quote=False).replace(chr(10), '<br>')}</p>"
            for part in paragraphs
            if part.strip()
        )

    return write
