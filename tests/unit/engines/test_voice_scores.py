"""How alike voices are, on the scale of the pipeline that made them."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.engines.voice_scores import Scorer


def scorer(**clustering: object) -> Scorer:
    return Scorer(SimpleNamespace(clustering=SimpleNamespace(**clustering)))


def unit(*numbers: float) -> list[float]:
    return list(np.array(numbers) / np.linalg.norm(numbers))


def test_zero_is_the_pipelines_own_threshold() -> None:
    by_average = scorer(method="average", threshold=0.4, metric="cosine")
    at_threshold = [1.0, 0.0], [0.6, 0.8]
    assert by_average.table(at_threshold)[0, 1] == pytest.approx(0)
    by_centroid = scorer(method="centroid", threshold=np.hypot(0.4, 0.8), metric="cosine")
    assert by_centroid.table(at_threshold)[0, 1] == pytest.approx(0)
    for one in (by_average, by_centroid):
        assert one.table([[1.0, 0.0], [0.7, 0.7]])[0, 1] > 0 > one.table([[1.0, 0.0], [0.3, 0.9]])[0, 1]


def test_means_of_many_windows_are_compared_as_all_pairs_are() -> None:
    rng = np.random.default_rng(3)
    one, other = (rng.normal(size=(40, 8)) + rng.normal(size=8) * 2 for _ in range(2))
    one, other = (group / np.linalg.norm(group, axis=1, keepdims=True) for group in (one, other))
    average = 1 - (one @ other.T).mean()
    found = scorer(method="average", threshold=0.4).table([one.mean(axis=0), other.mean(axis=0)])
    assert found[0, 1] == pytest.approx(0.4 - average)


def test_a_probabilistic_pipeline_is_asked_how_likely_one_person_is() -> None:
    phi = np.array([4.0, 1.0, 0.3])
    plda = type("Plda", (), {"phi": phi, "__call__": lambda self, vectors: np.asarray(vectors)})()
    x, y = np.array([1.5, -0.5, 0.2]), np.array([1.1, 0.3, -0.4])

    def density(values: np.ndarray, covariance: np.ndarray) -> float:
        inverse, determinant = np.linalg.inv(covariance), np.linalg.det(2 * np.pi * covariance)
        return float(-0.5 * (values @ inverse @ values + np.log(determinant)))

    expected = sum(
        density(np.array([a, b]), np.array([[p + 1, p], [p, p + 1]]))
        - density(np.array([a]), np.array([[p + 1]]))
        - density(np.array([b]), np.array([[p + 1]]))
        for a, b, p in zip(x, y, phi, strict=True)
    )
    found = scorer(plda=plda, threshold=0.6).table([x, y])
    assert found[0, 1] == pytest.approx(expected / 3) and found[1, 0] == pytest.approx(found[0, 1])


def test_a_voice_that_could_not_be_described_is_like_nobody() -> None:
    table = scorer(method="average", threshold=0.4).table([[], unit(1, 2), [0.0, 0.0]])
    assert np.isnan(table[0]).all() and np.isnan(table[2]).all() and table[1, 1] > 0
    assert Scorer(object()).table([unit(1, 0), unit(1, 0.1)])[0, 1] > 0, "a pipeline that says nothing of itself"
