"""What a generator's own version of a method of `bb.siggen` comes to in this build.

Metadata adds to such methods what few builds use (locked hashes, say): tables that are empty otherwise. A method
is gone through with what the tables hold now. If that decides every condition on the way, and all that is left is
a call of the method it stands for, with the same arguments, and notes in tables of its own, native code can do the
same for all tasks. Whatever this does not understand is left to Python.

The tasks of one build are meant, each asked once: what the method notes of one task says nothing of another.
"""

import ast

from bb._depfilter import _parameters, _tree

# Functions that only look at their arguments.
_FUNCTIONS = {"any", "bb.runqueue.split_tid_mcfn", "bb.runqueue.split_mc", "bb.runqueue.mc_from_tid"}

_PURE = (
    ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.List, ast.Compare, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot,
    ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.BinOp, ast.Add, ast.Mod, ast.Attribute, ast.Subscript, ast.Call, ast.ListComp,
    ast.GeneratorExp, ast.comprehension, ast.Return,
)

# Values: what is known of them, and more where it takes more.
_UNKNOWN, _CONSTANT, _TID, _PART, _FACTS, _ALL_FACTS, _TABLE, _FACT, _OWN, _NOTHING, _SUPER = range(11)


class _Unclear(Exception):
    """The method does something else, or what it does is not decided."""


