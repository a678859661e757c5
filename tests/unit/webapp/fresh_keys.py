"""For schemathesis: each request that may carry an Idempotency-Key gets one of its own.

Drawn keys come again with other bodies, which is refused, as it must be: nobody would see what those bodies give.
"""

import re
import uuid
from typing import Any

import schemathesis

from webapp.intake.submission import KEY, KEY_PATTERN


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Replace the key of a request that is good; what is wrong with others must stay as it is."""
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and re.fullmatch(KEY_PATTERN, str((case.headers or {}).get(KEY, ""))):
        case.headers[KEY] = uuid.uuid4().hex
