//! `_hz_utils`: the native half of `bb.utils` (and of `bb.xattr`).

use rustpython_vm::{AsObject, VirtualMachine};
use rustpython_vm::builtins::{PyBaseExceptionRef, PyModuleDef};
use rustpython_vm::convert::ToPyObject;
use std::io;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &rustpython_vm::Context) -> &'static PyModuleDef {
    _hz_utils::module_def(ctx)
}

/// `OSError(errno, text, filename)`, so that the right subclass comes out.
fn os_error(error: io::Error, filename: impl ToPyObject, vm: &VirtualMachine) -> PyBaseExceptionRef {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let text = nix::errno::Errno::from_raw(errno).desc();
    let made = vm.ctx.exceptions.os_error.as_object().call((errno, strerror(errno, text), filename.to_pyobject(vm)), vm);
    match made.and_then(|object| object.try_into_value(vm)) {
        Ok(exception) | Err(exception) => exception,
    }
}

/// The C library's text for an error number.
fn strerror(errno: i32, fallback: &str) -> String {
    let mut buffer = [0 as libc::c_char; 256];
    // SAFETY: the buffer is ours and its length is given; the call terminates what it writes.
    unsafe {
        if libc::strerror_r(errno, buffer.as_mut_ptr(), buffer.len()) != 0 {
            return fallback.to_owned();
        }
        std::ffi::CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}

#[rustpython_vm::pymodule]
mod _hz_utils {
    use super::os_error;
    use crate::utils::{self, files, githead, hashes, system};
    use rustpython_vm::builtins::{PyInt, PyStr, PyStrRef, PyTupleRef};
    use rustpython_vm::function::{ArgBytesLike, OptionalArg};
    use rustpython_vm::ospath::OsPath;
    use rustpython_vm::{
        AsObject, FromArgs, PyObjectRef, PyResult, TryFromObject, VirtualMachine,
    };
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// The value of a variable as text, None if it has none or is empty.
    fn variable(d: &PyObjectRef, name: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Option<PyStrRef>> {
        let value = vm.call_method(d, "getVar", (name.clone(),))?;
        if !value.clone().try_to_bool(vm)? {
            return Ok(None);
        }
        text(value, vm).map(Some)
    }

    /// A text, or what Python says of a value that has no `split`.
    fn text(value: PyObjectRef, vm: &VirtualMachine) -> PyResult<PyStrRef> {
        value.downcast::<PyStr>().map_err(|value| {
            vm.new_attribute_error(format!("'{}' object has no attribute 'split'", value.class().name()))
        })
    }

    /// `checkvalues`: the words of a text, or the texts of any iterable taken whole.
    fn check_values(values: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<String>> {
        if let Some(text) = values.downcast_ref::<PyStr>() {
            return Ok(hz_versions::words(&text.to_string_lossy()).map(str::to_owned).collect());
        }
        let items: Vec<PyObjectRef> = values.try_to_value(vm)?;
        // Only texts can be equal to a word of the variable; what else is in there never matches.
        Ok(items
            .iter()
            .map(|item| match item.downcast_ref::<PyStr>() {
                Some(text) => text.to_string_lossy().into_owned(),
                None => "\0not a word".to_owned(),
            })
            .collect())
    }

    #[derive(FromArgs)]
    struct ContainsArgs {
        #[pyarg(any)]
        variable: PyObjectRef,
        #[pyarg(any)]
        checkvalues: PyObjectRef,
        #[pyarg(any)]
        truevalue: PyObjectRef,
        #[pyarg(any)]
        falsevalue: PyObjectRef,
        #[pyarg(any)]
        d: PyObjectRef,
    }

    /// truevalue if every word of checkvalues is among the words of the variable, else falsevalue.
    #[pyfunction]
    fn contains(args: ContainsArgs, vm: &VirtualMachine) -> PyResult {
        let Some(value) = variable(&args.d, &args.variable, vm)? else { return Ok(args.falsevalue) };
        let wanted = check_values(&args.checkvalues, vm)?;
        let hit = utils::contains_all(&value.to_string_lossy(), wanted.iter().map(String::as_str));
        Ok(if hit { args.truevalue } else { args.falsevalue })
    }

    /// truevalue if any word of checkvalues is among the words of the variable, else falsevalue.
    #[pyfunction]
    fn contains_any(args: ContainsArgs, vm: &VirtualMachine) -> PyResult {
        let Some(value) = variable(&args.d, &args.variable, vm)? else { return Ok(args.falsevalue) };
        let wanted = check_values(&args.checkvalues, vm)?;
        let hit = utils::contains_any(&value.to_string_lossy(), wanted.iter().map(String::as_str));
        Ok(if hit { args.truevalue } else { args.falsevalue })
    }

    /// `os.path.realpath` of a text; None where Python has to find out itself.
    #[pyfunction]
    fn realpath(path: PyStrRef) -> Option<String> {
        system::realpath(Path::new(path.to_str()?))?.into_os_string().into_string().ok()
    }

    /// Exit code, output and error output of a git command that runs in `dir`, where they are known without
    /// running it.
    #[pyfunction]
    fn git_answer(command: PyStrRef, dir: PyStrRef, vm: &VirtualMachine) -> Option<PyTupleRef> {
        let question = githead::Question::of(command.to_str()?)?;
        let (code, out, err) = match githead::answer(question, Path::new(dir.to_str()?))? {
            githead::Answer::Line(line) => (0, line + "\n", String::new()),
            githead::Answer::NoRepository(message) => (128, String::new(), message),
        };
        Some(vm.ctx.new_tuple(vec![vm.ctx.new_int(code).into(), vm.ctx.new_str(out).into(), vm.ctx.new_str(err).into()]))
    }

    #[derive(FromArgs)]
    struct FilterArgs {
        #[pyarg(any)]
        variable: PyObjectRef,
        #[pyarg(any)]
        checkvalues: PyObjectRef,
        #[pyarg(any)]
        d: PyObjectRef,
    }

    /// The words of checkvalues that the variable holds, sorted.
    #[pyfunction]
    fn filter(args: FilterArgs, vm: &VirtualMachine) -> PyResult<String> {
        let Some(value) = variable(&args.d, &args.variable, vm)? else { return Ok(String::new()) };
        let wanted = check_values(&args.checkvalues, vm)?;
        Ok(utils::filter_words(&value.to_string_lossy(), wanted.iter().map(String::as_str)))
    }

    #[derive(FromArgs)]
    struct FilterStringArgs {
        #[pyarg(any)]
        val: PyObjectRef,
        #[pyarg(any)]
        checkvalues: PyObjectRef,
    }

    /// The words of checkvalues that the text holds, sorted.
    #[pyfunction]
    fn filter_string(args: FilterStringArgs, vm: &VirtualMachine) -> PyResult<String> {
        if !args.val.clone().try_to_bool(vm)? {
            return Ok(String::new());
        }
        let value = text(args.val, vm)?;
        let wanted = check_values(&args.checkvalues, vm)?;
        Ok(utils::filter_words(&value.to_string_lossy(), wanted.iter().map(String::as_str)))
    }

    #[derive(FromArgs)]
    struct BooleanArgs {
        #[pyarg(any)]
        string: PyObjectRef,
        #[pyarg(any, optional)]
        default: OptionalArg<PyObjectRef>,
    }

    /// True, False, or the default for an empty value; ValueError for any other text.
    #[pyfunction]
    fn to_boolean(args: BooleanArgs, vm: &VirtualMachine) -> PyResult {
        if !args.string.clone().try_to_bool(vm)? {
            return Ok(args.default.unwrap_or_else(|| vm.ctx.none()));
        }
        if args.string.downcast_ref::<PyInt>().is_some() {
            return Ok(vm.ctx.new_bool(true).into());
        }
        let text = args.string.downcast::<PyStr>().map_err(|value| {
            vm.new_attribute_error(format!("'{}' object has no attribute 'lower'", value.class().name()))
        })?;
        match utils::to_boolean(&text.to_string_lossy()) {
            Some(truth) => Ok(vm.ctx.new_bool(truth).into()),
            None => Err(vm.new_value_error(format!("Invalid value for to_boolean: {}", text.to_string_lossy()))),
        }
    }

    /// Names of a dependency list.
    #[pyfunction]
    fn explode_deps(s: PyStrRef, vm: &VirtualMachine) -> PyObjectRef {
        let text = s.to_string_lossy();
        let names = hz_versions::explode_deps(&text).into_iter().map(|name| vm.ctx.new_str(name).into());
        vm.ctx.new_list(names.collect()).into()
    }

    /// `[(name, [version demand, …]), …]`; ValueError with the text of VersionStringException.
    #[pyfunction]
    fn explode_dep_versions2(s: PyStrRef, sort: bool, vm: &VirtualMachine) -> PyResult {
        let found = hz_versions::explode_dep_versions2(&s.to_string_lossy(), sort)
            .map_err(|error| vm.new_value_error(error.to_string()))?;
        let pairs = found.into_iter().map(|(name, demands)| {
            let demands = demands.into_iter().map(|demand| vm.ctx.new_str(demand).into()).collect();
            vm.ctx.new_tuple(vec![vm.ctx.new_str(name).into(), vm.ctx.new_list(demands).into()]).into()
        });
        Ok(vm.ctx.new_list(pairs.collect()).into())
    }

    /// `(epoch, version, revision)`.
    #[pyfunction]
    fn split_version(s: PyStrRef, vm: &VirtualMachine) -> PyResult<(i64, String, String)> {
        let parts = hz_versions::split_version(&s.to_string_lossy());
        let parts = parts.map_err(|error| vm.new_value_error(error.to_string()))?;
        Ok((parts.epoch, parts.version, parts.revision))
    }

    /// -1, 0 or 1.
    #[pyfunction]
    fn vercmp_part(a: PyStrRef, b: PyStrRef) -> i32 {
        hz_versions::vercmp_part(&a.to_string_lossy(), &b.to_string_lossy()) as i32
    }

    #[derive(FromArgs)]
    struct WhichArgs {
        #[pyarg(any)]
        path: PyObjectRef,
        #[pyarg(any)]
        item: PyStrRef,
        #[pyarg(any, optional)]
        direction: OptionalArg<PyObjectRef>,
        #[pyarg(any, optional)]
        history: OptionalArg<PyObjectRef>,
        #[pyarg(any, optional)]
        executable: OptionalArg<PyObjectRef>,
    }

    /// The first existing directory/item of a path list, or "".
    #[pyfunction]
    fn which(args: WhichArgs, vm: &VirtualMachine) -> PyResult {
        let truth = |argument: OptionalArg<PyObjectRef>| match argument {
            OptionalArg::Present(value) => value.try_to_bool(vm),
            OptionalArg::Missing => Ok(false),
        };
        let path = match args.path.downcast::<PyStr>() {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(other) if !other.clone().try_to_bool(vm)? => String::new(),
            Err(other) => {
                text(other, vm)?;
                String::new()
            }
        };
        let (reverse, history, executable) = (truth(args.direction)?, truth(args.history)?, truth(args.executable)?);
        let (hit, tried) = hz_versions::which(&path, &args.item.to_string_lossy(), reverse, executable);
        let hit: PyObjectRef = vm.ctx.new_str(hit.unwrap_or_default()).into();
        if !history {
            return Ok(hit);
        }
        let tried = tried.into_iter().map(|candidate| vm.ctx.new_str(candidate).into()).collect();
        Ok(vm.ctx.new_tuple(vec![hit, vm.ctx.new_list(tried).into()]).into())
    }

    fn hash(kind: hashes::Kind, filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        let path = OsPath::try_from_object(vm, filename.clone())?;
        vm.allow_threads(|| hashes::hash_file(kind, path.as_ref())).map_err(|error| os_error(error, filename, vm))
    }

    #[pyfunction]
    fn md5_file(filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        hash(hashes::Kind::Md5, filename, vm)
    }

    #[pyfunction]
    fn sha1_file(filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        hash(hashes::Kind::Sha1, filename, vm)
    }

    #[pyfunction]
    fn sha256_file(filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        hash(hashes::Kind::Sha256, filename, vm)
    }

    #[pyfunction]
    fn sha384_file(filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        hash(hashes::Kind::Sha384, filename, vm)
    }

    #[pyfunction]
    fn sha512_file(filename: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        hash(hashes::Kind::Sha512, filename, vm)
    }

    /// `mkdir -p`.
    #[pyfunction]
    fn mkdirhier(directory: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let path = OsPath::try_from_object(vm, directory.clone())?;
        files::mkdirhier(path.as_ref()).map_err(|error| os_error(error, directory, vm))
    }

    #[pyfunction]
    fn is_on_nfs(path: PyObjectRef, vm: &VirtualMachine) -> PyResult<bool> {
        let place = OsPath::try_from_object(vm, path.clone())?;
        files::is_on_nfs(place.as_ref()).map_err(|error| os_error(error, path, vm))
    }

    #[pyfunction]
    fn cpu_count() -> usize {
        system::cpu_count()
    }

    /// 0, or the error number.
    #[pyfunction]
    fn signal_on_parent_exit(signal: i32) -> i32 {
        code(system::signal_on_parent_exit(signal))
    }

    /// 0, or the error number.
    #[pyfunction]
    fn ioprio_set(who: i32, class: i32, value: i32) -> i32 {
        code(system::ioprio_set(who, class, value))
    }

    fn code(result: std::io::Result<()>) -> i32 {
        result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
    }

    /// Address of a signal's handler: 0 the default, 1 ignored.
    #[pyfunction]
    fn signal_handler(signal: i32, vm: &VirtualMachine) -> PyResult<usize> {
        system::signal_handler(signal).map_err(|error| os_error(error, vm.ctx.none(), vm))
    }

    /// Puts the handler of native code back that `signal_handler` told.
    #[pyfunction]
    fn set_signal_handler(signal: i32, handler: usize, vm: &VirtualMachine) -> PyResult<()> {
        system::set_signal_handler(signal, handler).map_err(|error| os_error(error, vm.ctx.none(), vm))
    }

    #[pyfunction]
    fn set_process_name(name: PyStrRef) {
        system::set_process_name(&name.to_string_lossy());
    }

    /// False if the system does not permit it.
    #[pyfunction]
    fn disable_network(uid: u32, gid: u32, vm: &VirtualMachine) -> PyResult<bool> {
        system::disable_network(uid, gid).map_err(|error| os_error(error, vm.ctx.none(), vm))
    }

    #[pyfunction]
    fn enable_loopback(vm: &VirtualMachine) -> PyResult<()> {
        system::enable_loopback().map_err(|error| os_error(error, vm.ctx.none(), vm))
    }

    /// Attribute names, as bytes.
    #[pyfunction]
    fn listxattr(path: PyObjectRef, follow: bool, vm: &VirtualMachine) -> PyResult {
        let place = OsPath::try_from_object(vm, path.clone())?;
        let names = system::listxattr(place.as_ref(), follow).map_err(|error| os_error(error, path, vm))?;
        let names = names.into_iter().map(|name| vm.ctx.new_bytes(name.as_bytes().to_vec()).into());
        Ok(vm.ctx.new_list(names.collect()).into())
    }

    /// Value of an attribute as bytes, or None.
    #[pyfunction]
    fn getxattr(path: PyObjectRef, name: PyObjectRef, follow: bool, vm: &VirtualMachine) -> PyResult {
        let place = OsPath::try_from_object(vm, path.clone())?;
        let name = OsPath::try_from_object(vm, name.clone())?;
        let name: &OsStr = AsRef::<Path>::as_ref(&name).as_os_str();
        match system::getxattr(place.as_ref(), name, follow) {
            Ok(Some(value)) => Ok(vm.ctx.new_bytes(value).into()),
            Ok(None) => Ok(vm.ctx.none()),
            Err(error) => Err(os_error(error, path, vm)),
        }
    }

    #[pyfunction]
    fn setxattr(
        path: PyObjectRef, name: PyObjectRef, value: ArgBytesLike, flags: i32, follow: bool, vm: &VirtualMachine,
    ) -> PyResult<()> {
        let place = OsPath::try_from_object(vm, path.clone())?;
        let name = OsPath::try_from_object(vm, name.clone())?;
        let name: &OsStr = AsRef::<Path>::as_ref(&name).as_os_str();
        let done = system::setxattr(place.as_ref(), name, &value.borrow_buf(), flags, follow);
        done.map_err(|error| os_error(error, path, vm))
    }

    #[pyfunction]
    fn removexattr(path: PyObjectRef, name: PyObjectRef, follow: bool, vm: &VirtualMachine) -> PyResult<()> {
        let place = OsPath::try_from_object(vm, path.clone())?;
        let name = OsPath::try_from_object(vm, name.clone())?;
        let name: &OsStr = AsRef::<Path>::as_ref(&name).as_os_str();
        system::removexattr(place.as_ref(), name, follow).map_err(|error| os_error(error, path, vm))
    }

    #[pyfunction]
    fn mkfifo(path: PyObjectRef, mode: u32, vm: &VirtualMachine) -> PyResult<()> {
        let place = OsPath::try_from_object(vm, path.clone())?;
        system::mkfifo(place.as_ref(), mode).map_err(|error| os_error(error, path, vm))
    }

    #[pyfunction]
    fn device_number(path: PyObjectRef, follow: bool, vm: &VirtualMachine) -> PyResult<u64> {
        let place = OsPath::try_from_object(vm, path.clone())?;
        system::device_number(place.as_ref(), follow).map_err(|error| os_error(error, path, vm))
    }

    #[pyfunction]
    fn sched_getaffinity(pid: i32, vm: &VirtualMachine) -> PyResult {
        let cpus = system::sched_getaffinity_of(pid).map_err(|error| os_error(error, vm.ctx.none(), vm))?;
        Ok(vm.ctx.new_list(cpus.into_iter().map(|cpu| vm.ctx.new_int(cpu).into()).collect()).into())
    }

    #[pyfunction]
    fn sched_setaffinity(pid: i32, mask: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        let cpus: Vec<usize> = mask.try_to_value(vm)?;
        system::sched_setaffinity_of(pid, &cpus).map_err(|error| os_error(error, vm.ctx.none(), vm))
    }
}
