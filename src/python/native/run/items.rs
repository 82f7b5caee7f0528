//! Going through things: loops and comprehensions.

use super::*;

/// What is gone through.
pub(super) enum Items {
    List(Rc<Shared<Vec<Val>>>, usize),
    Ours(std::vec::IntoIter<Val>),
    /// Of a dictionary or set, which must not change its size.
    Keys(std::vec::IntoIter<Val>, Val, usize),
    Object(PyObjectRef),
}

impl Run<'_> {
    pub(super) fn iterate(&self, value: Val) -> PyResult<Items> {
        Ok(match value {
            Val::List(list) if list.object().is_none() => Items::List(list, 0),
            Val::Tuple(items) => Items::Ours(items.to_vec().into_iter()),
            Val::Store(store) => match self.names_of(&store)? {
                Some(names) => Items::Ours(names.into_iter()),
                None => Items::Object(crate::store::wrap(&store, self.vm)?.get_iter(self.vm)?.into()),
            },
            value => match known::snapshot(&value) {
                Some(items) if matches!(value, Val::Dict(_) | Val::Set(_)) => {
                    let size = items.len();
                    Items::Keys(items.into_iter(), value, size)
                }
                Some(items) => Items::Ours(items.into_iter()),
                None => {
                    self.asked();
                    let object = value.to_object(self.vm)?;
                    Items::Object(object.get_iter(self.vm)?.into())
                }
            },
        })
    }

    /// The names of a store, as going through it finds them. None: the VM has to say.
    pub(super) fn names_of(&self, store: &DataStore) -> PyResult<Option<Vec<Val>>> {
        self.asked();
        if !crate::store::names_are_its_own(store, self.vm)? {
            return Ok(None);
        }
        let names = waiting(self.vm, || store.keys()).map_err(|error| from_data(self.vm, error))?;
        Ok(Some(names.into_iter().map(Val::Str).collect()))
    }

    pub(super) fn next(&self, items: &mut Items) -> PyResult<Option<Val>> {
        Ok(match items {
            Items::Ours(items) => items.next(),
            Items::Keys(items, owner, size) => {
                let now = match owner {
                    Val::Dict(dict) => dict.read(IndexMap::len),
                    Val::Set(set) => set.read(IndexSet::len),
                    _ => None,
                };
                let what = if matches!(owner, Val::Dict(_)) { "dictionary" } else { "Set" };
                if now.is_some_and(|now| now != *size) {
                    return Err(self.vm.new_runtime_error(format!("{what} changed size during iteration")));
                }
                items.next()
            }
            Items::List(list, at) => {
                *at += 1;
                match list.read(|items| items.get(*at - 1).cloned()) {
                    Some(item) => item,
                    None => list.object().and_then(|object| {
                        let items = object.downcast_ref::<PyList>()?.borrow_vec().get(*at - 1).cloned();
                        items.map(|item| Val::from_object(item, self.vm))
                    }),
                }
            }
            Items::Object(iterator) => match PyIter::new(&**iterator).next(self.vm)? {
                PyIterReturn::Return(item) => Some(Val::from_object(item, self.vm)),
                PyIterReturn::StopIteration(_) => None,
            },
        })
    }

    pub(super) fn all(&self, value: Val) -> PyResult<Vec<Val>> {
        if let Some(items) = known::snapshot(&value) {
            return Ok(items);
        }
        let mut items = self.iterate(value)?;
        let mut found = Vec::new();
        while let Some(item) = self.next(&mut items)? {
            found.push(item);
        }
        Ok(found)
    }

    pub(super) fn comprehend(&self, found: &Comprehension, frame: &Frame<'_>) -> PyResult<Val> {
        let mut items = Vec::new();
        let mut pairs = Vec::new();
        self.rounds(found, frame, &mut |run| {
            let element = run.eval(&found.element, frame)?;
            match &found.value {
                None => items.push(element),
                Some(value) => pairs.push((element, run.eval(value, frame)?)),
            }
            Ok(true)
        })?;
        match found.kind {
            Kind::List => Ok(Val::list(items)),
            Kind::Set => self.set_of(items).inspect_err(|_| frame.at(found.line)),
            Kind::Dict => self.dict_of(pairs).inspect_err(|_| frame.at(found.line)),
        }
    }

    /// Calls `found` for each round of the innermost loop until it says no. A generator's errors come out of a frame
    /// of its own.
    pub(super) fn rounds(&self, parts: &Comprehension, frame: &Frame<'_>, found: &mut dyn FnMut(&Self) -> PyResult<bool>) -> PyResult<()> {
        let Some(first) = parts.parts.first() else { return Ok(()) };
        let items = self.iterate(self.eval(&first.over, frame)?).inspect_err(|_| frame.at(parts.line))?;
        let done = self.each(parts, 0, items, frame, found);
        match done {
            Err(error) if parts.generator => {
                let line = frame.line.replace(0);
                Err(crate::native::traced(self.vm, error, &frame.func.file, "<genexpr>", if line == 0 { parts.line } else { line }))
            }
            done => done.map(drop),
        }
    }

    pub(super) fn each(
        &self, parts: &Comprehension, at: usize, mut items: Items, frame: &Frame<'_>, found: &mut dyn FnMut(&Self) -> PyResult<bool>,
    ) -> PyResult<bool> {
        let part = &parts.parts[at];
        'items: while let Some(item) = self.next(&mut items).inspect_err(|_| frame.at(parts.line))? {
            self.assign(&part.target, item, frame).inspect_err(|_| frame.at(parts.line))?;
            for condition in &part.conditions {
                if !self.test(condition, frame)? {
                    continue 'items;
                }
            }
            let goes_on = match parts.parts.get(at + 1) {
                None => found(self)?,
                Some(next) => {
                    let inner = self.iterate(self.eval(&next.over, frame)?).inspect_err(|_| frame.at(parts.line))?;
                    self.each(parts, at + 1, inner, frame, found)?
                }
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn set_of(&self, items: Vec<Val>) -> PyResult<Val> {
        if items.iter().all(|item| item.as_str().is_some()) {
            return Ok(Val::Set(Shared::new(items.iter().filter_map(Val::as_str).cloned().collect())));
        }
        self.asked();
        let set = PySet::default().into_ref(&self.vm.ctx);
        for item in items {
            set.add(item.to_object(self.vm)?, self.vm)?;
        }
        Ok(Val::Object(set.into()))
    }

    pub(super) fn dict_of(&self, items: Vec<(Val, Val)>) -> PyResult<Val> {
        if items.iter().all(|(key, _)| key.as_str().is_some()) {
            let mut dict = IndexMap::with_capacity(items.len());
            for (key, value) in items {
                if let Val::Str(key) = key {
                    dict.insert(key, value);
                }
            }
            return Ok(Val::Dict(Shared::new(dict)));
        }
        self.asked();
        let dict = self.vm.ctx.new_dict();
        for (key, value) in items {
            dict.set_item(&*key.to_object(self.vm)?, value.to_object(self.vm)?, self.vm)?;
        }
        Ok(Val::Object(dict.into()))
    }
}
