"""Events that end a command, and the error of one."""

import bb.event


class CommandCompleted(bb.event.Event):
    pass


class CommandExit(bb.event.Event):
    def __init__(self, exitcode):
        super().__init__()
        self.exitcode = int(exitcode)


class CommandFailed(CommandExit):
    def __init__(self, message):
        self.error = message
        super().__init__(1)

    def __str__(self):
        return "Command execution failed: %s" % self.error


class CommandError(Exception):
    pass
