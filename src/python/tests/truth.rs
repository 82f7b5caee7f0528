//! The truth of what a function gives.

use hz_data::DataStore;

/// Natively or in the VM, by the function.
#[test]
fn truth_of_what_functions_give() {
    let runtime = hz_python::shared();
    let store = DataStore::new(runtime.clone());
    runtime.define("same", "def same(a, b='x'):\n    return a == b\n", "/layer/same.bbclass", 1).unwrap();
    runtime.define("some", "def some(a):\n    return [x for x in a if x != 'x']\n", "/layer/same.bbclass", 5).unwrap();
    for name in ["same", "some", "len"] {
        runtime.eval_inline(&store, &format!("setattr(bb.utils, 'truth_of_{name}', {name})"), None).unwrap();
    }
    hz_python::enter(|vm| {
        let utils = vm.sys_module.get_attr("modules", vm).unwrap().get_item("bb.utils", vm).unwrap();
        let is_true = |name: &str, args: &[&str]| {
            let function = utils.get_attr(&vm.ctx.new_str(format!("truth_of_{name}")), vm).unwrap();
            hz_python::is_true(vm, &function, args.iter().map(|arg| hz_python::Val::Str((*arg).into())).collect()).map_err(|_| ())
        };
        assert_eq!(is_true("same", &["x"]), Ok(true));
        assert_eq!(is_true("same", &["x", "y"]), Ok(false));
        assert_eq!(is_true("same", &[]), Err(()));
        assert_eq!((is_true("some", &["xx"]), is_true("some", &["xy"])), (Ok(false), Ok(true)));
        assert_eq!((is_true("len", &[""]), is_true("len", &["x"])), (Ok(false), Ok(true)));
    });
}
