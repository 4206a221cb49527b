"""What commands print for other programs."""

import json
import sys
from typing import Any


def print_json(found: Any) -> None:
    """One line; letters as they are where the output has them all."""
    utf8 = sys.stdout is not None and (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
    print(json.dumps(found, ensure_ascii=not utf8))
