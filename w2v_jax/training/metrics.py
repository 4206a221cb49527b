"""Reports to a file, for machines."""

import errno
import json
import os
import sys

from ..params import Params
from .reports import Callback, Report


def write_json_lines(path: str | os.PathLike[str]) -> Callback:
    """A callback that writes each report as a line of JSON, at once, so that the file can be followed.

    The file is begun anew with the first report, or gone on with where training was resumed. If it can no longer be
    written, it keeps its whole lines, standard error has a word about it, and training goes on: hours of work are
    worth more than their log.
    """
    begun = failed = False

    def write(report: Report, params: Params) -> None:
        nonlocal begun, failed
        if failed:
            return
        try:
            with open(path, "ab" if begun or report.resumed else "wb", buffering=0) as file:
                begun, whole, line = True, file.tell(), json.dumps(report._asdict()).encode() + b"\n"
                if file.write(line) < len(line):  # as much as there was room for
                    file.truncate(whole)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            failed = True
            why = f"{os.fspath(path)}: cannot be written: {error.strerror}"
            print(f"w2v_jax: {why}; training goes on without it", file=sys.stderr)

    return write
