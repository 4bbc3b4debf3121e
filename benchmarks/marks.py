"""A page and something written by a command in, the page with it between its marks out."""

from __future__ import annotations


def between(text: str, begin: str, end: str, content: str) -> str:
    """Return the page with the content between two marks; what was there before is gone.

    Raises:
        ValueError: the page lacks the marks.

    Example:
        >>> between("a <b> old <e> c", "<b>", "<e>", "new").splitlines()
        ['a <b>', 'new', '<e> c']
    """
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"The page needs the marks {begin} and {end} around the place of the table.")
    return f"{before}{begin}\n{content}\n{end}{after}"
