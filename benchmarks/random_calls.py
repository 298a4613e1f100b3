"""Does every call come to a map or to one sentence, whatever it is asked?

    python benchmarks/random_calls.py [--calls 12000] [--seed 0] [--only N]

Shapes, options, targets, contrasts, layers and plain rubbish, drawn at random over all methods and
several small networks (`tests/calls.py`). An answer is a finite map of the right shape or an
`ExplainError` of one sentence; whatever else happens is listed, with the number of the call, which
--only repeats. Ends with one line of JSON; the exit code is 1 if anything was listed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from explainers import Explanation  # noqa: E402
from tests import calls  # noqa: E402
from training.progress import progress  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat this call alone, with its traceback")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("error", RuntimeWarning)
    start, counts, defects = time.perf_counter(), Counter(), Counter()
    numbers = range(chosen.calls) if chosen.only is None else [chosen.only]
    for done, number in enumerate(numbers, 1):
        call = calls.draw(random.Random(f"{chosen.seed}:{number}"))
        try:
            found = calls.answer(call)
            counts["maps" if isinstance(found, Explanation) else "sentences"] += 1
            if chosen.only is not None:
                print(call, found, sep="\n")
        except Exception as error:
            if chosen.only is not None:
                print(call)
                traceback.print_exc()
            counts["defects"] += 1
            kind = (
                f"{type(error).__name__}: {str(error).splitlines()[0][:90] if str(error) else ''}"
            )
            if defects[kind] < 2:
                print(f"\n{number}: {kind}\n  {call}", flush=True)
            defects[kind] += 1
        if chosen.only is None and done % 100 == 0:
            progress("calls", done / len(numbers), start)
    for kind, count in defects.most_common():
        print(f"{count} × {kind}")
    seconds = round(time.perf_counter() - start, 1)
    about = {"calls": len(numbers), "seed": chosen.seed, "seconds": seconds}
    print(json.dumps(about | {key: counts[key] for key in ("maps", "sentences", "defects")}))
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
