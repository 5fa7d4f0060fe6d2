# SPDX-License-Identifier: Apache-2.0
"""What was drawn in a matplotlib figure, as data: the object that E2B's clients call a chart.

A figure's axes is a line, scatter, bar, pie or box_and_whisker chart when that is all that it holds, else unknown; several
axes make a superchart. Grid lines and other straight lines across the axes don't count.
"""
import re

from matplotlib import dates
from matplotlib.category import UnitData
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle, Wedge

POINTS_MAX = 200_000  # of a figure; more is left to the picture
UNIT = re.compile(r"\s\((.*?)\)|\[(.*?)\]")


def of_figure(figure):
    """None for a figure without anything in it."""
    axes = [ax for ax in figure.get_axes() if ax.has_data() or len(figure.get_axes()) > 1]
    if not any(ax.has_data() for ax in axes):
        return None
    charts = [of_axes(ax) for ax in axes]
    points = sum(len(e.get("points", ())) for chart in charts for e in chart["elements"])
    if points > POINTS_MAX:
        return None
    if len(charts) == 1:
        return charts[0]
    title = figure._suptitle.get_text() if figure._suptitle else ""
    return {"type": "superchart", "title": title or None, "elements": charts}


def of_axes(ax):
    lines = [line for line in ax.lines if not is_straight(line)] or list(ax.lines)
    patches, collections = list(ax.patches), list(ax.collections)
    others = [a for a in ax.artists + ax.images + ax.tables if a is not ax.get_legend()]
    chart = {"type": "unknown", "title": ax.get_title() or None, "elements": []}
    kinds = {type(p) for p in patches}
    bars = [c for c in ax.containers if isinstance(c, BarContainer)]
    only_lines = lines and not patches and not collections
    if others:
        return chart
    if only_lines:
        chart.update(labels(ax), **scales(ax), type="line", elements=[line_data(ax, line) for line in lines])
    elif collections and not patches and all(isinstance(c, PathCollection) for c in collections) and not drawn(lines):
        chart.update(labels(ax), **scales(ax), type="scatter", elements=[scatter_data(ax, c) for c in collections])
    elif kinds == {Wedge} and not collections:
        chart.update(type="pie", elements=[pie_data(wedge) for wedge in patches])
    elif bars and kinds == {Rectangle} and not drawn(lines):
        chart.update(bar_chart(ax, bars))
    elif kinds == {PathPatch} and lines and not collections:
        chart.update(box_chart(ax, patches))
    return chart


def is_straight(line):
    """Across the axes: what axhline and axvline draw."""
    x, y = line.get_xdata(), line.get_ydata()
    return len(x) == 2 and len(y) == 2 and bool(x[0] == x[1] or y[0] == y[1])


def drawn(lines):
    return [line for line in lines if not is_straight(line)]


# ---- Labels and scales -------------------------------------------------------------------------------------------------


def unit(label):
    """ "Time (s)" is in s."""
    found = UNIT.search(label or "")
    return (found.group(1) or found.group(2)) if found else None


def labels(ax, swapped=False):
    x, y = ax.get_xlabel() or None, ax.get_ylabel() or None
    if swapped:
        x, y = y, x
    return {"x_label": x, "y_label": y, "x_unit": unit(x), "y_unit": unit(y)}


def is_date(axis):
    return isinstance(axis.get_major_locator(), dates.DateLocator)


def scale(axis):
    if is_date(axis):
        return "datetime"
    return "categorical" if isinstance(axis.units, UnitData) else axis.get_scale()


def scales(ax):
    members = {}
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        members[f"{name}_tick_labels"] = [t.get_text() for t in axis.get_ticklabels()]
        members[f"{name}_ticks"] = [value(axis, t) for t in axis.get_ticklocs()]
        members[f"{name}_scale"] = scale(axis)
    return members


def finite(v):
    """JSON has no NaN and no infinity, and Jupyter would make texts of them."""
    return v if v - v == 0 else None


def value(axis, v):
    """A number, or a text for what is no number: dates as ISO 8601, names as they are."""
    if hasattr(v, "isoformat"):
        return v.isoformat()
    if getattr(getattr(v, "dtype", None), "kind", "") == "M":
        return str(v.astype("datetime64[s]"))
    if hasattr(v, "item"):
        v = v.item()
    if isinstance(v, (int, float)) and is_date(axis):
        return dates.num2date(v).isoformat()
    if isinstance(v, float):
        return finite(v)
    return v if isinstance(v, (int, float, str)) else str(v)


