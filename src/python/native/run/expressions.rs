//! Expressions: attributes, items and operators.

use super::*;
use std::borrow::Cow;

impl Run<'_> {
    pub(super) fn eval(&self, node: &Node, frame: &Frame<'_>) -> PyResult<Val> {
        Ok(match node {
            Node::Const(value) => value.clone(),
            Node::Local(place) => return self.local(frame, *place),
            Node::Up(levels, place) => {
                let at = frame.up(*levels).unwrap_or(frame);
                return self.local(at, *place);
            }
            Node::Global(name, line) => return self.global(name, frame).inspect_err(|_| frame.at(*line)),
            Node::Attribute(object, name, line) => {
                let object = self.eval(object, frame)?;
                return self.attribute(&object, name).inspect_err(|_| frame.at(*line));
            }
            Node::Call(call) => return self.call(call, frame),
            Node::MethodCall(call) => return self.method_call(call, frame),
            Node::SpreadCall(call) => return self.spread_call(call, frame),
            Node::And(parts) => {
                let mut value = Val::None;
                for (at, part) in parts.iter().enumerate() {
                    value = self.eval(part, frame)?;
                    if at + 1 < parts.len() && !value.is_true(self.vm)? {
                        break;
                    }
                }
                value
            }
            Node::Or(parts) => {
                let mut value = Val::None;
                for (at, part) in parts.iter().enumerate() {
                    value = self.eval(part, frame)?;
                    if at + 1 < parts.len() && value.is_true(self.vm)? {
                        break;
                    }
                }
                value
            }
            Node::Not(node) => Val::Bool(!self.test(node, frame)?),
            Node::Negative(node, line) => match self.eval(node, frame)? {
                Val::Int(number) if number != i64::MIN => Val::Int(-number),
                other => {
                    let negative = other.to_object(self.vm).and_then(|object| self.vm._neg(&object)).inspect_err(|_| frame.at(*line))?;
                    Val::from_object(negative, self.vm)
                }
            },
            Node::Binary(Operator::Add, parts, line) if matches!(parts[0], Node::Binary(Operator::Add, ..)) => {
                return self.sum(&parts[0], &parts[1], *line, frame);
            }
            Node::Binary(op, parts, line) => {
                let left = self.seen(&parts[0], frame)?;
                let right = self.seen(&parts[1], frame)?;
                return self.binary(*op, &left, &right).inspect_err(|_| frame.at(*line));
            }
            Node::Compare(left, rest, line) => {
                let mut left = self.seen(left, frame)?;
                for (at, (op, right)) in rest.iter().enumerate() {
                    let right = self.seen(right, frame)?;
                    let found = self.compare(*op, &left, &right).inspect_err(|_| frame.at(*line))?;
                    if at + 1 == rest.len() || !found.is_true(self.vm)? {
                        return Ok(found);
                    }
                    left = right;
                }
                left.into_owned()
            }
            Node::If(parts) => {
                let part = if self.test(&parts[0], frame)? { &parts[1] } else { &parts[2] };
                return self.eval(part, frame);
            }
            Node::Index(parts, line) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.seen(&parts[1], frame)?;
                return self.index(&object, &index).inspect_err(|_| frame.at(*line));
            }
            Node::Slice(parts, line) => {
                let object = self.eval(&parts[0], frame)?;
                let ends = [self.eval(&parts[1], frame)?, self.eval(&parts[2], frame)?, self.eval(&parts[3], frame)?];
                return self.slice(&object, ends).inspect_err(|_| frame.at(*line));
            }
            Node::List(parts) => Val::list(self.evals(parts, frame)?),
            Node::Tuple(parts) => Val::tuple(self.evals(parts, frame)?),
            Node::Set(parts) => return self.set_of(self.evals(parts, frame)?),
            Node::Dict(parts) => {
                let mut items = Vec::with_capacity(parts.len());
                for (key, value) in parts {
                    items.push((self.eval(key, frame)?, self.eval(value, frame)?));
                }
                return self.dict_of(items);
            }
            Node::Format(pieces) => {
                let mut out = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.push_str(text),
                        Piece::Value(node, repr) => {
                            let value = self.eval(node, frame)?;
                            let known = if *repr { value.repr().map(Into::into) } else { value.shown() };
                            match known {
                                Some(text) => out.push_str(&text),
                                None => {
                                    self.asked();
                                    let object = value.to_object(self.vm)?;
                                    let text = if *repr {
                                        object.repr(self.vm)?
                                    } else {
                                        self.vm.format(&object, self.vm.ctx.empty_str.to_owned())?
                                    };
                                    out.push_str(&crate::convert::text_of(&text));
                                }
                            }
                        }
                    }
                }
                Val::Str(out.into())
            }
            Node::Comprehension(found) => return self.comprehend(found, frame),
            Node::Quantified(any, found, line) => {
                let mut answer = !any;
                self.rounds(found, frame, &mut |run| {
                    if run.test(&found.element, frame)? == *any {
                        answer = *any;
                        return Ok(false);
                    }
                    Ok(true)
                })
                .inspect_err(|_| frame.at(*line))?;
                Val::Bool(answer)
            }
        })
    }

    /// `a + b + c`: texts are put together once.
    fn sum(&self, left: &Node, last: &Node, line: u32, frame: &Frame<'_>) -> PyResult<Val> {
        // From the left, each with the line of its operator; the first has none.
        let mut operands = vec![(last, line)];
        let mut node = left;
        while let Node::Binary(Operator::Add, parts, line) = node {
            operands.push((&parts[1], *line));
            node = &parts[0];
        }
        let mut texts = Vec::with_capacity(operands.len() + 1);
        let mut sum = match self.eval(node, frame)? {
            Val::Str(text) => {
                texts.push(text);
                None
            }
            other => Some(other),
        };
        while let Some((node, line)) = operands.pop() {
            let value = self.eval(node, frame)?;
            let so_far = match (sum.take(), value) {
                (None, Val::Str(text)) => {
                    texts.push(text);
                    continue;
                }
                (None, value) => (Val::Str(text::together(&std::mem::take(&mut texts))), value),
                (Some(sum), value) => (sum, value),
            };
            sum = Some(self.binary(Operator::Add, &so_far.0, &so_far.1).inspect_err(|_| frame.at(line))?);
        }
        Ok(sum.unwrap_or_else(|| Val::Str(text::together(&texts))))
    }

    /// A value that is only looked at.
    fn seen<'n>(&self, node: &'n Node, frame: &Frame<'_>) -> PyResult<Cow<'n, Val>> {
        match node {
            Node::Const(value) => Ok(Cow::Borrowed(value)),
            node => self.eval(node, frame).map(Cow::Owned),
        }
    }

    pub(super) fn evals(&self, nodes: &[Node], frame: &Frame<'_>) -> PyResult<Vec<Val>> {
        let mut values = Vec::with_capacity(nodes.len() + 2);
        for node in nodes {
            values.push(self.eval(node, frame)?);
        }
        Ok(values)
    }

    pub(super) fn attribute(&self, object: &Val, name: Name) -> PyResult<Val> {
        let text = matches!(object, Val::Str(_));
        if let Val::Object(object) = object
            && object.class().is(self.vm.ctx.types.module_type)
            && let Some(module) = object.downcast_ref::<PyModule>()
            && let Some(found) = module.dict().get_item_opt(name.as_object(), self.vm)?
        {
            return Ok(self.fixed(found));
        }
        let object = object.to_object(self.vm)?;
        if !text {
            self.asked();
        }
        Ok(Val::from_object(object.get_attr(name, self.vm)?, self.vm))
    }

    pub(super) fn index(&self, object: &Val, index: &Val) -> PyResult<Val> {
        match (object, index) {
            (Val::Str(text), Val::Int(_) | Val::Bool(_)) => {
                if let Some(found) = index.number().and_then(|at| text::char_at(text, at)) {
                    return Ok(Val::Str(found));
                }
            }
            (Val::Dict(dict), Val::Str(key)) => {
                if let Some(Some(found)) = dict.read(|dict| dict.get(key).cloned()) {
                    return Ok(found);
                }
            }
            (object, Val::Int(_) | Val::Bool(_)) => {
                let found = index.number().and_then(|at| object.items(|items| text::position(at, items.len()).map(|at| items[at].clone())));
                if let Some(Some(found)) = found {
                    return Ok(found);
                }
            }
            _ => {}
        }
        self.asked();
        let index = index.to_object(self.vm)?;
        Ok(Val::from_object(object.to_object(self.vm)?.get_item(&*index, self.vm)?, self.vm))
    }

    pub(super) fn slice(&self, object: &Val, ends: [Val; 3]) -> PyResult<Val> {
        let end = |end: &Val| match end {
            Val::None => Some(None),
            Val::Int(number) => Some(Some(*number)),
            _ => None,
        };
        if let (Some(from), Some(to), Val::None) = (end(&ends[0]), end(&ends[1]), &ends[2]) {
            match object {
                Val::Str(text) => return Ok(Val::Str(text::slice(text, from, to))),
                Val::Tuple(items) => return Ok(Val::tuple(items[text::range(from, to, items.len())].to_vec())),
                Val::List(list) => {
                    if let Some(part) = list.read(|items| items[text::range(from, to, items.len())].to_vec()) {
                        return Ok(Val::list(part));
                    }
                }
                _ => {}
            }
        }
        if let [Val::None, Val::None, Val::Int(-1)] = ends {
            let turned = match object {
                Val::Str(text) => Some(Val::Str(text.chars().rev().collect::<String>().into())),
                Val::Tuple(items) => Some(Val::tuple(items.iter().rev().cloned().collect())),
                Val::List(list) => list.read(|items| Val::list(items.iter().rev().cloned().collect())),
                _ => None,
            };
            if let Some(turned) = turned {
                return Ok(turned);
            }
        }
        self.asked();
        let vm = self.vm;
        let [from, to, step] = ends;
        let slice = vm.ctx.types.slice_type.as_object().to_owned();
        let slice = slice.call((from.to_object(vm)?, to.to_object(vm)?, step.to_object(vm)?), vm)?;
        Ok(Val::from_object(object.to_object(vm)?.get_item(&*slice, vm)?, vm))
    }

    pub(super) fn in_place(&self, op: Operator, left: Val, right: Val) -> PyResult<Val> {
        match (op, &left) {
            (Operator::Add, Val::List(list)) if list.object().is_none() => {
                let more = self.all(right)?;
                if list.write(|list| list.extend(more.iter().cloned())).is_some() {
                    return Ok(left);
                }
                let more = Val::list(more).to_object(self.vm)?;
                return Ok(Val::from_object(self.vm._iadd(&*left.to_object(self.vm)?, &more)?, self.vm));
            }
            (Operator::BitOr, Val::Set(set)) => {
                if let Val::Set(more) = &right
                    && let Some(more) = more.read(Clone::clone)
                    && set.write(|set| set.extend(more)).is_some()
                {
                    return Ok(left);
                }
            }
            (Operator::Sub, Val::Set(set)) => {
                if let Val::Set(less) = &right
                    && let Some(less) = less.read(Clone::clone)
                    && set.write(|set| set.retain(|item| !less.contains(item))).is_some()
                {
                    return Ok(left);
                }
            }
            // Of what cannot change: as the plain operator.
            (_, Val::Str(_) | Val::Int(_) | Val::Tuple(_) | Val::Bool(_) | Val::None) => return self.binary(op, &left, &right),
            _ => {}
        }
        self.asked();
        let vm = self.vm;
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        let found = match op {
            Operator::Add => vm._iadd(&a, &b),
            Operator::Sub => vm._isub(&a, &b),
            Operator::Mult => vm._imul(&a, &b),
            Operator::Mod => vm._imod(&a, &b),
            Operator::BitOr => vm._ior(&a, &b),
            Operator::BitAnd => vm._iand(&a, &b),
            Operator::BitXor => vm._ixor(&a, &b),
            Operator::FloorDiv => vm._ifloordiv(&a, &b),
            Operator::Div => vm._itruediv(&a, &b),
            Operator::LShift => vm._ilshift(&a, &b),
            Operator::RShift => vm._irshift(&a, &b),
            Operator::Pow => vm._ipow(&a, &b, &vm.ctx.none()),
            Operator::MatMult => vm._imatmul(&a, &b),
        }?;
        // The same object: what is ours of it stays what it is.
        if found.is(&a) { Ok(left) } else { Ok(Val::from_object(found, vm)) }
    }

    pub(super) fn binary(&self, op: Operator, left: &Val, right: &Val) -> PyResult<Val> {
        let known = match (op, left, right) {
            (Operator::Add, Val::Str(a), Val::Str(b)) => Some(Val::Str(text::together(&[&**a, b]))),
            (Operator::Add, Val::List(a), Val::List(b)) => {
                a.read(|a| b.read(|b| Val::list([a.as_slice(), b.as_slice()].concat()))).flatten()
            }
            (Operator::Add, Val::Tuple(a), Val::Tuple(b)) => Some(Val::tuple([&**a, &**b].concat())),
            (Operator::Add, Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int),
            (Operator::Sub, Val::Int(a), Val::Int(b)) => a.checked_sub(*b).map(Val::Int),
            (Operator::Mult, Val::Int(a), Val::Int(b)) => a.checked_mul(*b).map(Val::Int),
            (Operator::Mod, Val::Str(format), args) => match args {
                Val::Tuple(items) => text::formatted(format, items),
                Val::Dict(_) | Val::Object(_) | Val::Store(_) => None,
                one => text::formatted(format, std::slice::from_ref(one)),
            }
            .map(Val::Str),
            (Operator::BitOr, Val::Set(a), Val::Set(b)) => a
                .read(|a| b.read(|b| Val::Set(Shared::new(a.iter().chain(b).cloned().collect()))))
                .flatten(),
            (Operator::Sub, Val::Set(a), Val::Set(b)) => a
                .read(|a| b.read(|b| Val::Set(Shared::new(a.iter().filter(|item| !b.contains(*item)).cloned().collect()))))
                .flatten(),
            (Operator::BitAnd, Val::Set(a), Val::Set(b)) => a
                .read(|a| {
                    b.read(|b| {
                        // In the order of the smaller one, as in the VM.
                        let (smaller, larger) = if a.len() < b.len() { (a, b) } else { (b, a) };
                        Val::Set(Shared::new(smaller.iter().filter(|item| larger.contains(*item)).cloned().collect()))
                    })
                })
                .flatten(),
            _ => None,
        };
        if let Some(value) = known {
            return Ok(value);
        }
        self.asked();
        let vm = self.vm;
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        let found = match op {
            Operator::Add => vm._add(&a, &b),
            Operator::Sub => vm._sub(&a, &b),
            Operator::Mult => vm._mul(&a, &b),
            Operator::Mod => vm._mod(&a, &b),
            Operator::BitOr => vm._or(&a, &b),
            Operator::BitAnd => vm._and(&a, &b),
            Operator::BitXor => vm._xor(&a, &b),
            Operator::FloorDiv => vm._floordiv(&a, &b),
            Operator::Div => vm._truediv(&a, &b),
            Operator::LShift => vm._lshift(&a, &b),
            Operator::RShift => vm._rshift(&a, &b),
            Operator::Pow => vm._pow(&a, &b, &vm.ctx.none()),
            Operator::MatMult => vm._matmul(&a, &b),
        }?;
        Ok(Val::from_object(found, vm))
    }

    pub(super) fn compare(&self, op: CmpOp, left: &Val, right: &Val) -> PyResult<Val> {
        let vm = self.vm;
        let rich = match op {
            CmpOp::Is => return Ok(Val::Bool(left.is(right, vm)?)),
            CmpOp::IsNot => return Ok(Val::Bool(!left.is(right, vm)?)),
            CmpOp::In => return Ok(Val::Bool(self.holds(right, left)?)),
            CmpOp::NotIn => return Ok(Val::Bool(!self.holds(right, left)?)),
            CmpOp::Eq => {
                if let Some(equal) = left.equals(right) {
                    return Ok(Val::Bool(equal));
                }
                PyComparisonOp::Eq
            }
            CmpOp::NotEq => {
                if let Some(equal) = left.equals(right) {
                    return Ok(Val::Bool(!equal));
                }
                PyComparisonOp::Ne
            }
            CmpOp::Lt => PyComparisonOp::Lt,
            CmpOp::LtE => PyComparisonOp::Le,
            CmpOp::Gt => PyComparisonOp::Gt,
            CmpOp::GtE => PyComparisonOp::Ge,
        };
        let order = match (left, right) {
            (Val::Str(a), Val::Str(b)) => Some(a.cmp(b)),
            (a, b) => a.number().zip(b.number()).map(|(a, b)| a.cmp(&b)),
        };
        if let Some(order) = order {
            return Ok(Val::Bool(rich.eval_ord(order)));
        }
        self.asked();
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        Ok(Val::from_object(a.rich_compare(b, rich, vm)?, vm))
    }

    pub(super) fn holds(&self, container: &Val, item: &Val) -> PyResult<bool> {
        let known = match (container, item) {
            (Val::Str(text), Val::Str(part)) => Some(text.contains(&**part)),
            (Val::Dict(dict), Val::Str(key)) => dict.read(|dict| dict.contains_key(key)),
            (Val::Set(set), Val::Str(key)) => set.read(|set| set.contains(key)),
            (container, item) => container.items(|items| {
                for known in items {
                    if known.equals(item)? {
                        return Some(true);
                    }
                }
                Some(false)
            }).flatten(),
        };
        match known {
            Some(found) => Ok(found),
            None => {
                self.asked();
                self.vm._contains(&*container.to_object(self.vm)?, &*item.to_object(self.vm)?)
            }
        }
    }
}
