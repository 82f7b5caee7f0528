//! Statements, and the names and targets they bind.

use super::*;

/// How a statement ends.
pub(super) enum Flow {
    Next,
    Break,
    Continue,
    Return(Val),
}

impl Run<'_> {
    pub(super) fn block(&self, body: &Body, frame: &Frame<'_>) -> PyResult<Flow> {
        for (line, statement) in body {
            match self.statement(statement, frame).inspect_err(|_| frame.at(*line))? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    pub(super) fn statement(&self, statement: &Statement, frame: &Frame<'_>) -> PyResult<Flow> {
        match statement {
            Statement::Expr(node) => {
                self.eval(node, frame)?;
            }
            Statement::Assign(targets, node) => {
                let value = self.eval(node, frame)?;
                for target in targets {
                    self.assign(target, value.clone(), frame)?;
                }
            }
            Statement::Augment(target, op, node) => self.augment(target, *op, node, frame)?,
            Statement::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.test(test, frame)? {
                        return self.block(body, frame);
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::For(head, body, otherwise) => {
                let (target, over) = &**head;
                let mut items = self.iterate(self.eval(over, frame)?)?;
                while let Some(item) = self.next(&mut items)? {
                    // Ctrl-C ends a loop without end, and other threads get their turn.
                    self.vm.check_signals()?;
                    self.assign(target, item, frame)?;
                    match self.block(body, frame)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        done => return Ok(done),
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::While(test, body, otherwise) => {
                while self.test(test, frame)? {
                    self.vm.check_signals()?;
                    match self.block(body, frame)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        done => return Ok(done),
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::Return(node) => {
                return Ok(Flow::Return(match node {
                    Some(node) => self.eval(node, frame)?,
                    None => Val::None,
                }));
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Delete(targets) => {
                for target in targets {
                    self.delete(target, frame)?;
                }
            }
            Statement::Import { module, bound, target } => {
                crate::runtime::module(self.vm, module)?;
                let found = crate::runtime::module(self.vm, bound)?;
                self.assign(target, self.fixed(found), frame)?;
            }
            Statement::ImportFrom(module, names) => {
                let found = crate::runtime::module(self.vm, module)?;
                for (name, target) in names {
                    let value = match self.vm.get_attribute_opt(&found, *name)? {
                        Some(value) => value,
                        // A module within a package.
                        None => {
                            let inner = format!("{module}.{name}");
                            crate::runtime::module(self.vm, &inner).map_err(|error| {
                                if !error.class().fast_issubclass(self.vm.ctx.exceptions.module_not_found_error) {
                                    return error;
                                }
                                let file = found.get_attr("__file__", self.vm).and_then(|file| file.str(self.vm));
                                let file = file.map_or_else(|_| "unknown location".to_string(), |file| file.to_string_lossy().into_owned());
                                let text = format!("cannot import name '{name}' from '{module}' ({file})");
                                self.vm.new_import_error(text, self.vm.ctx.new_utf8_str(&**module))
                            })?
                        }
                    };
                    self.assign(target, self.fixed(value), frame)?;
                }
            }
            Statement::Raise(exception, cause) => {
                let error = self.raised(exception.as_ref(), cause.as_ref(), frame).unwrap_or_else(|error| error);
                if exception.is_none() {
                    frame.at(TRACED);
                }
                return Err(error);
            }
            Statement::Assert(test, message) => {
                if !self.test(test, frame)? {
                    let class = self.vm.ctx.exceptions.assertion_error.to_owned();
                    let args = match message {
                        Some(message) => vec![self.eval(message, frame)?.to_object(self.vm)?],
                        None => vec![],
                    };
                    return Err(self.vm.new_exception(class, args));
                }
            }
            Statement::Try(parts) => return self.attempt(parts, frame),
            Statement::Define(target, func, defaults) => {
                let defaults = self.evals(defaults, frame)?;
                self.assign(target, Val::Nested(func.clone(), defaults.into()), frame)?;
            }
            Statement::With(manager, target, body) => return self.with(manager, target.as_ref(), body, frame),
        }
        Ok(Flow::Next)
    }

    pub(super) fn raised(&self, exception: Option<&Node>, cause: Option<&Node>, frame: &Frame<'_>) -> PyResult<PyBaseExceptionRef> {
        let Some(exception) = exception else {
            return match self.vm.current_exception() {
                Some(error) => Ok(error),
                None => Err(self.vm.new_runtime_error("No active exception to reraise")),
            };
        };
        let error = self.exception(self.eval(exception, frame)?)?;
        if let Some(cause) = cause {
            let cause = self.eval(cause, frame)?;
            error.set_cause(if matches!(cause, Val::None) { None } else { Some(self.exception(cause)?) });
        }
        if let Some(around) = self.vm.current_exception()
            && !around.is(&error)
        {
            error.as_object().set_attr("__context__", around, self.vm)?;
        }
        Ok(error)
    }

    pub(super) fn exception(&self, value: Val) -> PyResult<PyBaseExceptionRef> {
        let vm = self.vm;
        let wrong = || vm.new_type_error("exceptions must derive from BaseException");
        let Val::Object(object) = value else { return Err(wrong()) };
        let object = if object.class().fast_issubclass(vm.ctx.types.type_type) { object.call((), vm)? } else { object };
        object.downcast::<rustpython_vm::builtins::PyBaseException>().map_err(|_| wrong())
    }

    pub(super) fn attempt(&self, parts: &Try, frame: &Frame<'_>) -> PyResult<Flow> {
        let done = self.caught(parts, frame);
        if parts.finally.is_empty() {
            return done;
        }
        // The line of an error is kept for when it goes on.
        let line = frame.line.replace(0);
        match self.block(&parts.finally, frame)? {
            Flow::Next => {
                frame.line.set(line);
                done
            }
            other => Ok(other),
        }
    }

    pub(super) fn caught(&self, parts: &Try, frame: &Frame<'_>) -> PyResult<Flow> {
        let error = match self.block(&parts.body, frame) {
            Ok(Flow::Next) => return self.block(&parts.otherwise, frame),
            Ok(other) => return Ok(other),
            Err(error) => error,
        };
        let line = frame.line.replace(0);
        for handler in &parts.handlers {
            let wanted = match &handler.class {
                None => true,
                Some(class) => {
                    let class = self.eval(class, frame)?.to_object(self.vm)?;
                    error.as_object().is_instance(&class, self.vm)?
                }
            };
            if !wanted {
                continue;
            }
            // The exception's traceback has the frame that caught it.
            let error = self.traced(error, line, frame);
            if let Some(place) = handler.name {
                frame.set(place, Val::Object(error.clone().into()));
            }
            let before = self.vm.current_exception();
            self.vm.set_exception(Some(error));
            let done = self.block(&handler.body, frame);
            self.vm.set_exception(before);
            if let Some(place) = handler.name {
                frame.set(place, Val::Unset);
            }
            return done;
        }
        frame.line.set(line);
        Err(error)
    }

    pub(super) fn with(&self, manager: &Node, target: Option<&Target>, body: &Body, frame: &Frame<'_>) -> PyResult<Flow> {
        let vm = self.vm;
        self.asked();
        let manager = self.eval(manager, frame)?.to_object(vm)?;
        let class: PyObjectRef = manager.class().to_owned().into();
        let method = |name: &'static str| class.get_attr(name, vm);
        let exit = method("__exit__")?;
        let given = method("__enter__").and_then(|enter| enter.call((manager.clone(),), vm))?;
        let entered = match target {
            Some(target) => self.assign(target, Val::from_object(given, vm), frame),
            None => Ok(()),
        };
        match entered.and_then(|()| self.block(body, frame)) {
            Ok(flow) => {
                let none = vm.ctx.none();
                exit.call((manager, none.clone(), none.clone(), none), vm)?;
                Ok(flow)
            }
            Err(error) => {
                let error = self.traced(error, frame.line.replace(0), frame);
                let trace = error.as_object().get_attr("__traceback__", vm)?;
                let before = vm.current_exception();
                vm.set_exception(Some(error.clone()));
                let done = exit.call((manager, error.class().to_owned(), error.clone(), trace), vm).and_then(|done| done.is_true(vm));
                vm.set_exception(before);
                if done? {
                    return Ok(Flow::Next);
                }
                frame.at(TRACED);
                Err(error)
            }
        }
    }

    pub(super) fn unbound(&self, frame: &Frame<'_>, place: usize) -> PyBaseExceptionRef {
        let name = &frame.func.names[place];
        self.vm.new_unbound_local_error(format!("cannot access local variable '{name}' where it is not associated with a value"))
    }

    pub(super) fn local(&self, frame: &Frame<'_>, place: usize) -> PyResult<Val> {
        match &frame.values.borrow()[place] {
            Val::Unset => Err(self.unbound(frame, place)),
            value => Ok(value.clone()),
        }
    }

    /// What a module or the global names hold. Functions and modules stay what they are.
    pub(super) fn fixed(&self, found: PyObjectRef) -> Val {
        let types = &self.vm.ctx.types;
        let class = found.class();
        let fixed = class.is(types.module_type)
            || class.is(types.function_type)
            || class.is(types.builtin_function_or_method_type)
            || class.is(types.type_type);
        if fixed {
            return Val::Object(found);
        }
        self.asked();
        Val::from_object(found, self.vm)
    }

    pub(super) fn global(&self, name: Name, frame: &Frame<'_>) -> PyResult<Val> {
        if let Some(found) = frame.func.globals.get_item_opt(name.as_object(), self.vm)? {
            return Ok(self.fixed(found));
        }
        match self.vm.builtins.dict().get_item_opt(name.as_object(), self.vm)? {
            Some(found) => Ok(self.fixed(found)),
            None => Err(self.vm.new_name_error(format!("name '{name}' is not defined"), name.to_owned())),
        }
    }

    pub(super) fn assign(&self, target: &Target, value: Val, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => frame.set(*place, value),
            Target::Up(levels, place) => {
                if let Some(frame) = frame.up(*levels) {
                    frame.set(*place, value);
                }
            }
            Target::Global(name) => {
                self.asked();
                frame.func.globals.set_item(name.as_object(), value.to_object(self.vm)?, self.vm)?;
            }
            Target::Tuple(parts) => {
                let items = self.unpacked(value, parts.len())?;
                for (part, item) in parts.iter().zip(items) {
                    self.assign(part, item, frame)?;
                }
            }
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                self.set_item(&object, &index, value)?;
            }
            Target::Attribute(object, name) => {
                self.asked();
                let object = self.eval(object, frame)?.to_object(self.vm)?;
                object.set_attr(*name, value.to_object(self.vm)?, self.vm)?;
            }
        }
        Ok(())
    }

    pub(super) fn unpacked(&self, value: Val, wanted: usize) -> PyResult<Vec<Val>> {
        let vm = self.vm;
        // Of what is all there the error tells how much that is.
        let whole = matches!(value, Val::List(_) | Val::Tuple(_) | Val::Dict(_)) || matches!(&value, Val::Object(object) if object.downcast_ref::<PyList>().is_some());
        let class = if let Val::Object(_) = value { None } else { Some(value.clone()) };
        let mut items = match self.iterate(value) {
            Ok(items) => items,
            Err(error) => {
                let Some(value) = class else { return Err(error) };
                let object = value.to_object(vm)?;
                return Err(vm.new_type_error(format!("cannot unpack non-iterable {} object", object.class().slot_name())));
            }
        };
        let mut found = Vec::with_capacity(wanted);
        while let Some(item) = self.next(&mut items)? {
            found.push(item);
            if found.len() > wanted && !whole {
                return Err(vm.new_value_error(format!("too many values to unpack (expected {wanted})")));
            }
        }
        let got = found.len();
        match got.cmp(&wanted) {
            std::cmp::Ordering::Less => Err(vm.new_value_error(format!("not enough values to unpack (expected {wanted}, got {got})"))),
            std::cmp::Ordering::Greater => Err(vm.new_value_error(format!("too many values to unpack (expected {wanted}, got {got})"))),
            std::cmp::Ordering::Equal => Ok(found),
        }
    }

    pub(super) fn set_item(&self, object: &Val, index: &Val, value: Val) -> PyResult<()> {
        match (object, index) {
            (Val::Dict(dict), Val::Str(key)) => {
                if let Some(old) = dict.write(|dict| dict.insert(key.clone(), value.clone())) {
                    drop(old);
                    return Ok(());
                }
            }
            (Val::List(list), Val::Int(index)) => {
                let set = list.write(|list| {
                    let at = text::position(*index, list.len())?;
                    Some(std::mem::replace(&mut list[at], value.clone()))
                });
                if let Some(Some(old)) = set {
                    drop(old);
                    return Ok(());
                }
            }
            // `d["NAME"] = …`
            _ => {}
        }
        self.asked();
        let index = index.to_object(self.vm)?;
        object.to_object(self.vm)?.set_item(&*index, value.to_object(self.vm)?, self.vm)
    }

    pub(super) fn delete(&self, target: &Target, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => {
                self.local(frame, *place)?;
                frame.set(*place, Val::Unset);
            }
            Target::Up(levels, place) => {
                if let Some(frame) = frame.up(*levels) {
                    frame.set(*place, Val::Unset);
                }
            }
            // Nothing is kept of what deletes things.
            Target::Global(name) => frame.func.globals.del_item(name.as_object(), self.vm)?,
            Target::Tuple(parts) => parts.iter().try_for_each(|part| self.delete(part, frame))?,
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                if let (Val::Dict(dict), Val::Str(key)) = (&object, &index)
                    && let Some(Some(old)) = dict.write(|dict| dict.shift_remove(key))
                {
                    drop(old);
                    return Ok(());
                }
                self.asked();
                let index = index.to_object(self.vm)?;
                object.to_object(self.vm)?.del_item(&*index, self.vm)?;
            }
            Target::Attribute(object, name) => self.eval(object, frame)?.to_object(self.vm)?.del_attr(*name, self.vm)?,
        }
        Ok(())
    }

    pub(super) fn augment(&self, target: &Target, op: Operator, node: &Node, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => {
                let left = self.local(frame, *place)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                frame.set(*place, value);
            }
            Target::Up(levels, place) => {
                let Some(at) = frame.up(*levels) else { return Ok(()) };
                let left = self.local(at, *place)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                at.set(*place, value);
            }
            Target::Global(name) => {
                let left = self.global(name, frame)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                self.assign(target, value, frame)?;
            }
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                let left = self.index(&object, &index)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                self.set_item(&object, &index, value)?;
            }
            Target::Attribute(object, name) => {
                let object = self.eval(object, frame)?;
                let left = self.attribute(&object, name)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                object.to_object(self.vm)?.set_attr(*name, value.to_object(self.vm)?, self.vm)?;
            }
            Target::Tuple(_) => {}
        }
        Ok(())
    }
}
