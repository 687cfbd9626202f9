"""What executes shape annotations: beartype, asked once for each signature.

jaxtyping makes two functions of every signature for it: of one inside another function anew at each call of the outer
one, which took milliseconds. They depend on the signature alone.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import beartype
import jaxtyping
from jaxtyping import _decorator

checked = functools.cache(beartype.beartype)


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    kept = functools.cache(make)

    def made(*names: str, **more: Any) -> Any:
        try:
            return kept(*names, **more)
        except TypeError:  # a default that has no hash
            return make(*names, **more)

    return made


if hasattr(_decorator, "_make_fn_with_signature"):  # not public: where a release lacks it, tests are slower
    _decorator._make_fn_with_signature = _once(_decorator._make_fn_with_signature)


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """For hundreds of steps that show something else: to check shapes at each takes up to half of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
