"""A table as Markdown."""


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a cell may have bars and line breaks.

    Args:
        header: list of str.
        rows: list of lists of str, as many as in `header`.

    Returns:
        str.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines
    )


def _cell(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", "<br>")
