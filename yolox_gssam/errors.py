"""The one error a user is meant to see."""


class UserError(ValueError):
    """Bad input: one line that says what, where, the rule and what to do.

    The tools print the message and exit with status 1; a traceback means a fault of ours.
    """