def _dotted(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return "%s.%s" % (_dotted(node.value), node.attr)
    raise _Unclear


class _Walk:
    def __init__(self, generator, cls, name):
        self.generator, self.cls, self.name = generator, cls, name
        definition = _tree(vars(cls)[name])
        self.parameters = _parameters(definition)
        self.own, self.known = self.parameters[0], {}
        self.nested = set()
        for parameter in self.parameters[1:]:
            self.known[parameter] = (_UNKNOWN,)
        if name != "dump_sigtask":
            self.known[self.parameters[1]] = (_TID,)
        if "dataCaches" in self.parameters:
            self.known["dataCaches"] = (_ALL_FACTS,)
        # What is noted: (table, key, value). Tables that were taken for empty, other than for the task itself, and
        # those whose values were all taken for false.
        self.notes, self.empty, self.false = [], set(), set()
        # The class whose method is meant, once it was called.
        self.above = None
        self.returned = self.block(definition.body)

    # -- Statements

    def block(self, body):
        """True: it returned."""
        return any(self.statement(statement) for statement in body)

    def statement(self, node):
        if isinstance(node, ast.Pass):
            return False
        if isinstance(node, ast.FunctionDef):
            if node.decorator_list or node.args.defaults:
                raise _Unclear
            self.pure([node.body], {argument.arg for argument in node.args.args})
            self.nested.add(node.name)
            return False
        if isinstance(node, ast.If):
            return self.block(node.body if self.truth(self.value(node.test)) else node.orelse)
        if isinstance(node, ast.Return):
            value = (_CONSTANT, None) if node.value is None else self.value(node.value)
            # What the method gives is what the one it stands for gives.
            if self.name != "dump_sigtask" and value[0] != _SUPER:
                raise _Unclear
            return True
        if isinstance(node, ast.Expr):
            self.value(node.value)
            return False
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self.assign(node.targets[0], self.value(node.value))
            return False
        raise _Unclear

    def assign(self, target, value):
        if isinstance(target, ast.Name):
            if target.id in (self.own, "bb", "super", "any"):
                raise _Unclear
            self.known[target.id] = value
        elif isinstance(target, ast.Tuple) and value == (_PART,) and len(target.elts) == 4:
            for at, part in enumerate(target.elts):
                self.assign(part, (_PART, at))
        elif isinstance(target, ast.Subscript):
            table, key = self.value(target.value), self.value(target.slice)
            if table[0] != _OWN or key not in ((_TID,), (_PART, 3)) or value[0] not in (_CONSTANT, _FACT):
                raise _Unclear
            self.notes.append((table[1], key, value))
        else:
            raise _Unclear

    # -- Expressions

    def truth(self, value):
        if value[0] == _CONSTANT:
            return bool(value[1])
        if value[0] == _NOTHING:
            return False
        if value[0] == _OWN and not self.table(value):
            self.empty.add(value[1])
            return False
        raise _Unclear

    def table(self, value):
        return vars(self.generator)[value[1]]

    def value(self, node):
        method = getattr(self, "value_of_" + type(node).__name__, None)
        if method is not None:
            return method(node)
        self.pure([node])
        return (_UNKNOWN,)

    def value_of_Constant(self, node):
        return (_CONSTANT, node.value)

    def value_of_Name(self, node):
        if node.id not in self.known:
            raise _Unclear
        return self.known[node.id]

    def value_of_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == self.own:
            if type(vars(self.generator).get(node.attr)) is dict:
                return (_OWN, node.attr)
            self.pure([node])
            return (_UNKNOWN,)
        if self.value(node.value) == (_FACTS,):
            return (_TABLE, node.attr)
        raise _Unclear

    def value_of_Subscript(self, node):
        value, key = self.value(node.value), self.value(node.slice)
        if value == (_ALL_FACTS,) and key == (_PART, 0):
            return (_FACTS,)
        if value[0] == _TABLE and key == (_PART, 3):
            return (_FACT, value[1])
        if value[0] == _OWN and (self.table(value) or key == (_TID,)) and not any(self.table(value).values()):
            self.false.add(value[1])
            return (_NOTHING,)
        return (_UNKNOWN,)

    def value_of_Compare(self, node):
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.In):
            key, table = self.value(node.left), self.value(node.comparators[0])
            if table[0] == _OWN and not self.table(table) and (key != (_TID,) or self.name == "get_taskhash"):
                # Each task is hashed once; by what comes later, something may be noted of it.
                if key != (_TID,):
                    self.empty.add(table[1])
                return (_CONSTANT, False)
            return (_UNKNOWN,)
        self.pure([node])
        return (_UNKNOWN,)

    def value_of_UnaryOp(self, node):
        if not isinstance(node.op, ast.Not):
            raise _Unclear
        return (_CONSTANT, not self.truth(self.value(node.operand)))

    def value_of_BoolOp(self, node):
        is_and = isinstance(node.op, ast.And)
        unknown = False
        for part in node.values:
            value = self.value(part)
            try:
                truth = self.truth(value)
            except _Unclear:
                unknown = True
                continue
            if truth != is_and:
                # Whatever the parts before are: one of them is false, or this one is.
                return (_NOTHING,) if is_and else (_UNKNOWN,) if unknown else (_CONSTANT, True)
        return (_UNKNOWN,) if unknown else (_CONSTANT, is_and)

    def value_of_ListComp(self, node):
        self.pure([node])
        return (_UNKNOWN,)

    def value_of_GeneratorExp(self, node):
        self.pure([node])
        last = self.value(node.generators[-1].iter)
        if last[0] != _OWN or self.table(last):
            return (_UNKNOWN,)
        self.empty.add(last[1])
        return (_NOTHING,)

    def value_of_Call(self, node):
        if node.keywords:
            raise _Unclear
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call) and _dotted(function.value.func) == "super":
            return self.call_above(node, function)
        name = _dotted(function)
        if name == "any" and len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            return (_CONSTANT, False) if self.value(node.args[0]) == (_NOTHING,) else (_UNKNOWN,)
        self.pure([node])
        if name == "bb.runqueue.split_tid_mcfn" and [self.value(argument) for argument in node.args] == [(_TID,)]:
            return (_PART,)
        return (_UNKNOWN,)

    def call_above(self, node, function):
        arguments = function.value.args
        if self.above is not None or function.attr != self.name or [_dotted(argument) for argument in node.args] != self.parameters[1:]:
            raise _Unclear
        cls = self.cls
        if arguments:
            module, _, name = _dotted(arguments[0]).rpartition(".")
            if len(arguments) != 2 or _dotted(arguments[1]) != self.own or module != "bb.siggen":
                raise _Unclear
            import bb.siggen

            cls = vars(bb.siggen)[name]
        self.above = cls
        return (_SUPER,)

    def pure(self, nodes, names=()):
        """Fails for what may have effects; `names` are known besides."""
        names = {*names, *self.known, self.own}
        parts = [part for node in nodes for item in (node if isinstance(node, list) else [node]) for part in ast.walk(item)]
        names.update(part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        called = set()
        for part in parts:
            if not isinstance(part, _PURE) and not isinstance(part, (ast.Assign, ast.Expr)):
                raise _Unclear
            if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
                raise _Unclear
            if isinstance(part, ast.Call):
                name = _dotted(part.func)
                if part.keywords or name not in _FUNCTIONS and name not in self.nested:
                    raise _Unclear
                called.update(id(inner) for inner in ast.walk(part.func))
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == self.own:
                # Nothing that a class computes when it is asked for.
                if part.attr not in vars(self.generator):
                    raise _Unclear
        for part in parts:
            if isinstance(part, ast.Name) and id(part) not in called and part.id not in names:
                raise _Unclear


class Method:
    """What a method of a generator comes to: the notes it makes, as (name of the table, is the task's id the key and
    not its recipe, name of a table of recipe facts or None, value if there is none), and the tables that have to be
    empty for that, or to have no true values."""

    def __init__(self, notes=(), empty=(), false=()):
        self.notes, self.empty, self.false = list(notes), set(empty), set(false)


def method(generator, name, is_ours):
    """What method `name` does besides what ours does; None if that is not clear. `is_ours` knows our classes."""
    order = type(generator).__mro__
    at, found = 0, Method()
    try:
        if name in vars(generator):
            return None
        while True:
            cls = next(cls for cls in order[at:] if name in vars(cls))
            if is_ours(cls):
                return found
            walk = _Walk(generator, cls, name)
            if walk.above is None or name != "dump_sigtask" and not walk.returned:
                return None
            at = order.index(walk.above) + 1
            for table, key, value in walk.notes:
                fact, constant = (value[1], None) if value[0] == _FACT else (None, value[1])
                found.notes.append((table, key == (_TID,), fact, constant))
            found.empty.update(walk.empty)
            found.false.update(walk.false)
    except (_Unclear, OSError, SyntaxError, ValueError, KeyError, IndexError, AttributeError, TypeError, StopIteration):
        return None


def together(generator, names, is_ours):
    """What all these methods note, if they can be called in any order; None if that is not clear."""
    methods = [method(generator, name, is_ours) for name in names]
    if None in methods:
        return None
    notes = [note for method in methods for note in method.notes]
    for method_ in methods:
        for table, _, fact, constant in notes:
            if table in method_.empty or table in method_.false and (fact is not None or constant):
                return None
    tables = vars(generator)
    return [(tables[table], by_task, fact, constant) for table, by_task, fact, constant in notes]
