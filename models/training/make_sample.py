"""Make the bundled sample recording and the truth about it: `python -m models.training.make_sample`."""

from __future__ import annotations

import json
from pathlib import Path

from models.training.grammar import is_held_out
from models.training.recordings import Recording, conversation

FOLDER = Path(__file__).parents[1] / "demo"
FIRST, SECOND, THIRD = "en-us+f3", "en-gb-x-rp", "en-us+m3"
LINES = (
    (FIRST, "Welcome to the product demo."),
    (FIRST, "I am Olivia from the research team."),
    (SECOND, "My name is Martin and I work in Vienna."),
    (FIRST, "Let us start with the design update."),
    (SECOND, "We have six questions about the recording."),
    (THIRD, "How many minutes do we need?"),
    (SECOND, "I think the schedule is too long."),
    (FIRST, "The deadline is the second of December."),
    (THIRD, "Could you please check the support ticket?"),
    (SECOND, "Emma will check the report tonight."),
    (FIRST, "The next review is on December ninth."),
)


def truth(sample: Recording) -> dict[str, object]:
    """What is said in a recording, when and by whom, as JSON holds it."""
    return {
        "language": "en",
        "duration": round(sample.duration, 4),
        "text": sample.text,
        "sentences": [
            {"start": said.start, "end": said.end, "voice": said.voice, "text": said.text} for said in sample.sentences
        ],
        "words": [{"start": word.start, "end": word.end, "word": word.text} for word in sample.words],
    }


def main() -> None:
    """Write `sample.flac` and `sample.json` beside the demo models."""
    if trained := [text for _, text in LINES if not is_held_out(text)]:
        raise SystemExit(f"not held out from training: {trained}")
    sample = conversation(LINES, seed=1, noise=0.0002)
    sample.write(FOLDER / "sample.flac")
    written = json.dumps(truth(sample), indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "sample.json").write_text(written, encoding="utf-8")
    print(f"{sample.duration:.1f} s, {len(sample.words)} words")


if __name__ == "__main__":
    main()
