"""`bb.cooker.CookerCollectFiles` with layers given by hand; loggers of the cooker."""

import logging
import os
import re
import tempfile

import bb
import bb.cooker
import bb.data

root = tempfile.mkdtemp()
for name in ("outer/r/a_1.bb", "outer/r/a_%.bbappend", "outer/inner/r/a_1.bb", "outer/inner/r/b_1.bb", "outer/inner/r/hidden_1.bb"):
    os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
    open(os.path.join(root, name), "w").close()


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


keep = Keep()
bb.cooker.logger.addHandler(keep)
layers = []
for name, folder, priority in (("outer", "outer", 5), ("inner", "outer/inner", 7), ("gone", "gone", 1)):
    pattern = "^%s/%s/" % (root, folder)
    layers.append((name, pattern, re.compile(pattern), priority))

d = bb.data.init()
d.setVar("BBFILES", "%s/outer/r/*.bb* %s/outer/inner/r/*.bb" % (root, root))
d.setVar("BBMASK", "hidden")
files = bb.cooker.CookerCollectFiles(layers)
found, masked, searched = files.collect_bbfiles(d, d)
assert [os.path.relpath(f, root) for f in found] == ["outer/r/a_1.bb", "outer/inner/r/a_1.bb", "outer/inner/r/b_1.bb"], found
assert masked == 1 and any(folder.startswith(root) for folder in searched)
outer, inner = root + "/outer/r/a_1.bb", root + "/outer/inner/r/a_1.bb"
# The nested layer wins, although the one around it matches, too.
assert files.calc_bbfile_priority(inner) == (7, layers[1][2], "inner")
assert files.calc_bbfile_priority(outer) == (5, layers[0][2], "outer")
assert files.calc_bbfile_priority("/elsewhere/x.bb") == (0, None, None)
assert files.overlayed == {inner: [outer]}, files.overlayed
assert files.get_file_appends(outer) == (root + "/outer/r/a_%.bbappend",)
assert files.bbappends == [("a_%.bb", root + "/outer/r/a_%.bbappend")]
keep.texts.clear()
assert files.collection_priorities(found, found, d) == {outer: 5, inner: 7, found[2]: 7}
assert keep.texts == ["No bb files in default matched BBFILE_PATTERN_gone '%s'" % layers[2][1]], keep.texts
d.setVar("BBFILE_PATTERN_IGNORE_EMPTY_gone", "1")
keep.texts.clear()
files.collection_priorities(found, found, d)
assert not keep.texts
try:
    bb.cooker.CookerCollectFiles([("bad", "(", "(", 1)])
except ValueError as error:
    assert "(" in str(error)
else:
    raise AssertionError("a bad expression is no error")
