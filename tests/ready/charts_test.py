# SPDX-License-Identifier: Apache-2.0
"""The code interpreter's charts: what was drawn comes out as the data that it was drawn from. Needs matplotlib."""
import datetime
import os
import sys
import unittest

sys.dont_write_bytecode = True  # not beside the image's files
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../images/ready/code-interpreter/files/usr/lib/casemate/code-interpreter"))

import matplotlib  # noqa: E402

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

import charts  # noqa: E402


class Charts(unittest.TestCase):
    def setUp(self):
        self.figure, self.ax = plt.subplots()

    def tearDown(self):
        plt.close("all")

    def chart(self):
        self.figure.canvas.draw()
        return charts.of_figure(self.figure)

    def test_line_with_dates(self):
        days = [datetime.date(2023, 9, 1) + datetime.timedelta(days=i) for i in range(3)]
        self.ax.plot(days, [1, 2, 3], label="rise")
        self.ax.axhline(2)
        self.ax.set_xlabel("Time (s)")
        self.ax.set_title("T")
        c = self.chart()
        self.assertEqual((c["type"], c["title"], c["x_label"], c["x_unit"], c["y_label"]),
                         ("line", "T", "Time (s)", "s", None))
        self.assertEqual((c["x_scale"], c["y_scale"]), ("datetime", "linear"))
        self.assertEqual(c["elements"], [{"label": "rise", "points": [["2023-09-01", 1], ["2023-09-02", 2], ["2023-09-03", 3]]}])
        self.assertTrue(all(isinstance(t, str) for t in c["x_ticks"]))

    def test_categories_and_logarithms(self):
        self.ax.plot([1, 2], ["A", "B"])
        self.ax.set_xscale("log")
        c = self.chart()
        self.assertEqual((c["x_scale"], c["y_scale"]), ("log", "categorical"))
        self.assertEqual(c["elements"], [{"label": "Line 0", "points": [[1, "A"], [2, "B"]]}])

    def test_scatter(self):
        self.ax.scatter([1, 2], [3, 4], label="a")
        self.ax.scatter([5], [6])
        c = self.chart()
        self.assertEqual(c["type"], "scatter")
        self.assertEqual([e["points"] for e in c["elements"]], [[[1, 3], [2, 4]], [[5, 6]]])

    def test_bars(self):
        self.ax.bar(["x", "y"], [1, 2], label="g")
        self.ax.set_ylabel("N")
        c = self.chart()
        self.assertEqual((c["type"], c["y_label"]), ("bar", "N"))
        self.assertEqual(c["elements"], [{"label": "x", "group": "g", "value": 1.0}, {"label": "y", "group": "g", "value": 2.0}])

    def test_grouped_and_flat_bars(self):
        self.ax.barh([0.8, 1.8], [3, 4], height=0.4)
        self.ax.barh([1.2, 2.2], [5, 6], height=0.4)
        self.ax.set_yticks([1, 2], labels=["one", "two"])
        self.ax.set_xlabel("N")
        c = self.chart()
        self.assertEqual((c["type"], c["y_label"]), ("bar", "N"))
        self.assertEqual([(e["label"], e["group"], e["value"]) for e in c["elements"]],
                         [("one", "Group 0", 3), ("two", "Group 0", 4), ("one", "Group 1", 5), ("two", "Group 1", 6)])

    def test_pie(self):
        self.ax.pie([90, 10], labels=["No", "Yes"], autopct="%1.1f%%")
        self.assertEqual(self.chart()["elements"], [{"label": "No", "angle": 324.0, "radius": 1.0},
                                                    {"label": "Yes", "angle": 36.0, "radius": 1.0}])

    def test_boxes(self):
        data = [[85, 90, 78, 92, 88], [95, 89, 76, 91, 84, 87]]
        for vert in (True, False):
            with self.subTest(vert=vert):
                self.ax.clear()
                self.ax.boxplot(data, labels=["a", "b"], patch_artist=True, vert=vert)
                c = self.chart()
                self.assertEqual(c["type"], "box_and_whisker")
                self.assertEqual(c["elements"], [
                    {"label": "a", "min": 78, "first_quartile": 85, "median": 88, "third_quartile": 90, "max": 92, "outliers": []},
                    {"label": "b", "min": 84, "first_quartile": 84.75, "median": 88, "third_quartile": 90.5, "max": 95,
                     "outliers": [76]}])

    def test_superchart_and_unknown(self):
        plt.close("all")
        self.figure, axes = plt.subplots(1, 2)
        self.figure.suptitle("both")
        axes[0].plot([1, 2], [1, 2])
        axes[0].fill_between([1, 2], [1, 2])
        axes[1].scatter([1], [1])
        c = self.chart()
        self.assertEqual((c["type"], c["title"], [e["type"] for e in c["elements"]]), ("superchart", "both", ["unknown", "scatter"]))

    def test_nothing(self):
        self.assertIsNone(self.chart())

    def test_too_much(self):
        self.ax.plot(range(charts.POINTS_MAX + 1))
        self.assertIsNone(self.chart())


if __name__ == "__main__":
    unittest.main()
