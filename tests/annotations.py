"""What executes shape annotations: beartype, asked once for each signature.

jaxtyping makes two functions of every signature for it: of one inside another function anew at each call of the outer
one, which took milliseconds. They depend on the signature alone.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import beartype
import jaxtyping
from jaxtyping import _decorator

checked = functools.cache(beartype.beartype)

_make = _decorator._make_fn_with_signature
_kept = functools.cache(_make)


def _made(*names: str, **more: Any) -> Any:
    try:
        return _kept(*names, **more)
    except TypeError:  # a default that has no hash
        return _make(*names, **more)


_decorator._make_fn_with_signature = _made


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """For hundreds of steps that show something else: to check shapes at each takes up to half of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
