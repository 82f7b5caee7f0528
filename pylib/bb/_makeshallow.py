"""`git-make-shallow REVISION...`: makes the git repository it is called in shallow.

The history of the given revisions is cut off behind them, everywhere where the references that stay
reach it; other references are dropped if `--ref` names the ones to keep.
"""

import argparse
import os
import subprocess
import sys

_GIT = ["git", "-c", "safe.bareRepository=all"]


def _git(*args, **kwargs):
    """Output of a git command, by lines."""
    return subprocess.run(_GIT + list(args), check=True, stdout=subprocess.PIPE, text=True, **kwargs).stdout.splitlines()


def _merge_base(a, b):
    found = subprocess.run(_GIT + ["merge-base", a, b], stdout=subprocess.PIPE, text=True).stdout.split()
    return found[0] if found else None


def _references():
    return _git("for-each-ref", "--format=%(refname)")


def _commit_references():
    """References of commits, also through a tag."""
    rows = _git("for-each-ref", "--format=%(objecttype) %(*objecttype) %(refname)")
    return [words[-1] for words in map(str.split, rows) if "commit" in words[:-1]]


def _boundaries(revisions, references):
    """The commits behind which history ends: the revisions, and where what lies before them joins a reference."""
    pending, seen = list(revisions), set()
    tips = None
    while pending:
        revision = pending.pop(0)
        if revision in seen:
            continue
        seen.add(revision)
        yield revision
        parents = _git("rev-parse", revision + "^@")
        if parents and tips is None:
            tips = _git("merge-base", "--independent", *sorted(references))
        for parent in parents:
            pending += filter(None, (_merge_base(parent, tip) for tip in tips))


def _shrink(folder):
    """Drops the objects that nothing reaches any more."""
    _git("reflog", "expire", "--expire-unreachable=now", "--all")
    _git("repack", "-ad")
    try:
        os.unlink(os.path.join(folder, "objects", "info", "alternates"))
    except FileNotFoundError:
        pass
    _git("prune", "--expire", "now")
    subprocess.run(_GIT + ["fsck", "--unreachable"], check=True)


def _run(args):
    folder = _git("rev-parse", "--git-dir")[0]
    shallow = os.path.join(folder, "shallow")
    if os.path.exists(shallow):
        # Begin with the whole history, or at least without the old boundaries.
        if subprocess.run(_GIT + ["fetch", "--unshallow"], stdout=subprocess.DEVNULL).returncode and os.path.exists(shallow):
            os.unlink(shallow)
    references = _git("rev-parse", "--symbolic-full-name", *args.refs) if args.refs else _commit_references()
    references = [name for name in references if not name.endswith("/HEAD")]
    revisions = _git("rev-parse", *(name + "^{}" for name in args.revisions))
    before = _git("rev-list", *revisions)
    boundaries = list(_boundaries(revisions, references))
    with open(shallow, "a") as file:
        file.writelines(boundary + "\n" for boundary in boundaries)
    for revision in sorted(set(before) & set(_git("rev-list", *references))):
        if _git("rev-parse", revision + "^@"):
            sys.exit("Error: %s was not made shallow" % revision)
    dropped = set(_references()) - set(references)
    if dropped:
        _git("update-ref", "--no-deref", "--stdin", "-z", input="".join("delete %s\0\0" % name for name in sorted(dropped)))
    if args.shrink:
        _shrink(folder)


def main():
    parser = argparse.ArgumentParser(prog="git-make-shallow", description="Cuts off the history of a git repository.")
    parser.add_argument("--ref", "-r", metavar="REF", action="append", dest="refs", help="keep only this reference (may be repeated)")
    parser.add_argument("--shrink", "-s", action="store_true", help="repack, and drop what is no longer reached")
    parser.add_argument("revisions", metavar="REVISION", nargs="+", help="a commit whose history goes")
    if len(sys.argv) < 2:
        parser.print_help()
        return 2
    try:
        _run(parser.parse_args())
    except subprocess.CalledProcessError as failed:
        # git has said what is wrong.
        print("ERROR: %s failed" % " ".join(failed.cmd), file=sys.stderr)
        return 1
    return 0
