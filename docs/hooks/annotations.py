"""What Griffe reads of the source, made fit to be read: shapes in jaxtyping's own spelling, parameters in a list."""

import dataclasses
import re
from typing import Any

from griffe import Attribute, Expr, ExprName, ExprSubscript, ExprTuple, Extension, Function, Object

_SHAPED = {"Bool", "Float", "Float32", "Float64", "Int", "Int64", "Num", "Shaped", "UInt8"}
_PARAMETERS = re.compile(r"^((?:\*{0,2}[a-z]\w*)(?:, [a-z]\w*)*): ", re.M)


class Readable(Extension):
    """Mends annotations and docstrings as Griffe reads them."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Mend one object."""
        if isinstance(obj, Function):
            for parameter in obj.parameters:
                spell(parameter.annotation)
            spell(obj.returns)
        if isinstance(obj, Attribute):
            spell(obj.annotation)
            spell(obj.value)
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)


def spell(expression: Any) -> None:
    """Write the shapes inside an annotation with double quotes, and one axis without the space that linters ask for."""
    if not isinstance(expression, Expr):
        return
    if isinstance(expression, ExprSubscript) and isinstance(expression.left, ExprName):
        inner = expression.slice
        if expression.left.name in _SHAPED and isinstance(inner, ExprTuple):
            inner.elements = [inner.elements[0], *(f'"{_axes(str(one))}"' for one in inner.elements[1:])]
    for field in dataclasses.fields(expression):
        value = None if field.name == "parent" else getattr(expression, field.name)
        for one in value if isinstance(value, list | tuple) else [value]:
            spell(one)


def _axes(text: str) -> str:
    """Return the axes of a shape, of which Griffe takes `batch *shape` for a product and `size` for a name."""
    return re.sub(r" \* (?=\w)", " *", text.strip("'\"")).strip()


def listed(docstring: str) -> str:
    """Put every line that begins with `name: ` or `name, name: ` into a list, so that they do not run together."""
    first, _, rest = docstring.partition("\n\n")
    paragraphs = [_PARAMETERS.sub(r"- `\1`: ", one) if _PARAMETERS.match(one) else one for one in rest.split("\n\n")]
    return "\n\n".join([first, *paragraphs]) if rest else docstring
