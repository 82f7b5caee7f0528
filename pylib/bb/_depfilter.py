"""Which task names a generator's `rundep_check` tells apart.

It is asked for every dependency of every task, but mostly decides by recipes. Where its code shows that of
the two tasks' names only comparisons with constants matter, and that it has no effects, one answer holds for all
task names it does not tell apart. Whatever this does not understand is asked each time.
"""

import ast
import textwrap

# Methods without effects, called on whatever the function has at hand, and functions of ours.
_METHODS = {"endswith", "startswith", "find", "join", "split", "split_tid_mcfn", "split_mc"}

_HARMLESS = (
    ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.If, ast.For, ast.Expr, ast.Assign, ast.Name, ast.Load, ast.Store,
    ast.Constant, ast.Tuple, ast.List, ast.Compare, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.BoolOp, ast.And, ast.Or,
    ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Mod, ast.Add, ast.Call, ast.Attribute, ast.Subscript, ast.Module,
)


def _tree(function):
    """The syntax tree of a function, from its file."""
    code = function.__code__
    with open(code.co_filename) as f:
        lines = f.read().split("\n")[code.co_firstlineno - 1 :]
    indent = len(lines[0]) - len(lines[0].lstrip())
    for end in range(1, len(lines)):
        if lines[end].strip() and len(lines[end]) - len(lines[end].lstrip()) <= indent:
            lines = lines[:end]
            break
    (definition,) = ast.parse(textwrap.dedent("\n".join(lines))).body
    if not isinstance(definition, ast.FunctionDef) or definition.name != code.co_name or definition.decorator_list:
        raise ValueError("no plain function")
    return definition


def _parameters(definition):
    arguments = definition.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
        raise ValueError("more than plain parameters")
    return [argument.arg for argument in arguments.args]


def _passed_on(definition):
    """Name and arguments of the function that is all this one returns; None if it does the work itself."""
    if len(definition.body) != 1 or not isinstance(definition.body[0], ast.Return):
        return None
    call = definition.body[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        return None
    if not all(isinstance(argument, ast.Name) for argument in call.args):
        return None
    return call.func.id, [argument.id for argument in call.args]


def _check_harmless(definition):
    local = {node.name for node in ast.walk(definition) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(definition):
        if not isinstance(node, _HARMLESS):
            raise ValueError("effects unknown")
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            raise ValueError("writes")
        if isinstance(node, ast.Call):
            function = node.func
            known = function.id in local if isinstance(function, ast.Name) else isinstance(function, ast.Attribute) and function.attr in _METHODS
            if not known:
                raise ValueError("calls what may have effects")


def _compared(definition, name):
    """The constants a name is compared with; an error if anything else is done with it."""
    constants = set()
    compared = 0
    for node in ast.walk(definition):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == name:
            (op,), (other,) = node.ops, node.comparators
            if not isinstance(op, (ast.Eq, ast.NotEq)) or not isinstance(other, ast.Constant) or not isinstance(other.value, str):
                raise ValueError("compared with what is no constant")
            constants.add(other.value)
            compared += 1
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(definition))
    if uses != compared:
        raise ValueError("used otherwise")
    return constants


def function_for(method):
    """The function whose value a method only returns, called with the method's own arguments in their order; None if
    it does more."""
    try:
        definition = _tree(method)
        passed = _passed_on(definition)
        if passed is None or passed[1] != _parameters(definition) or passed[0] in passed[1]:
            return None
        return method.__globals__[passed[0]]
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None


def _told_apart(function):
    definition = _tree(function)
    names = _parameters(definition)
    passed = _passed_on(definition)
    if passed is not None:
        function = function.__globals__[passed[0]]
        places = [names.index(argument) for argument in passed[1]]
        definition = _tree(function)
        inner = _parameters(definition)[: len(places)]
        names = [inner[places.index(place)] if place in places else None for place in range(len(names))]
    # rundep_check(self, fn, recipename, task, dep, depname, dataCaches)
    _, _, _, task, dep, _, _ = names
    _check_harmless(definition)
    told = _compared(definition, task)
    # The dependency's id is taken apart once, and of the parts only the task's name says more than its recipe.
    splits = [
        node for node in ast.walk(definition)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "split_tid_mcfn" and [ast.unparse(part) for part in node.value.args] == [dep]
    ]
    uses = sum(isinstance(node, ast.Name) and node.id == dep for node in ast.walk(definition))
    if len(splits) != uses or uses > 1:
        raise ValueError("the dependency is used otherwise")
    if not splits:
        return told, set()
    ((target,), value) = splits[0].targets, splits[0].value
    if ast.unparse(value.func) != "bb.runqueue.split_tid_mcfn" or not isinstance(target, ast.Tuple) or len(target.elts) != 4:
        raise ValueError("taken apart otherwise")
    parts = [part.id for part in target.elts]
    if len(set(parts)) != 4:
        raise ValueError("parts of one name")
    # The assignment itself is one use.
    splits[0].targets = []
    return told, _compared(definition, parts[2])


def names_told_apart(function):
    """(names of the task, names of the dependency's task) that make a difference to the answers of a
    `rundep_check`; None if its code does not show that."""
    try:
        return _told_apart(function)
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None
