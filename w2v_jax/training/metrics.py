"""Reports to a file, for machines."""

import json
from typing import Any

from ..params import Params
from .reports import Callback, Report


def write_json_lines(file: Any) -> Callback:
    """A callback that writes each report as a line of JSON, at once, so that the file can be followed."""

    def write(report: Report, params: Params) -> None:
        print(json.dumps(report._asdict()), file=file, flush=True)

    return write
