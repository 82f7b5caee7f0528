"""Colours in what the standard library prints: none.

Python's own module decides by the terminal and describes its themes as data classes, for which it brings in
`dataclasses`, `inspect` and `tokenize`: a tenth of the time of every command that uses `argparse`. Tracebacks and
help texts in logs have no colours in any case, and on the Pythons most people run a build with there are none yet.
"""

COLORIZE = False


class _Plain(str):
    """Every colour, every group of colours and every theme."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, name):
        return self if isinstance(name, str) else str.__getitem__(self, name)

    def copy_with(self, **sections):
        return self

    def no_colors(self):
        return self


_PLAIN = _Plain()
ANSIColors = NoColors = Theme = ThemeSection = default_theme = theme_no_color = _PLAIN


def can_colorize(*, file=None):
    return False


def decolor(text):
    """A text without the colours that somebody else put in."""
    import re

    return re.sub("\x1b\\[[0-9;]*m", "", text)


def get_colors(colorize=False, *, file=None):
    return _PLAIN


def get_theme(*, tty_file=None, force_color=False, force_no_color=False):
    return _PLAIN


def set_theme(theme):
    pass
