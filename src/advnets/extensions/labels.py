"""A few labels out of many: as many of each class, drawn from the training part by a seed."""

import numpy as np
import torch
from numpy.typing import NDArray

from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.seeds import stream


def draw(data: DataSet, count: int | None, classes: int, seed: int) -> NDArray[np.int64]:
    """Return the rows (count,) of the training part whose labels are used, as many of each class, in mixed order.

    Where `count` is no multiple of `classes`, the rest goes to classes that the seed chooses, one each; None takes all
    rows that have a label, in their order.
    Raises InputError for data without labels or with other classes, and for more labels of a class than there are.
    """
    labels = _of_classes(data, classes)
    if count is None:
        return _all(data, labels, classes)
    if not classes <= count <= len(labels):
        raise InputError(
            f"labels is {count}, allowed for {data.name}: {classes}, one of each class, to {len(labels)}; "
            "set --semi.labels or --labels"
        )
    random = stream(seed, "labels")
    order = torch.randperm(len(labels), generator=random).numpy()
    extra = set(torch.randperm(classes, generator=random)[: count % classes].tolist())
    rows = []
    for one in range(classes):
        wanted = count // classes + (one in extra)
        found = order[labels[order] == one][:wanted]
        if len(found) < wanted:
            raise InputError(
                f"class {_name(data, one)} of {data.name} has {len(found)} labelled training examples and {wanted} are "
                "asked for, allowed: as many of each class; set --semi.labels or --labels lower"
            )
        rows.append(found)
    mixed: NDArray[np.int64] = np.concatenate(rows)[torch.randperm(count, generator=random).numpy()]
    return mixed


def class_count(data: DataSet) -> int:
    """Count the classes of a labelled data set; raises InputError for one without labels."""
    if data.train.labels is None or len(np.unique(data.train.labels[data.train.labels >= 0])) < 2:
        raise InputError(
            f"{data.name} has no labels, allowed: a data set of two or more classes; put images into one sub-folder a "
            "class, or an array y into the .npz file"
        )
    parts = (data.train, data.validation, data.test)
    return 1 + max(int(part.labels.max()) for part in parts if part.labels is not None and len(part.labels))


def _all(data: DataSet, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(labels >= 0)
    if absent := sorted({*range(classes)} - {*labels[rows].tolist()}):
        raise InputError(
            f"class {_name(data, absent[0])} of {data.name} has no labelled training example, allowed: one of each "
            "class at least; label one"
        )
    return rows


def _name(data: DataSet, one: int) -> str:
    return data.class_names[one] if one < len(data.class_names) else str(one)


def _of_classes(data: DataSet, classes: int) -> NDArray[np.int64]:
    there = class_count(data)
    if there != classes and not there < classes == len(data.class_names):  # the last ones may have no label here
        raise InputError(
            f"--semi.classes is {classes} and {data.name} has {there} classes, allowed: as many as there are; "
            f"set --semi.classes {there}"
        )
    assert data.train.labels is not None  # class_count refuses that
    return data.train.labels
