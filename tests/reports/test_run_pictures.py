import dataclasses

import numpy as np
from matplotlib.colors import to_rgb

from bvkeras.reports.figures import COLOURS
from bvkeras.reports.layers import layer_picture
from bvkeras.reports.parameters import parameter_picture
from bvkeras.reports.report import read_report
from bvkeras.reports.run_pictures import run_pictures
from bvkeras.reports.stop_points import stop_point_picture


def names(comparison):
    return [picture.name for picture in run_pictures(comparison)]


def test_a_report_of_an_earlier_release_has_what_it_gives(make_comparison):
    assert names(make_comparison()) == ["scores", "parameters", "training"]


def test_a_run_of_one_stop_point_has_no_curve(make_run):
    comparison = read_report(make_run() / "report.json")
    assert names(comparison) == ["scores", "parameters", "layers"]


def test_curve(make_run):
    directory = make_run(
        stops=(0.5, 1.0), baseline={"validation": {"accuracy": 0.5}}
    )
    comparison = read_report(directory / "report.json")
    picture = stop_point_picture(comparison)
    scores = {s.name: comparison.main_score(s) for s in comparison.systems}
    expected = [
        [
            "fine-tuned encoder",
            epochs,
            222.21,
            scores[f"fine-tuned encoder, epoch {epochs:g}"],
        ]
        for epochs in (0.5, 1.0)
    ]
    assert picture.columns == ["system", "epochs", "seconds", "accuracy"]
    assert [row[:2] for row in picture.rows[:2]] == [r[:2] for r in expected]
    np.testing.assert_allclose(
        [row[2:] for row in picture.rows[:2]], [row[2:] for row in expected]
    )
    # A head needs the seconds of extraction too.
    assert picture.rows[2][2] > picture.rows[0][2]
    epoch_axes, second_axes = picture.figure.axes
    for axes, column in ((epoch_axes, 1), (second_axes, 2)):
        encoder, head = axes.lines[:2]
        np.testing.assert_allclose(
            [*encoder.get_xdata(), *head.get_xdata()],
            [row[column] for row in picture.rows],
        )
    legend = [text.get_text() for text in picture.figure.legends[0].texts]
    assert legend == [
        "fine-tuned encoder",
        "pooled head on it",
        "always the most frequent class",
    ]


def test_regression_has_its_curve_and_its_marks(make_run):
    directory = make_run(stops=(0.5, 1.0), regression=True)
    comparison = read_report(directory / "report.json")
    picture = stop_point_picture(comparison)
    assert [row[:2] for row in picture.rows[4:]] == [
        ["regression on its means", 0.5],
        ["regression on its means", 1.0],
    ]
    (axes,) = parameter_picture(comparison).figure.axes
    assert sorted(text.get_text() for text in axes.texts) == [
        *["0.5"] * 3,
        *["1"] * 3,
    ]


def colours_seen(picture):
    """Those of the palette that a picture's axes show, by their order."""
    figure = picture.figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    found = set()
    for axes in figure.axes:
        left, bottom, right, top = axes.bbox.extents.round().astype(int)
        inside = pixels[len(pixels) - top : len(pixels) - bottom, left:right]
        for number, colour in enumerate(COLOURS):
            rgb = np.round(255 * np.array(to_rgb(colour)))
            if (np.abs(inside - rgb).max(axis=-1) <= 30).sum() > 12:
                found.add(number)
    return found


def test_points_that_coincide_are_all_seen(make_run):
    directory = make_run(stops=(0.5, 1.0), regression=True)
    comparison = read_report(directory / "report.json")
    systems = [
        dataclasses.replace(
            system,
            scores={"validation": {"accuracy": 0.5 + (system.epochs == 1) / 4}},
            trained_parameters=1000,
            seconds={"all": system.epochs},
        )
        for system in comparison.systems
    ]
    shares = {name: [1.0, 2.0, 3.0] for name in comparison.layer_importance}
    same = dataclasses.replace(
        comparison, systems=systems, layer_importance=shares
    )
    assert colours_seen(stop_point_picture(same)) >= {0, 1, 2}
    assert colours_seen(layer_picture(same)) >= {0, 1, 2}
    picture = parameter_picture(same)
    assert colours_seen(picture) >= set(range(6))
    # One text for all marks of a place.
    (axes,) = picture.figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.5", "1"]


def test_parameters_have_one_mark_a_system(make_run):
    comparison = read_report(make_run(stops=(0.5, 1.0)) / "report.json")
    picture = parameter_picture(comparison)
    (axes,) = picture.figure.axes
    places = [tuple(line.get_xydata()[0]) for line in axes.lines]
    assert places == [
        (s.trained_parameters, comparison.main_score(s))
        for s in comparison.systems
    ]
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in picture.figure.legends[0].texts]
    assert labels == [
        "fine-tuned encoder",
        "pooled head on it",
        "head on the frozen encoder",
        "encoder after one more epoch",
    ]
    # Which stop point a mark is of.
    assert [text.get_text() for text in axes.texts] == ["0.5", "0.5", "1", "1"]


def test_layers_are_shares(make_run):
    comparison = read_report(make_run() / "report.json")
    picture = layer_picture(comparison)
    assert picture.rows[:3] == [
        ["pooled head on it", 0, 1.0, 0.125],
        ["pooled head on it", 1, 2.0, 0.25],
        ["pooled head on it", 2, 5.0, 0.625],
    ]
    (axes,) = picture.figure.axes
    np.testing.assert_array_equal(
        axes.lines[0].get_ydata(), [0.125, 0.25, 0.625]
    )


def test_a_head_that_says_nothing_has_shares_of_nothing(make_run):
    directory = make_run(layer_importance={"pooled head on it": [0.0, 0.0]})
    picture = layer_picture(read_report(directory / "report.json"))
    assert [row[3] for row in picture.rows] == [0.0, 0.0]
