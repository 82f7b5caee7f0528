//! Methods of lists, dictionaries, sets and the data store. None: the VM has to do it.

use super::*;
use hz_data::Method as StoreMethod;

impl Run<'_> {
    pub(super) fn list_method(&self, list: &Rc<Shared<Vec<Val>>>, method: Method, args: &[Val]) -> PyResult<Option<Val>> {
        let done = |done: Option<()>| done.map(|()| Val::None);
        Ok(match (method, args) {
            (Method::Append, [item]) => done(list.write(|list| list.push(item.clone()))),
            (Method::Extend, [more]) => {
                if list.object().is_some() {
                    return Ok(None);
                }
                let more = self.all(more.clone())?;
                match list.write(|list| list.extend(more.iter().cloned())) {
                    Some(()) => Some(Val::None),
                    None => {
                        let object = list.object().unwrap_or_else(|| self.vm.ctx.none());
                        self.vm.call_method(&object, "extend", (Val::list(more).to_object(self.vm)?,))?;
                        Some(Val::None)
                    }
                }
            }
            (Method::Insert, [Val::Int(at), item]) => done(list.write(|list| {
                let at = text::range(Some(*at), None, list.len()).start;
                list.insert(at, item.clone());
            })),
            (Method::Remove, [item]) => list
                .write(|list| {
                    for at in 0..list.len() {
                        if list[at].equals(item)? {
                            return Some(list.remove(at));
                        }
                    }
                    None
                })
                .flatten()
                .map(|_| Val::None),
            (Method::Pop, []) => list.write(Vec::pop).flatten(),
            (Method::Pop, [Val::Int(at)]) => list.write(|list| text::position(*at, list.len()).map(|at| list.remove(at))).flatten(),
            (Method::Reverse, []) => done(list.write(|list| list.reverse())),
            (Method::Copy, []) => list.read(|list| Val::list(list.clone())),
            (Method::Sort, []) => list.write(|list| known::sort(list)).flatten().map(|()| Val::None),
            (Method::Count, [item]) => list
                .read(|list| {
                    let mut count = 0;
                    for known in list {
                        count += i64::from(known.equals(item)?);
                    }
                    Some(Val::Int(count))
                })
                .flatten(),
            _ => None,
        })
    }

    pub(super) fn dict_method(&self, dict: &Rc<Shared<IndexMap<Str, Val>>>, method: Method, args: &[Val], gone_through: bool) -> Option<Val> {
        match (method, args) {
            (Method::Get, [Val::Str(key)]) => dict.read(|dict| dict.get(key).cloned().unwrap_or(Val::None)),
            (Method::Get, [Val::Str(key), default]) => dict.read(|dict| dict.get(key).unwrap_or(default).clone()),
            (Method::SetDefault, [Val::Str(key), default]) => {
                dict.write(|dict| dict.entry(key.clone()).or_insert_with(|| default.clone()).clone())
            }
            (Method::Pop, [Val::Str(key)]) => dict.write(|dict| dict.shift_remove(key)).flatten(),
            (Method::Pop, [Val::Str(key), default]) => dict.write(|dict| dict.shift_remove(key).unwrap_or_else(|| default.clone())),
            (Method::Copy, []) => dict.read(|dict| Val::Dict(Shared::new(dict.clone()))),
            (Method::Update, [Val::Dict(more)]) => {
                let more = more.read(Clone::clone)?;
                dict.write(|dict| dict.extend(more)).map(|()| Val::None)
            }
            (Method::Items, []) if gone_through => dict.read(|dict| {
                Val::list(dict.iter().map(|(key, value)| Val::tuple(vec![Val::Str(key.clone()), value.clone()])).collect())
            }),
            (Method::Keys, []) if gone_through => dict.read(|dict| Val::list(dict.keys().cloned().map(Val::Str).collect())),
            (Method::Values, []) if gone_through => dict.read(|dict| Val::list(dict.values().cloned().collect())),
            _ => None,
        }
    }

    pub(super) fn set_method(&self, set: &Rc<Shared<IndexSet<Str>>>, method: Method, args: &[Val]) -> PyResult<Option<Val>> {
        Ok(match (method, args) {
            (Method::Add, [Val::Str(item)]) => set.write(|set| set.insert(item.clone())).map(|_| Val::None),
            (Method::Discard, [Val::Str(item)]) => set.write(|set| set.shift_remove(item)).map(|_| Val::None),
            (Method::Copy, []) => set.read(|set| Val::Set(Shared::new(set.clone()))),
            (Method::Update, [more]) => {
                let Some(items) = known::snapshot(more) else { return Ok(None) };
                if !items.iter().all(|item| item.as_str().is_some()) {
                    return Ok(None);
                }
                set.write(|set| set.extend(items.iter().filter_map(Val::as_str).cloned())).map(|()| Val::None)
            }
            _ => None,
        })
    }

    /// A method of the data store; None: the VM has to call it.
    pub(super) fn store_method(&self, store: &DataStore, method: StoreMethod, args: &[Val], named: &[(Name, Val)], place: (&Func, u32)) -> PyResult<Option<Val>> {
        let vm = self.vm;
        if hz_data::is_any_replaced() {
            return Ok(None);
        }
        if Some(store.id()) != self.store {
            self.asked();
        }
        let failed = |error| from_data(vm, error);
        let reads = matches!(method, StoreMethod::GetVar | StoreMethod::GetVarFlag);
        // How a read is made, by position or by name.
        let how = |first: usize| -> Option<Read> {
            let mut how = Read::default();
            let mut set = |name: &str, value: &Val| -> Option<()> {
                let Val::Bool(truth) = value else { return None };
                match name {
                    "expand" => how.expand = *truth,
                    "noweakdefault" => how.noweakdefault = *truth,
                    "parsing" => how.parsing = *truth,
                    _ => return None,
                }
                Some(())
            };
            for (at, value) in args.iter().enumerate().skip(first) {
                set(["expand", "noweakdefault", "parsing"].get(at - first)?, value)?;
            }
            for (name, value) in named {
                set(name.as_str(), value)?;
            }
            Some(how)
        };
        if reads {
            return Ok(match (method, args) {
                (StoreMethod::GetVar, [Val::Str(name), ..]) => match how(1) {
                    Some(how) => Some(Val::from_value(waiting(vm, || store.get_var(name, how)).map_err(failed)?, vm)?),
                    None => None,
                },
                (StoreMethod::GetVarFlag, [Val::Str(name), Val::Str(flag), ..]) => match how(2) {
                    Some(how) => Some(Val::from_value(waiting(vm, || store.get_flag(name, flag, how)).map_err(failed)?, vm)?),
                    None => None,
                },
                _ => None,
            });
        }
        self.asked();
        if !named.is_empty() {
            return Ok(None);
        }
        let mut info = SetInfo::default();
        if store.is_tracking() {
            (info.file, info.func, info.line) = (Some(place.0.file.clone()), Some(place.0.name.clone()), place.1);
        }
        let value = |name: &str, value: &Val| value.to_value(name.starts_with("__"), vm);
        let flag_value = |flag: &str, value: &Val| value.to_value(flag.starts_with(':'), vm);
        let done = match (method, args) {
            (StoreMethod::SetVar, [Val::Str(name), new]) => {
                let new = value(name, new)?;
                waiting(vm, || store.set_var(name, new, &info))
            }
            (StoreMethod::AppendVar, [Val::Str(name), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.append_var(name, more, &info))
            }
            (StoreMethod::PrependVar, [Val::Str(name), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.prepend_var(name, more, &info))
            }
            (StoreMethod::DelVar, [Val::Str(name)]) => waiting(vm, || store.del_var(name, &info)),
            (StoreMethod::SetVarFlag, [Val::Str(name), Val::Str(flag), new]) => {
                let new = flag_value(flag, new)?;
                waiting(vm, || store.set_flag(name, flag, new, &info))
            }
            (StoreMethod::AppendVarFlag, [Val::Str(name), Val::Str(flag), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.append_flag(name, flag, more, &info))
            }
            (StoreMethod::PrependVarFlag, [Val::Str(name), Val::Str(flag), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.prepend_flag(name, flag, more, &info))
            }
            (StoreMethod::RenameVar, [Val::Str(name), Val::Str(new)]) => waiting(vm, || store.rename_var(name, new, &info)),
            (StoreMethod::CreateCopy, []) => return Ok(Some(Val::Store(store.create_copy()))),
            (StoreMethod::DelVarFlag, [Val::Str(name), Val::Str(flag)]) => waiting(vm, || store.del_flag(name, flag, &info)),
            (StoreMethod::GetVarFlags, [Val::Str(name)]) => {
                let flags = waiting(vm, || store.get_flags(name, None, false)).map_err(failed)?;
                let Some(flags) = flags else { return Ok(Some(Val::None)) };
                let mut dict = IndexMap::with_capacity(flags.len());
                for (flag, value) in flags {
                    dict.insert(flag, Val::from_value(Some(value), vm)?);
                }
                return Ok(Some(Val::Dict(Shared::new(dict))));
            }
            (StoreMethod::Expand, [Val::Str(source)]) => {
                return Ok(Some(Val::Str(waiting(vm, || store.expand(source, None)).map_err(failed)?)));
            }
            _ => return Ok(None),
        };
        done.map_err(failed)?;
        Ok(Some(Val::None))
    }
}
