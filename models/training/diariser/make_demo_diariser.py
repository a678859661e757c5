"""Make the demo diariser from nothing: speak the sentences, train both networks, choose the settings.

    python -m models.training.diariser.make_demo_diariser --work work-demo-diariser

Training goes on from its last checkpoint. The pipeline ends up in `WORK/diariser`, what its settings were chosen by in
`WORK/choice.json`. It takes some hours on two cores; stop and start it at will. To ship the result, copy it over
`models/demo/diariser`, run the tests and take its figures (`python -m benchmarks.diarisation_error`).

`--start FOLDER` begins with the networks of a finished pipeline instead of new ones. `--parts` names some of the
parts, so that the two networks can be trained side by side.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.training.diariser.pool import Pool, make_pool
from models.training.diariser.voices import choosing_people, people

PARTS = ("segmentation", "embedding", "pipeline")
SENTENCES = 20  # of everybody
_STEPS = {"segmentation": 8000, "embedding": 6000}
_RATES = {"segmentation": 2e-3, "embedding": 3e-3}
_DECAYS = {"segmentation": 1e-3, "embedding": 1e-4}


def _pools(work: Path, sentences: int) -> tuple[Pool, Pool]:
    """Everybody to train on, and the people whose voices the settings are chosen by."""
    pools = []
    for name, cast in (("pool", people()), ("pool-choosing", choosing_people())):
        make_pool(work / name, cast, sentences)
        pools.append(Pool(work / name, cast))
    return pools[0], pools[1]


def train(part: str, asked: argparse.Namespace) -> None:
    """Train one of the networks, or go on doing so, and write it into `WORK/diariser`."""
    import torch

    from models.training.diariser import embedding, networks, segmentation
    from models.training.diariser.loop import Loop, Plan

    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    heard, unheard = _pools(asked.work, asked.sentences)
    network: Any = getattr(networks, part)()
    plan = Plan(max(1, round(_STEPS[part] * asked.scale)), _RATES[part], 100, _DECAYS[part], asked.minutes)
    if asked.start:
        network.load_state_dict(networks.read(asked.start / part))
        plan = replace(plan, learning_rate=plan.learning_rate / 2)
    if part == "segmentation":
        segmentation.freeze_filters(network)
        loop = Loop(asked.work / f"{part}.pt", network, plan, asked.seed)
        loop.run(segmentation.loss_of(network, heard), segmentation.check_of(network, unheard))
        weights = loop.averaged
    else:
        judge = embedding.Judge(network, len(heard.cast))
        if asked.start and not (asked.work / f"{part}.pt").exists():
            embedding.aim(judge, heard)
        loop = Loop(asked.work / f"{part}.pt", judge, plan, asked.seed)
        loop.run(embedding.loss_of(judge, heard), embedding.check_of(judge, unheard))
        weights = judge.weights(loop.averaged)
    networks.write(network, weights, asked.work / "diariser" / part)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for sentences, checkpoints and results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--start", type=Path, help="a pipeline to begin with")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="how many everybody speaks")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps of both networks")
    parser.add_argument("--minutes", type=float, help="at most so long for each network")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for part in asked.parts:
        if part == "pipeline":
            from models.training.diariser.pipeline import finish

            told = finish(asked.work / "diariser", _pools(asked.work, asked.sentences)[0], scale=asked.scale)
            (asked.work / "choice.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            print(told["chosen"], told[told["chosen"]]["settings"], told[told["chosen"]]["figures"], flush=True)
        else:
            train(part, asked)


if __name__ == "__main__":
    main()
