import struct
import xml.etree.ElementTree

import pytest

from bvkeras.reports.figures import new_figure
from bvkeras.reports.picture import Picture, csv_text


def make_picture(last=4):
    figure = new_figure(6, 4)
    figure.subplots().plot([1, 2], [3, last], "o-")
    return Picture(
        "a_line", "A line", figure, ["x", "y, z"], [[1, 0.1], [2, "two"]]
    )


@pytest.fixture
def picture():
    return make_picture()


def test_files(picture, tmp_path):
    picture.save(tmp_path / "plots")
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"a_line.png", "a_line.svg", "a_line.csv"}
    data = (tmp_path / "plots" / "a_line.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (900, 600)
    root = xml.etree.ElementTree.parse(tmp_path / "plots" / "a_line.svg")
    assert root.getroot().tag.endswith("svg")


def test_numbers_are_in_the_csv(picture):
    assert picture.csv() == 'x,"y, z"\n1,0.1\n2,two\n'


def test_csv_computes_nothing_in_a_spreadsheet():
    rows = [["=1+1", -0.5, "-0.5", "@x"]]
    assert csv_text(["+a", "b", "c", "d"], rows) == (
        "'+a,b,c,d\n'=1+1,-0.5,-0.5,'@x\n"
    )


def test_figures_drawn_alike_give_the_same_svg():
    svg = make_picture().svg()
    assert make_picture().svg() == svg
    assert make_picture(last=5).svg() != svg
    assert "dc:date" not in svg
