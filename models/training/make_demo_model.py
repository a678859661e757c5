"""Make the demo model from nothing: speak the corpus, train, convert, evaluate.

    python -m models.training.make_demo_model --work work-demo-model

Each part is skipped where its result is there already; training goes on from its last checkpoint. The model ends up in
`WORK/model`, the figures in `WORK/evaluation.json`. It takes some hours on two cores; stop and start it at will.
To ship the result, copy it over `models/demo/whisper` and run the tests.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from models.training.corpus import Corpus, make_corpus

MODEL = Path(__file__).parents[1] / "demo" / "whisper"
UTTERANCES = 40_000


def _train(work: Path, *, scale: float, seed: int, threads: int) -> None:
    import torch

    from models.training.tokens import Vocabulary
    from models.training.train import STAGES, Trainer
    from models.training.windows import Source

    torch.set_num_threads(threads)
    corpus = Corpus(work / "corpus")
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        known = torch.load(checkpoint, weights_only=True)["known"]
        vocabulary = Vocabulary(MODEL / "tokenizer.json", known)
    else:
        vocabulary = Vocabulary.of(MODEL / "tokenizer.json", (spoken.text for spoken in corpus.utterances))
    stages = tuple(
        replace(stage, steps=max(1, round(stage.steps * scale)), warm_up=max(1, round(stage.warm_up * scale)))
        for stage in STAGES
    )
    Trainer(work, Source(corpus, vocabulary), vocabulary, stages, seed).run()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for corpus, checkpoints and results")
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps of every stage")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    make_corpus(asked.work / "corpus", asked.utterances, asked.seed)
    _train(asked.work, scale=asked.scale, seed=asked.seed, threads=asked.threads)
    from models.training.evaluate import evaluate
    from models.training.export import export

    export(asked.work / "checkpoint.pt", asked.work / "model", MODEL)
    figures = evaluate(asked.work / "model")
    (asked.work / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
