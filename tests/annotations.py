"""What executes shape annotations: beartype, for the first calls of a function in a test.

To check every step of a training takes up to half of its time, and the thousandth step has the shapes of the tenth.

jaxtyping makes two functions of every signature for it: of one inside another function anew at each call of the outer
one, which took milliseconds. They depend on the signature alone.
"""

import functools
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping
from jaxtyping import _decorator

CALLS = 30
"""How many calls of a function are checked in a test, those in the fixtures it sets up included."""

checked = functools.cache(beartype.beartype)
_calls: Counter[types.CodeType] = Counter()
_always = jaxtyping.jaxtyped


def begin() -> None:
    """Check the next calls of every function again."""
    _calls.clear()


def _first_calls(function: object = None, **how: Any) -> Any:
    """Stand for `jaxtyping.jaxtyped`, by which its import hook decorates what it sees: check the first calls."""
    if function is None:
        return functools.partial(_first_calls, **how)
    if not isinstance(function, types.FunctionType):
        return _always(function, **how)
    code, full = function.__code__, functools.cache(functools.partial(_always, function, **how))

    @functools.wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        if _calls[code] >= CALLS:
            return function(*given, **named)
        _calls[code] += 1
        return full()(*given, **named)

    return called


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    kept = functools.cache(make)

    def made(*names: str, **more: Any) -> Any:
        try:
            return kept(*names, **more)
        except TypeError:  # a default that has no hash
            return make(*names, **more)

    return made


jaxtyping.jaxtyped = _first_calls
if hasattr(_decorator, "_make_fn_with_signature"):  # not public: where a release lacks it, tests are slower
    _decorator._make_fn_with_signature = _once(_decorator._make_fn_with_signature)
