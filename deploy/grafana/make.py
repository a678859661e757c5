"""The dashboards: ``python deploy/grafana/make.py`` writes them anew into the folder beside this file, or another.

Change them here, or in Grafana and then here: what is in the folder is what this says (a test looks).
"""

import json
import sys
from pathlib import Path

import api
import gpus
import keys
import overview
import queues

ALL = {
    "overview": overview.BOARD,
    "queues": queues.BOARD,
    "gpu": gpus.BOARD,
    "api": api.BOARD,
    "keys": keys.BOARD,
}

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent / "dashboards")
    for name, board in ALL.items():
        (folder / f"{name}.json").write_text(json.dumps(board, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
