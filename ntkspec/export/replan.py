"""The exception that restarts an export with other choices."""

from ntkspec.export.layout import Choices


class Replan(Exception):
    """A choice does not hold; the snapshot starts again with the choices given."""

    def __init__(self, choices: Choices) -> None:
        super().__init__("replan")
        self.choices = choices
