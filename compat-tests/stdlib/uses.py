"""One use of every module of Python's standard library that metadata, OE's library or its scripts import.

    uses.py [NAME...]     runs them; prints a line of JSON for each: {"name": …, "result": …}

The same files run under CPython and in our runtime; `run`, beside this one, compares. A use therefore
gives what does not depend on the release of Python or on the time. `stdlib_data.py` has those of modules that
work on values, `stdlib_system.py` those that talk to the system.
"""

import json
import os
import sys
import traceback

USES = {}


def use(*names):
    def add(function):
        for name in names:
            USES[name] = function
        return function
    return add


def raised(function, *args, **kwargs):
    """The class of what a call raises."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__


def main():
    out = os.fdopen(os.dup(1), "w")
    done = {}
    for name, function in USES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        if function not in done:
            try:
                done[function] = {"result": json.loads(json.dumps(function(), default=str))}
            except ImportError as error:
                done[function] = {"missing": str(error)}
            except BaseException:
                done[function] = {"error": traceback.format_exc()}
        out.write(json.dumps(dict(done[function], name=name)) + "\n")
        out.flush()
    os._exit(0)


if __name__ == "__main__":
    # The files of uses know this module by its name, not as the program.
    sys.modules["uses"] = sys.modules["__main__"]
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import stdlib_data
    import stdlib_system

    main()
