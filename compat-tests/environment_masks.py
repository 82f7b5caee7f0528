"""What may differ between two runs in what `bitbake -e` shows, and why."""

import re

# What may differ between two runs: (why, expression, replacement). Applied to each line of a text.
MASKS = [
    ("the time of the run", re.compile(r"\b20\d{6}-?\d{6}\b"), "TIME"),
    ("the date of the run", re.compile(r"\b20\d{6}\b"), "DATE"),
    ("the time of the run", re.compile(r'^(TIME=|#     |#   )"\d{6}"$'), r'\1"HHMMSS"'),
    ("the process that parsed the recipe", re.compile(r"/temp/fifo\.\d+"), "/temp/fifo.PID"),
    ("the process that parsed the recipe", re.compile(r'^PID="\d+"$'), 'PID="PID"'),
    ("the process that parsed the recipe", re.compile(r"/log\.do_(\$target|\w+)\.\d+"), r"/log.do_\1.PID"),
    ("the process that parsed the recipe", re.compile(r"/bh_installed_pkgs(_deps)?_\d+\.txt"), r"/bh_installed_pkgs\1_PID.txt"),
    ("the address of an object", re.compile(r" at 0x[0-9a-f]+>"), " at ADDRESS>"),
]

# A set gives its entries in an order of its own: they are sorted where a text holds one.
WORDS_OF_A_SET = re.compile(r'^(COMBINED_FEATURES=)"(.*)"$')
WORDS_OF_A_REASON = re.compile(r"(which is missing required \w+: |\bone of )'([^']*)'")
SET = re.compile(r"\{('[^'{}]*'(?:, '[^'{}]*')*)\}")
# In a history, file and line of code inside BitBake: there the two programs are not alike. The
# function it is in stays.
INSIDE = re.compile(r"^(#   .*) (?:[\w-]+\.py):\d+( \[\w+\])$")


def reasons_in_order(text):
    """The words of sets in reasons why recipes are left out, in one order."""
    if "_FEATURES" not in text:
        return text
    return WORDS_OF_A_REASON.sub(lambda m: "%s'%s'" % (m.group(1), " ".join(sorted(m.group(2).split()))), text)


def masked(line, folder):
    line = line.replace(folder, "@BITBAKE@")
    for _, expression, replacement in MASKS:
        line = expression.sub(replacement, line)
    if "{'" in line:
        line = SET.sub(lambda m: "{" + ", ".join(sorted(m.group(1).split(", "))) + "}", line)
    if line.startswith("COMBINED_FEATURES="):
        line = WORDS_OF_A_SET.sub(lambda m: m.group(1) + " ".join(sorted(m.group(2).split())), line)
    line = reasons_in_order(line)
    if line.startswith("#   "):
        line = INSIDE.sub(r"\1 CODE\2", line)
    return line
