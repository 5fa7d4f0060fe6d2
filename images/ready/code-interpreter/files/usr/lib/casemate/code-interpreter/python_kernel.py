# SPDX-License-Identifier: Apache-2.0
"""The Python kernel: ipykernel, with figures that come as pictures and as data."""
import sys

# No debugger: nobody reaches it here, and to import it is a third of a kernel's start.
sys.modules["debugpy"] = None

# pylint: disable=wrong-import-position
from ipykernel.kernelapp import IPKernelApp
from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

DATA_CELLS_MAX = 1_000_000


class DataFormatter(BaseFormatter):
    """A data frame as columns. Nothing is imported for it: what isn't imported isn't being displayed."""

    format_type = Unicode("application/vnd.casemate.data+json")
    print_method = ObjectName("_repr_casemate_data_")
    _return_type = dict

    def __call__(self, obj):
        pandas = sys.modules.get("pandas")
        if pandas is None or not isinstance(obj, pandas.DataFrame) or obj.size > DATA_CELLS_MAX:
            return None
        return {str(name): [plain(pandas, v) for v in column.tolist()] for name, column in obj.items()}


def plain(pandas, value):
    if isinstance(value, pandas.Timestamp):
        return value.isoformat()
    if isinstance(value, float) and value - value != 0:
        return None  # JSON has no NaN and no infinity, and Jupyter would make texts of them
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


class ChartFormatter(BaseFormatter):
    """A figure as what was drawn in it."""

    format_type = Unicode("application/vnd.casemate.chart+json")
    print_method = ObjectName("_repr_casemate_chart_")
    _return_type = dict

    def __call__(self, obj):
        figure = sys.modules.get("matplotlib.figure")
        if figure is None or not isinstance(obj, figure.Figure):
            return None
        import charts
        try:
            return charts.of_figure(obj)
        except Exception:  # pylint: disable=broad-except
            return None  # the picture is there all the same


def as_json(obj):
    """Lists and dictionaries that JSON can hold."""
    import json
    try:
        return json.loads(json.dumps(obj, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None


def pictures_of_pillow():
    """What Image.show would open a window for, and what is saved, is shown; as E2B's template does."""
    from IPython.display import display
    from PIL import Image

    save = Image.Image.save

    def shown_save(self, fp, format=None, **options):  # pylint: disable=redefined-builtin
        save(self, fp, format, **options)
        if isinstance(fp, str):
            display(self)

    Image.Image.save = shown_save
    Image.Image.show = lambda self, title=None: display(self)


def main():
    app = IPKernelApp.instance(matplotlib="inline")
    app.initialize(sys.argv[1:])
    app.shell.run_line_magic("colors", "NoColor")
    formatters = app.shell.display_formatter.formatters
    for kind in (DataFormatter, ChartFormatter):
        formatter = kind(parent=app.shell.display_formatter)
        formatters[formatter.format_type] = formatter
    for kind in (list, dict):
        formatters["application/json"].for_type(kind, as_json)
    pictures_of_pillow()
    app.start()


if __name__ == "__main__":
    main()
