"""How whatever computes says that a plan does not hold."""

from ntkspec.export.layout import Choices


class Replan(Exception):
    """A choice does not hold; start the snapshot again with better ones."""

    def __init__(self, choices: Choices) -> None:
        super().__init__("replan")
        self.choices = choices
