"""Compares what two engines found in code: compare.py BODIES REFERENCE OURS. Ends with the counts;
status 1 if anything differs."""

import collections
import json
import sys


def main():
    counts, different = collections.Counter(), 0
    with open(sys.argv[1]) as bodies, open(sys.argv[2]) as reference, open(sys.argv[3]) as ours:
        for body, left, right in zip(bodies, reference, ours, strict=True):
            kind, where, text = json.loads(body)
            counts[kind] += 1
            if left == right:
                continue
            different += 1
            if different > 30:
                continue
            print("FAIL %s %s" % (kind, where))
            left, right = json.loads(left), json.loads(right)
            for part in sorted(set(left) | set(right)):
                if left.get(part) != right.get(part):
                    print("  %s: reference %s" % (part, json.dumps(left.get(part))[:600]))
                    print("  %s: ours      %s" % (" " * len(part), json.dumps(right.get(part))[:600]))
            if len(text) < 400:
                print("  " + text.replace("\n", "\n  "))
    print("functions: %s bodies, %d different" % (", ".join("%d %s" % (n, kind) for kind, n in sorted(counts.items())), different))
    sys.exit(1 if different or not counts else 0)


main()
