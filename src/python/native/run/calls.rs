//! Calls: of what is known, of native functions, and of the VM's.

use super::*;

impl Run<'_> {
    #[inline]
    pub(super) fn named(&self, named: &[(Name, Node)], frame: &Frame<'_>) -> PyResult<Vec<(Name, Val)>> {
        let mut values = Vec::with_capacity(named.len());
        for (name, node) in named {
            values.push((*name, self.eval(node, frame)?));
        }
        Ok(values)
    }

    pub(super) fn call(&self, call: &Call, frame: &Frame<'_>) -> PyResult<Val> {
        let callee = self.eval(&call.callee, frame).inspect_err(|_| frame.at(call.line))?;
        let args = self.evals(&call.args, frame)?;
        if let Val::Nested(func, defaults) = &callee {
            // Defined in the frame its name was found in.
            let around = match &call.callee {
                Node::Up(levels, _) => frame.up(*levels),
                _ => Some(frame),
            };
            let named = self.named(&call.named, frame)?;
            let found = self.bound(func, defaults, &[], args, named).and_then(|args| self.deeper(|| self.run(func, args, around)));
            return found.inspect_err(|_| frame.at(call.line));
        }
        let named = self.named(&call.named, frame)?;
        self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }

    pub(super) fn deeper<R>(&self, work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
        let depth = DEPTH.get();
        if depth > 4 * DEEPEST {
            return Err(self.vm.new_recursion_error("maximum recursion depth exceeded".to_string()));
        }
        DEPTH.set(depth + 1);
        let result = work();
        DEPTH.set(depth);
        result
    }

    /// The values of the parameters.
    pub(super) fn bound(
        &self, func: &Func, defaults: &[Val], named_defaults: &[Option<Val>], mut args: Vec<Val>, named: Vec<(Name, Val)>,
    ) -> PyResult<Vec<Val>> {
        let most = func.params;
        // Mostly just what there has to be.
        if args.len() == most && named.is_empty() && func.named_only == 0 && !func.rest && !func.rest_named {
            return Ok(args);
        }
        let wrong = |text: String| self.vm.new_type_error(format!("{}() {text}", func.path));
        let rest = if func.rest { args.split_off(most.min(args.len())) } else { Vec::new() };
        let given = args.len();
        let least = most - defaults.len();
        args.resize(most.max(given), Val::Unset);
        let mut only = named_defaults.to_vec();
        let mut rest_named = IndexMap::new();
        for (name, value) in named {
            let place = func.names[..most + only.len()].iter().position(|known| name.as_str() == &**known);
            if let Some(at) = place.and_then(|place| place.checked_sub(most)) {
                only[at] = Some(value);
                continue;
            }
            let Some(place) = place else {
                if func.rest_named {
                    rest_named.insert(name.as_str().into(), value);
                    continue;
                }
                return Err(wrong(format!("got an unexpected keyword argument '{name}'")));
            };
            if !matches!(args[place], Val::Unset) {
                return Err(wrong(format!("got multiple values for argument '{name}'")));
            }
            args[place] = value;
        }
        if given > most {
            let takes = if least == most { most.to_string() } else { format!("from {least} to {most}") };
            let s = if most == 1 { "" } else { "s" };
            let were = if given == 1 { "was" } else { "were" };
            return Err(wrong(format!("takes {takes} positional argument{s} but {given} {were} given")));
        }
        let mut missing = Vec::new();
        for (at, arg) in args.iter_mut().enumerate().filter(|(_, arg)| matches!(arg, Val::Unset)) {
            match at.checked_sub(least).and_then(|at| defaults.get(at)) {
                Some(default) => *arg = default.clone(),
                None => missing.push(format!("'{}'", func.names[at])),
            }
        }
        match &*missing {
            [] => {
                // Who calls has seen that all are there.
                args.extend(only.into_iter().map(|value| value.unwrap_or(Val::Unset)));
                if func.rest {
                    args.push(Val::tuple(rest));
                }
                if func.rest_named {
                    args.push(Val::Dict(Shared::new(rest_named)));
                }
                Ok(args)
            }
            [one] => Err(wrong(format!("missing 1 required positional argument: {one}"))),
            [one, two] => Err(wrong(format!("missing 2 required positional arguments: {one} and {two}"))),
            [others @ .., last] => {
                Err(wrong(format!("missing {} required positional arguments: {}, and {last}", missing.len(), others.join(", "))))
            }
        }
    }

    /// Can the call be made as it stands?
    pub(super) fn fits(native: &Native, args: usize, named: &[(Name, Val)]) -> bool {
        if named.is_empty() {
            return native.takes(args);
        }
        let params = &native.func.names[..native.func.params + native.func.named_only];
        let mut have = vec![false; params.len()];
        if args > native.func.params && !native.func.rest {
            return false;
        }
        have[..args.min(native.func.params)].fill(true);
        for (at, (name, _)) in named.iter().enumerate() {
            match params.iter().position(|known| name.as_str() == &**known) {
                Some(place) if !have[place] => have[place] = true,
                // What `**` brings may be there twice.
                None if native.func.rest_named && named[..at].iter().all(|(other, _)| other != name) => {}
                _ => return false,
            }
        }
        let only = have[native.func.params..].iter().zip(&native.named);
        have[..native.required()].iter().all(|have| *have) && only.into_iter().all(|(have, default)| *have || default.is_some())
    }

    /// A call with `*` or `**`.
    pub(super) fn spread_call(&self, call: &SpreadCall, frame: &Frame<'_>) -> PyResult<Val> {
        let callee = self.eval(&call.callee, frame).inspect_err(|_| frame.at(call.line))?;
        let mut args = Vec::with_capacity(call.args.len() + 4);
        for (spread, node) in &call.args {
            let value = self.eval(node, frame)?;
            match spread {
                false => args.push(value),
                true => args.extend(self.spread(value, call, &callee).inspect_err(|_| frame.at(call.line))?),
            }
        }
        let mut named: Vec<(Name, Val)> = Vec::with_capacity(call.named.len() + 4);
        for (name, node) in &call.named {
            let value = self.eval(node, frame)?;
            let more = match name {
                Some(name) => vec![(*name, value)],
                None => self.spread_named(value, &callee).inspect_err(|_| frame.at(call.line))?,
            };
            for (name, value) in more {
                if named.iter().any(|(known, _)| *known == name) {
                    let wrong = self.vm.new_type_error(format!("{} got multiple values for keyword argument '{name}'", self.told(&callee)?));
                    frame.at(call.line);
                    return Err(wrong);
                }
                named.push((name, value));
            }
        }
        if let Val::Nested(func, defaults) = &callee {
            let around = match &call.callee {
                Node::Up(levels, _) => frame.up(*levels),
                _ => Some(frame),
            };
            let found = self.bound(func, defaults, &[], args, named).and_then(|args| self.deeper(|| self.run(func, args, around)));
            return found.inspect_err(|_| frame.at(call.line));
        }
        self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }

    /// What a `*` brings.
    fn spread(&self, value: Val, call: &SpreadCall, callee: &Val) -> PyResult<Vec<Val>> {
        if let Some(items) = known::snapshot(&value) {
            return Ok(items);
        }
        let object = value.to_object(self.vm)?;
        let class = object.class();
        if class.slots().iter.load().is_none() && object.get_class_attr(self.vm.ctx.intern_str("__getitem__")).is_none() {
            let name = class.slot_name();
            return Err(self.vm.new_type_error(match call.args.len() {
                1 => format!("{} argument after * must be an iterable, not {name}", self.told(callee)?),
                _ => format!("Value after * must be an iterable, not {name}"),
            }));
        }
        self.all(value)
    }

    /// What a `**` brings.
    fn spread_named(&self, value: Val, callee: &Val) -> PyResult<Vec<(Name, Val)>> {
        let vm = self.vm;
        if let Val::Dict(dict) = &value
            && let Some(items) = dict.read(|dict| dict.iter().map(|(key, value)| (vm.ctx.intern_str(&**key), value.clone())).collect())
        {
            return Ok(items);
        }
        self.asked();
        let object = value.to_object(vm)?;
        if object.get_class_attr(vm.ctx.intern_str("keys")).is_none() {
            let told = format!("{} argument after ** must be a mapping, not {}", self.told(callee)?, object.class().name());
            return Err(vm.new_type_error(told));
        }
        let mut items = Vec::new();
        for key in vm.call_method(&object, "keys", ())?.try_to_value::<Vec<PyObjectRef>>(vm)? {
            let value = object.get_item(&*key, vm)?;
            let Some(name) = key.downcast_ref::<PyStr>().and_then(|name| name.to_str()) else {
                return Err(vm.new_type_error("keywords must be strings"));
            };
            items.push((vm.ctx.intern_str(name), Val::from_object(value, vm)));
        }
        Ok(items)
    }

    /// A function as errors about its arguments name it.
    fn told(&self, callee: &Val) -> PyResult<String> {
        let vm = self.vm;
        if let Val::Nested(func, _) = callee {
            return Ok(format!("{}()", func.path));
        }
        let object = callee.to_object(vm)?;
        let text = |name: &'static str| object.get_attr(name, vm).ok().and_then(|name| name.downcast_ref::<PyStr>().map(ToString::to_string));
        Ok(match (text("__qualname__"), text("__module__")) {
            (Some(name), Some(module)) if module != "builtins" => format!("{module}.{name}()"),
            (Some(name), _) => format!("{name}()"),
            (None, _) => object.repr(vm)?.to_string(),
        })
    }

    pub(super) fn invoke(&self, callee: &Val, mut args: Vec<Val>, named: Vec<(Name, Val)>, place: (&Func, u32)) -> PyResult<Val> {
        let vm = self.vm;
        let mut object = callee.to_object(vm)?;
        // A method is a function that gets its object first.
        if object.class().is(vm.ctx.types.bound_method_type)
            && let (Ok(function), Ok(of)) = (object.get_attr(vm.ctx.intern_str("__func__"), vm), object.get_attr(vm.ctx.intern_str("__self__"), vm))
            && function.downcast_ref::<PyFunction>().is_some()
        {
            args.insert(0, Val::from_object(of, vm));
            object = function;
        }
        let function = object.downcast_ref::<PyFunction>().is_some();
        let form = function.then(|| function::form(&object, vm));
        let known = match &form {
            Some(form) => form.known,
            None => known::known(&object, vm),
        };
        if let Some(known) = known
            && let Some(value) = if named.is_empty() { known::call(known, &args, vm)? } else { known::call_named(known, &args, &named) }
        {
            let other = args.iter().any(|arg| matches!(arg, Val::Store(store) if Some(store.id()) != self.store));
            if other || !known.is_pure() {
                self.asked();
            }
            return Ok(value);
        }
        let mut reason = "";
        if let Some(form) = form
            && DEPTH.get() < DEEPEST
        {
            match form.native {
                // Otherwise the VM says what is wrong.
                Ok(native) if Self::fits(&native, args.len(), &named) => {
                    if !native.func.library {
                        self.called();
                    }
                    if native.defaults.iter().chain(native.named.iter().flatten()).any(|value| matches!(value, Val::Object(_))) {
                        self.asked();
                    }
                    let args = self.bound(&native.func, &native.defaults, &native.named, args, named)?;
                    return self.deeper(|| self.run(&native.func, args, None));
                }
                Ok(_) => {}
                Err(why) => reason = why,
            }
        }
        self.asked();
        let objects: PyResult<Vec<PyObjectRef>> = args.iter().map(|arg| arg.to_object(vm)).collect();
        let mut arguments = FuncArgs::new(objects?, KwArgs::default());
        for (name, value) in &named {
            arguments.kwargs.insert(name.as_str().to_string().into(), value.to_object(vm)?);
        }
        // A function of Python has a frame of its own.
        let _place = if function { None } else { Place::enter(vm, place) };
        let found = if hz_meter::profiling() {
            let name = object.get_attr("__qualname__", vm).and_then(|name| name.str(vm)).map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|_| object.class().slot_name().to_string());
            let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            hz_meter::expression(&format!("within native code, in the VM: {name}{why}"), || object.call(arguments, vm))
        } else {
            object.call(arguments, vm)
        };
        Ok(Val::from_object(found?, vm))
    }

    pub(super) fn method_call(&self, call: &MethodCall, frame: &Frame<'_>) -> PyResult<Val> {
        let object = self.eval(&call.object, frame)?;
        // A module's function.
        if let Val::Object(module) = &object
            && module.downcast_ref::<PyModule>().is_some()
        {
            let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
            let args = self.evals(&call.args, frame)?;
            let named = self.named(&call.named, frame)?;
            return self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line));
        }
        let known = call.method.is_some() && !matches!(object, Val::Object(_));
        if !known {
            // The attribute is looked up before the arguments are evaluated.
            let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
            let args = self.evals(&call.args, frame)?;
            let named = self.named(&call.named, frame)?;
            return self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line));
        }
        // Mostly a few, which need no place of their own then.
        let mut few = [Val::Unset, Val::Unset, Val::Unset];
        let many;
        let args: &[Val] = if call.args.len() <= few.len() {
            for (value, node) in few.iter_mut().zip(&call.args) {
                *value = self.eval(node, frame)?;
            }
            &few[..call.args.len()]
        } else {
            many = self.evals(&call.args, frame)?;
            &many
        };
        let named = self.named(&call.named, frame)?;
        if let Some(method) = call.method {
            let done = match &object {
                Val::Str(text) if named.is_empty() => {
                    // Joining goes through whatever it gets.
                    if let (Method::Join, [value]) = (method, args)
                        && matches!(value, Val::Object(_))
                    {
                        let items = self.all(value.clone()).inspect_err(|_| frame.at(call.line))?;
                        text::call(text, method, &[Val::list(items)])
                    } else {
                        text::call(text, method, args)
                    }
                }
                Val::List(list) if named.is_empty() => self.list_method(list, method, args).inspect_err(|_| frame.at(call.line))?,
                Val::Dict(dict) if named.is_empty() => self.dict_method(dict, method, args, call.gone_through),
                Val::Set(set) if named.is_empty() => self.set_method(set, method, args).inspect_err(|_| frame.at(call.line))?,
                Val::Store(store) => match method {
                    Method::Store(method) => self.store_method(store, method, args, &named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))?,
                    Method::Keys if call.gone_through && args.is_empty() && named.is_empty() => self.names_of(store).inspect_err(|_| frame.at(call.line))?.map(Val::list),
                    _ => None,
                },
                _ => None,
            };
            if let Some(value) = done {
                return Ok(value);
            }
        }
        let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
        self.invoke(&callee, args.to_vec(), named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }
}
