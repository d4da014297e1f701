"""Print a picture of a report as SVG on white ground.

    python docs/pictures.py REPORT.html CAPTION > PICTURE.svg

CAPTION is the beginning of the line below the picture.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from pathlib import Path

FIGURE = re.compile(r'<img src="data:image/svg\+xml;base64,([^"]*)" alt="([^"]*)">')


def picture(page: str, caption: str) -> str:
    """Return the SVG whose caption begins like this."""
    found = [svg for svg, said in FIGURE.findall(page) if html.unescape(said).startswith(caption)]
    if not found:
        raise SystemExit(f"no picture's caption begins with {caption!r}")
    text = base64.b64decode(found[0]).decode()
    return text.replace("<svg ", '<svg style="background: white" ', 1)


if __name__ == "__main__":
    report, caption = sys.argv[1:]
    print(picture(Path(report).read_text(encoding="utf-8"), caption), end="")
