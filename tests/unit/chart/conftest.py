"""The chart with few values, with all of them, and as a trial."""

import pytest

from tests.charts import CASES


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)