# ---- Elements ----------------------------------------------------------------------------------------------------------


def numbered(label, prefix, what):
    """What matplotlib calls _child0 when nobody has named it."""
    return f"{what} {label[len(prefix):]}" if label.startswith(prefix) else label


def line_data(ax, line):
    x, y = line.get_xdata(orig=True), line.get_ydata(orig=True)
    return {"label": numbered(str(line.get_label()), "_child", "Line"),
            "points": [[value(ax.xaxis, a), value(ax.yaxis, b)] for a, b in zip(x, y)]}


def scatter_data(ax, collection):
    return {"label": numbered(str(collection.get_label()), "_child", "Dataset"),
            "points": [[value(ax.xaxis, a), value(ax.yaxis, b)] for a, b in collection.get_offsets().tolist()]}


def pie_data(wedge):
    # Six digits: matplotlib's angles come by single precision.
    return {"label": wedge.get_label(), "angle": abs(float(f"{wedge.theta2 - wedge.theta1:.6g}")), "radius": float(wedge.r)}


def nearest_label(ticks, low, high):
    """The label of the tick that a bar stands at; without one, the place itself."""
    middle = (low + high) / 2
    slack = abs(high - low) * 1e-6
    inside = [(abs(at - middle), text) for at, text in ticks if low - slack <= at <= high + slack and text]
    return min(inside)[1] if inside else f"{middle:g}"


def tick_labels(axis):
    return [(float(at), t.get_text()) for at, t in zip(axis.get_ticklocs(), axis.get_ticklabels())]


def bar_chart(ax, bars):
    elements = []
    flat = all(c.orientation == "horizontal" for c in bars)
    for container in bars:
        group = numbered(str(container.get_label()), "_container", "Group")
        horizontal = container.orientation == "horizontal"
        ticks = tick_labels(ax.yaxis if horizontal else ax.xaxis)
        for bar in container:
            low, size = (bar.get_y(), bar.get_height()) if horizontal else (bar.get_x(), bar.get_width())
            height = bar.get_width() if horizontal else bar.get_height()
            elements.append({"label": nearest_label(ticks, low, low + size), "group": group,
                             "value": finite(float(height))})
    return {"type": "bar", "elements": elements, **labels(ax, flat)}


def box_chart(ax, patches):
    """Of a box plot's lines: the whiskers begin where the box ends, the median crosses it, outliers are points."""
    shapes = [patch.get_path().vertices for patch in patches]
    # Upright unless every box has a median along the other axis.
    flat = any(is_median(line, shapes[0], 0) for line in ax.lines) and \
        not any(is_median(line, shapes[0], 1) for line in ax.lines)
    along = 0 if flat else 1
    ticks = tick_labels(ax.yaxis if flat else ax.xaxis)
    elements = []
    for shape in shapes:
        side, box = shape[:, 1 - along], shape[:, along]
        low, high = float(box.min()), float(box.max())
        element = {"label": nearest_label(ticks, float(side.min()), float(side.max())), "min": low,
                   "first_quartile": low, "median": None, "third_quartile": high, "max": high, "outliers": []}
        for line in ax.lines:
            data = (line.get_xdata(), line.get_ydata())
            across, values = data[1 - along], data[along]
            if len(values) == 0 or not side.min() <= min(across) <= max(across) <= side.max():
                continue
            if line.get_linestyle() in ("None", ""):
                element["outliers"] += [float(v) for v in values]
            elif is_median(line, shape, along):
                element["median"] = float(values[0])
            elif len(values) == 2 and across[0] == across[1]:
                element["min"] = min(element["min"], float(min(values)))
                element["max"] = max(element["max"], float(max(values)))
        elements.append(element)
    return {"type": "box_and_whisker", "elements": elements, **labels(ax, flat)}


def is_median(line, shape, along):
    """As wide as the box, at one value: whiskers have the other direction, and their caps are narrower."""
    data = (line.get_xdata(), line.get_ydata())
    across, values = data[1 - along], data[along]
    side = shape[:, 1 - along]
    return isinstance(line, Line2D) and len(values) == 2 and values[0] == values[1] and across[0] != across[1] and \
        abs(max(across) - side.max()) < 1e-9 and abs(min(across) - side.min()) < 1e-9
