//! `_hz_fetch`: what `bb.fetch2` is made of. The classes are Python's (layers subclass them and add
//! to `bb.fetch2.methods`), the work is done in the core.
//!
//! A Python `FetchData` and a core [`UrlData`](crate::UrlData) mirror each other: every call reads
//! the one, works on the other, and writes back what changed (`convert`). A method that is
//! exactly one of ours runs natively; a subclass, or a class somebody has patched, is called
//! through Python (`method`).

mod convert;
mod host;
mod method;

use rustpython_vm::Context;
use rustpython_vm::builtins::PyModuleDef;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_fetch::module_def(ctx)
}

#[rustpython_vm::pymodule]
mod _hz_fetch {
    use super::convert::{self, decoded, mapping, optional_text, strings, text};
    use super::host::{PythonHost, raise};
    use super::method;
    use crate::command::{self, Run};
    use crate::uri::{self, Uri};
    use crate::{Cx, FetchError, Result, UrlData, cache, checksum, fetcher, localfile, mirror, srcrev};
    use hz_data::DataStore;
    use hz_python::store::{unwrap, wrap};
    use rustpython_vm::builtins::{PyBaseExceptionRef, PyDictRef, PyStrRef};
    use rustpython_vm::function::OptionalArg;
    use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

    fn ok<T>(vm: &VirtualMachine, result: Result<T>) -> PyResult<T> {
        result.map_err(|e| raise(vm, e))
    }
    fn cx(d: &DataStore) -> Cx<'_> {
        Cx::new(d, &PythonHost)
    }
    fn error(vm: &VirtualMachine, e: FetchError) -> PyBaseExceptionRef {
        raise(vm, e)
    }

    // -- URLs

    #[pyfunction]
    fn decodeurl(url: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let d = ok(vm, uri::decode_url(&text(&url)))?;
        convert::decoded_tuple(&d, vm)
    }
    #[pyfunction]
    fn decodemirrorurl(url: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let d = ok(vm, uri::decode_mirror_url(&text(&url)))?;
        convert::decoded_tuple(&d, vm)
    }
    #[pyfunction]
    fn encodeurl(fields: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        let d = decoded(&fields, vm)?;
        ok(vm, uri::encode_url(&d))
    }
    /// scheme, userinfo, hostname, port, path, params, query, relative.
    #[pyfunction]
    fn uri_parse(url: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let u = ok(vm, Uri::parse(&text(&url)))?;
        let new = |s: &str| -> PyObjectRef { vm.ctx.new_str(s).into() };
        let port = u.port.map_or_else(|| vm.ctx.none(), |p| vm.ctx.new_int(p).into());
        let fields = vec![
            new(&u.scheme),
            new(&u.userinfo),
            new(&u.hostname),
            port,
            new(&u.path),
            convert::params_dict(&u.params, vm)?,
            convert::params_dict(&u.query, vm)?,
            vm.ctx.new_bool(u.relative).into(),
        ];
        Ok(vm.ctx.new_tuple(fields).into())
    }
    #[pyfunction]
    fn quote(path: PyStrRef) -> String {
        uri::quote(&text(&path))
    }
    #[pyfunction]
    fn unquote(path: PyStrRef) -> String {
        uri::unquote(&text(&path))
    }

    // -- FetchData

    #[pyfunction]
    fn urldata_init(ud: PyObjectRef, url: PyStrRef, d: PyObjectRef, localonly: bool, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        let cx = cx(store);
        let mut data = ok(vm, UrlData::decode(&text(&url), &cx))?;
        convert::attach(&mut data, &ud);
        // A Python method sees the object while it is being filled.
        convert::write(&data, None, &ud, vm)?;
        let before = data.clone();
        let result = data.complete(&cx, localonly);
        convert::write(&data, Some(&before), &ud, vm)?;
        ok(vm, result)
    }
    /// Runs `f` on the core's view of `ud` and writes back what it changed.
    fn with<T>(ud: &PyObjectRef, vm: &VirtualMachine, f: impl FnOnce(&mut UrlData) -> Result<T>) -> PyResult<T> {
        let before = convert::read(ud, vm)?;
        let mut data = before.clone();
        let result = f(&mut data);
        convert::write(&data, Some(&before), ud, vm)?;
        ok(vm, result)
    }
    #[pyfunction]
    fn setup_localpath(ud: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| u.setup_localpath(&cx(store)))
    }
    #[pyfunction]
    fn source_revision(ud: PyObjectRef, d: PyObjectRef, name: PyStrRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| srcrev::source_revision(u, &cx(store), &text(&name)))
    }
    #[pyfunction]
    fn latest_revision(ud: PyObjectRef, d: PyObjectRef, name: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| srcrev::latest(u, &cx(store), &text(&name)))
    }

    // -- methods

    /// What one of our own methods does: `call("wget", "download", ud, d, …)`.
    #[pyfunction]
    fn call(
        name: PyStrRef, operation: PyStrRef, ud: PyObjectRef, d: PyObjectRef, extra: OptionalArg<PyObjectRef>,
        vm: &VirtualMachine,
    ) -> PyResult {
        let native = crate::methods::by_name(&text(&name))
            .ok_or_else(|| vm.new_value_error(format!("no fetch method {}", text(&name))))?;
        // `supports_checksum` and the like are asked without a store.
        let owned;
        let store = if vm.is_none(&d) {
            owned = DataStore::new(hz_python::shared());
            &owned
        } else {
            unwrap(&d, vm)?
        };
        let cx = cx(store);
        let before = convert::read(&ud, vm)?;
        let mut data = before.clone();
        let extra = extra.into_option().map(|e| optional_text(&e, vm)).transpose()?.flatten().unwrap_or_default();
        let result = method::dispatch(&*native, &text(&operation), &mut data, &extra, &cx);
        convert::write(&data, Some(&before), &ud, vm)?;
        let answer = ok(vm, result)?;
        method::answer(answer, vm)
    }
    /// Somebody has changed a method class or instance: look at them anew.
    #[pyfunction]
    fn methods_changed() {
        method::forget();
    }

    // -- the sequence

    /// The core's views of many; `f` runs on them, everything is written back.
    fn with_all<T>(
        urls: &PyObjectRef, uds: &PyObjectRef, vm: &VirtualMachine, f: impl FnOnce(&mut [(String, UrlData)]) -> Result<T>,
    ) -> PyResult<T> {
        let urls = strings(urls, vm)?;
        let objects: Vec<PyObjectRef> = vm.extract_elements_with(uds, Ok)?;
        let mut items = Vec::with_capacity(urls.len());
        for (url, object) in urls.into_iter().zip(&objects) {
            items.push((url, convert::read(object, vm)?));
        }
        let before: Vec<UrlData> = items.iter().map(|(_, u)| u.clone()).collect();
        let result = f(&mut items);
        for (((_, data), before), object) in items.iter().zip(&before).zip(&objects) {
            convert::write(data, Some(before), object, vm)?;
        }
        ok(vm, result)
    }
    #[pyfunction]
    fn download(d: PyObjectRef, urls: PyObjectRef, uds: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with_all(&urls, &uds, vm, |items| fetcher::download(items.iter_mut().map(|(u, d)| (u.as_str(), d)), &cx(store)))
    }
    #[pyfunction]
    fn checkstatus(d: PyObjectRef, urls: PyObjectRef, uds: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with_all(&urls, &uds, vm, |items| fetcher::checkstatus(items.iter_mut().map(|(u, d)| (u.as_str(), d)), &cx(store)))
    }
    /// Holding the URL's lock, unpacks it.
    #[pyfunction]
    fn unpack(d: PyObjectRef, ud: PyObjectRef, root: PyStrRef, update: bool, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| fetcher::unpack(u, &text(&root), update, &cx(store)))
    }
    #[pyfunction]
    fn clean(d: PyObjectRef, ud: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| fetcher::clean(u, &cx(store)))
    }

    // -- mirrors

    #[pyfunction]
    fn mirror_from_string(data: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let store = DataStore::new(hz_python::shared());
        let pairs = mirror::parse(&cx(&store), &optional_text(&data, vm)?.unwrap_or_default());
        let items = pairs.into_iter().map(|(a, b)| convert::pair(&a, &b, vm)).collect();
        Ok(vm.ctx.new_list(items).into())
    }
    #[pyfunction]
    fn uri_replace(
        ud: PyObjectRef, find: PyObjectRef, put: PyObjectRef, words: PyDictRef, d: PyObjectRef,
        tarball: OptionalArg<PyObjectRef>, vm: &VirtualMachine,
    ) -> PyResult<Option<String>> {
        let store = unwrap(&d, vm)?;
        let words = mapping(&words, vm)?;
        let find = optional_text(&find, vm)?.unwrap_or_default();
        let put = optional_text(&put, vm)?.unwrap_or_default();
        let tarball = tarball.into_option().map(|t| optional_text(&t, vm)).transpose()?.flatten();
        with(&ud, vm, |u| mirror::replace(u, &find, &put, &words, &cx(store), tarball.as_deref()))
    }
    #[pyfunction]
    fn build_mirroruris(ud: PyObjectRef, mirrors: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let store = unwrap(&d, vm)?;
        let pairs = convert::pairs(&mirrors, vm)?;
        let found = with(&ud, vm, |u| mirror::candidates(u, &pairs, &cx(store)))?;
        let (mut urls, mut objects) = (Vec::new(), Vec::new());
        for data in &found {
            urls.push(vm.ctx.new_str(&*data.url).into());
            objects.push(convert::object(data, vm)?);
        }
        Ok(vm.ctx.new_tuple(vec![vm.ctx.new_list(urls).into(), vm.ctx.new_list(objects).into()]).into())
    }
    #[pyfunction]
    fn try_mirrors(ud: PyObjectRef, d: PyObjectRef, mirrors: PyObjectRef, check: bool, vm: &VirtualMachine) -> PyResult<bool> {
        let store = unwrap(&d, vm)?;
        let pairs = convert::pairs(&mirrors, vm)?;
        with(&ud, vm, |u| mirror::try_all(u, &cx(store), &pairs, check))
    }

    // -- checksums

    #[pyfunction]
    fn verify_checksum(
        ud: PyObjectRef, d: PyObjectRef, known: PyDictRef, path: PyObjectRef, need_one: bool, vm: &VirtualMachine,
    ) -> PyResult {
        let store = unwrap(&d, vm)?;
        let known = mapping(&known, vm)?.into_iter().collect();
        let path = optional_text(&path, vm)?;
        let sums = with(&ud, vm, |u| checksum::verify(u, &cx(store), &known, path.as_deref(), need_one))?;
        let dict = vm.ctx.new_dict();
        for (k, v) in &sums {
            dict.set_item(&**k, vm.ctx.new_str(&**v).into(), vm)?;
        }
        Ok(dict.into())
    }
    #[pyfunction]
    fn verify_donestamp(ud: PyObjectRef, d: PyObjectRef, origin: OptionalArg<PyObjectRef>, vm: &VirtualMachine) -> PyResult<bool> {
        let store = unwrap(&d, vm)?;
        let origin = match origin.into_option().filter(|o| !vm.is_none(o)) {
            Some(o) => Some(convert::read(&o, vm)?),
            None => None,
        };
        with(&ud, vm, |u| checksum::verify_donestamp(u, &cx(store), origin.as_ref()))
    }
    #[pyfunction]
    fn update_stamp(ud: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        with(&ud, vm, |u| checksum::update_donestamp(u, &cx(store)))
    }
    #[pyfunction]
    fn rename_bad_checksum(ud: PyObjectRef, suffix: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = DataStore::new(hz_python::shared());
        let suffix = optional_text(&suffix, vm)?;
        with(&ud, vm, |u| {
            checksum::rename_bad(u, &cx(&store), suffix.as_deref());
            Ok(())
        })
    }

    // -- what parsing asks

    #[pyfunction]
    fn get_checksum_file_list(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        ok(vm, localfile::checksum_file_list(&cx(unwrap(&d, vm)?)))
    }
    #[pyfunction]
    fn localfile_searchpaths(path: PyStrRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let paths = ok(vm, localfile::search_paths(&text(&path), &cx(unwrap(&d, vm)?)))?;
        Ok(vm.ctx.new_list(paths.iter().map(|p| vm.ctx.new_str(&**p).into()).collect()).into())
    }
    #[pyfunction]
    fn get_file_checksums(list: PyStrRef, pn: PyObjectRef, skip: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let store = DataStore::new(hz_python::shared());
        let pn = optional_text(&pn, vm)?.unwrap_or_else(|| "None".into());
        // A text works as a collection of its words, as `in` does on one.
        let skip = match optional_text(&skip, vm) {
            Ok(Some(words)) => words.split_whitespace().map(str::to_owned).collect(),
            Ok(None) => Vec::new(),
            Err(_) => strings(&skip, vm)?,
        };
        let sums = ok(vm, localfile::file_checksums(&text(&list), &pn, &skip, &cx(&store)))?;
        Ok(vm.ctx.new_list(sums.iter().map(|(a, b)| convert::pair(a, b, vm)).collect()).into())
    }
    #[pyfunction]
    fn get_hashvalue(d: PyObjectRef, form: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        ok(vm, srcrev::hash_value(&cx(unwrap(&d, vm)?), &text(&form)))
    }
    #[pyfunction]
    fn get_pkgv_string(d: PyObjectRef, form: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        ok(vm, srcrev::pkgv_string(&cx(unwrap(&d, vm)?), &text(&form)))
    }
    #[pyfunction]
    fn get_srcrev(d: PyObjectRef, form: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        ok(vm, srcrev::srcrev(&cx(unwrap(&d, vm)?), &text(&form)))
    }
    #[pyfunction]
    fn get_autorev(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        ok(vm, srcrev::autorev(&cx(unwrap(&d, vm)?))).map(str::to_owned)
    }
    #[pyfunction]
    fn mark_recipe_nocache(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        ok(vm, srcrev::mark_nocache(&cx(unwrap(&d, vm)?)))
    }

    // -- commands and the network

    #[pyfunction]
    fn get_fetcher_environment(d: PyObjectRef, names: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let names = strings(&names, vm)?;
        let dict = vm.ctx.new_dict();
        for (name, value) in ok(vm, command::environment(&cx(unwrap(&d, vm)?), &names))? {
            dict.set_item(&*name, vm.ctx.new_str(value).into(), vm)?;
        }
        Ok(dict.into())
    }
    #[pyfunction]
    fn runfetchcmd(
        cmd: PyStrRef, d: PyObjectRef, names: PyObjectRef, cleanup: PyObjectRef, log: PyObjectRef, workdir: PyObjectRef,
        vm: &VirtualMachine,
    ) -> PyResult<String> {
        let store = unwrap(&d, vm)?;
        let names = strings(&names, vm)?;
        let cleanup = if vm.is_none(&cleanup) { Vec::new() } else { strings(&cleanup, vm)? };
        let workdir = optional_text(&workdir, vm)?;
        let mut failed = None;
        let mut write = |text: &str| {
            if failed.is_none() {
                let wrote = vm.call_method(&log, "write", (text.to_owned(),)).and_then(|_| vm.call_method(&log, "flush", ()));
                failed = wrote.err();
            }
        };
        let run = Run {
            workdir: workdir.as_deref(),
            cleanup: &cleanup,
            log: if vm.is_none(&log) { None } else { Some(&mut write) },
        };
        let result = command::run_exporting(&cx(store), &text(&cmd), run, &names);
        if let Some(e) = failed {
            return Err(e);
        }
        result.map_err(|e| error(vm, e))
    }
    #[pyfunction]
    fn check_network_access(d: PyObjectRef, info: PyStrRef, url: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        ok(vm, command::check_network_access(&cx(unwrap(&d, vm)?), &text(&info), &text(&url)))
    }
    #[pyfunction]
    fn trusted_network(d: PyObjectRef, url: PyStrRef, vm: &VirtualMachine) -> PyResult<bool> {
        ok(vm, command::trusted_network(&cx(unwrap(&d, vm)?), &text(&url)))
    }
    #[pyfunction]
    fn run_wget(ud: PyObjectRef, d: PyObjectRef, cmd: PyStrRef, workdir: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = unwrap(&d, vm)?;
        let workdir = optional_text(&workdir, vm)?;
        with(&ud, vm, |u| crate::methods::run_wget(u, &cx(store), &text(&cmd), workdir.as_deref()))
    }
    #[pyfunction]
    fn git_repository(ud: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        with(&ud, vm, |u| Ok(crate::methods::git_repository(u)))
    }

    // -- caches

    #[pyfunction]
    fn cache_open(dir: PyObjectRef, server: bool, policy: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        let dir = optional_text(&dir, vm)?;
        ok(vm, cache::open(dir.as_deref(), server, &text(&policy)))
    }
    #[pyfunction]
    fn cache_save(vm: &VirtualMachine) -> PyResult<()> {
        ok(vm, cache::save_extras())
    }
    #[pyfunction]
    fn cache_merge(vm: &VirtualMachine) -> PyResult<()> {
        ok(vm, cache::merge())
    }
    #[pyfunction]
    fn revisions_changed() -> bool {
        cache::revisions_changed()
    }
    #[pyfunction]
    fn revisions(vm: &VirtualMachine) -> PyResult {
        let dict = vm.ctx.new_dict();
        for (k, v) in cache::revisions() {
            dict.set_item(&*k, vm.ctx.new_str(v).into(), vm)?;
        }
        Ok(dict.into())
    }
    #[pyfunction]
    fn get_rev(key: PyStrRef) -> Option<String> {
        cache::revision(&text(&key))
    }
    #[pyfunction]
    fn set_rev(key: PyStrRef, revision: PyStrRef) {
        cache::set_revision(&text(&key), &text(&revision));
    }
    #[pyfunction]
    fn file_md5(path: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        let path = text(&path);
        cache::file_md5(&path).map_err(|e| error(vm, FetchError::io(&e, path)))
    }

    /// A number that is the same for the same store only.
    #[pyfunction]
    fn store_id(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<usize> {
        Ok(unwrap(&d, vm)?.id())
    }
    #[pyfunction]
    fn original_environment(d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        use crate::Host;
        match PythonHost.original_environment(unwrap(&d, vm)?) {
            Some(store) => wrap(&store, vm),
            None => Ok(vm.ctx.none()),
        }
    }

}
