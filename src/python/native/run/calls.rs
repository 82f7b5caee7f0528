//! Calls: of what is known, of native functions, and of the VM's.

use super::*;

impl Run<'_> {
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
        let wrong = |text: String| self.vm.new_type_error(format!("{}() {text}", func.path));
        let (given, most) = (args.len(), func.params);
        let least = most - defaults.len();
        args.resize(most.max(given), Val::Unset);
        let mut only = named_defaults.to_vec();
        for (name, value) in named {
            let place = func.names[..most + only.len()].iter().position(|known| name.as_str() == &**known);
            if let Some(at) = place.and_then(|place| place.checked_sub(most)) {
                only[at] = Some(value);
                continue;
            }
            let Some(place) = place else {
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
        let params = &native.func.names[..native.func.params + native.func.named_only];
        let mut have = vec![false; params.len()];
        if args > native.func.params {
            return false;
        }
        have[..args].fill(true);
        for (name, _) in named {
            match params.iter().position(|known| name.as_str() == &**known) {
                Some(place) if !have[place] => have[place] = true,
                _ => return false,
            }
        }
        let only = have[native.func.params..].iter().zip(&native.named);
        have[..native.required()].iter().all(|have| *have) && only.into_iter().all(|(have, default)| *have || default.is_some())
    }

    pub(super) fn invoke(&self, callee: &Val, args: Vec<Val>, named: Vec<(Name, Val)>, place: (&Func, u32)) -> PyResult<Val> {
        let vm = self.vm;
        let object = callee.to_object(vm)?;
        if let Some(known) = known::known(&object, vm)
            && let Some(value) = if named.is_empty() { known::call(known, &args, vm)? } else { known::call_named(known, &args, &named) }
        {
            let other = args.iter().any(|arg| matches!(arg, Val::Store(store) if Some(store.id()) != self.store));
            if other || !known.is_pure() {
                self.asked();
            }
            return Ok(value);
        }
        let function = object.downcast_ref::<PyFunction>().is_some();
        let mut reason = "";
        if function && DEPTH.get() < DEEPEST {
            match function::native(&object, vm) {
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
        let args = self.evals(&call.args, frame)?;
        let named = self.named(&call.named, frame)?;
        if let Some(method) = call.method {
            let done = match &object {
                Val::Str(text) if named.is_empty() => {
                    // Joining goes through whatever it gets.
                    if let (Method::Join, [value]) = (method, &*args)
                        && matches!(value, Val::Object(_))
                    {
                        let items = self.all(value.clone()).inspect_err(|_| frame.at(call.line))?;
                        text::call(text, method, &[Val::list(items)])
                    } else {
                        text::call(text, method, &args)
                    }
                }
                Val::List(list) if named.is_empty() => self.list_method(list, method, &args).inspect_err(|_| frame.at(call.line))?,
                Val::Dict(dict) if named.is_empty() => self.dict_method(dict, method, &args, call.gone_through),
                Val::Set(set) if named.is_empty() => self.set_method(set, method, &args).inspect_err(|_| frame.at(call.line))?,
                Val::Store(store) => match method {
                    Method::Store(method) => self.store_method(store, method, &args, &named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))?,
                    _ => None,
                },
                _ => None,
            };
            if let Some(value) = done {
                return Ok(value);
            }
        }
        let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
        self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }
}
