//! Evaluation. What both operands' kinds allow is done here; anything else is asked of the VM, with the same
//! result and the same errors, so that nothing has to be undone.

mod calls;
mod expressions;
mod items;
mod methods;
mod place;
mod statements;

pub use place::caller;

use place::Place;
use statements::Flow;
use crate::native::compile::{Body, Call, Comprehension, Kind, MethodCall, Name, Node, Piece, SpreadCall, Statement, Target, Try};
use crate::native::function::{self, Func, Native};
use crate::native::known;
use crate::native::text::{self, Method};
use crate::native::value::{Shared, Val};
use crate::errors::from_data;
use crate::vm::waiting;
use hz_data::{DataStore, Depends, Read, SetInfo};
use hz_diagnostics::Str;
use indexmap::{IndexMap, IndexSet};
use ruff_python_ast::{CmpOp, Operator};
use rustpython_vm::builtins::{PyBaseExceptionRef, PyFunction, PyList, PyModule, PySet, PyStr};
use rustpython_vm::function::{FuncArgs, KwArgs};
use rustpython_vm::protocol::{PyIter, PyIterReturn};
use rustpython_vm::types::PyComparisonOp;
use rustpython_vm::{AsObject, PyObjectRef, PyPayload, PyResult, VirtualMachine};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Calls within calls that are run here; deeper ones are the VM's, which knows where to stop.
const DEEPEST: u32 = 60;

/// Stands for the line of an error that knows this frame already.
const TRACED: u32 = u32::MAX;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

struct Frame<'a> {
    values: RefCell<Vec<Val>>,
    /// The frame of the function around.
    outer: Option<&'a Frame<'a>>,
    func: &'a Func,
    /// Where an error came up, once one did.
    line: Cell<u32>,
}

pub struct Run<'v> {
    vm: &'v VirtualMachine,
    /// The store of an expression, reads of which are seen by who evaluates it.
    store: Option<usize>,
    /// What was asked so far, besides that store.
    depends: Cell<Depends>,
}

impl<'a> Frame<'a> {
    fn up(&self, levels: usize) -> Option<&Frame<'a>> {
        let mut frame = self;
        for _ in 0..levels {
            frame = frame.outer?;
        }
        Some(frame)
    }
    fn set(&self, place: usize, value: Val) {
        // What was there may be an object whose end runs Python.
        let old = std::mem::replace(&mut self.values.borrow_mut()[place], value);
        drop(old);
    }
    /// The error came up at this line, unless it is known better.
    fn at(&self, line: u32) {
        if self.line.get() == 0 {
            self.line.set(line);
        }
    }
}

/// Calls a native function.
pub fn call(vm: &VirtualMachine, native: &Native, args: Vec<Val>) -> PyResult<Val> {
    let run = Run { vm, store: None, depends: Cell::new(Depends::Anything) };
    let args = run.bound(&native.func, &native.defaults, &native.named, args, Vec::new())?;
    run.run(&native.func, args, None)
}

/// Evaluates with the value of the one parameter. And what the result depends on; the store is the one that parameter is.
pub fn evaluate(vm: &VirtualMachine, func: &Func, value: Val) -> PyResult<(Val, Depends)> {
    let store = if let Val::Store(store) = &value { Some(store.id()) } else { None };
    let run = Run { vm, store, depends: Cell::new(Depends::Store) };
    let found = run.run(func, vec![value], None)?;
    Ok((found, run.depends.get()))
}

impl<'v> Run<'v> {
    /// The VM is asked for something that may depend on anything, or change it.
    fn asked(&self) {
        self.depends.set(Depends::Anything);
    }

    /// A function of the metadata is called.
    fn called(&self) {
        self.depends.set(self.depends.get().max(Depends::Definitions));
    }

    fn run(&self, func: &Func, mut args: Vec<Val>, outer: Option<&Frame<'_>>) -> PyResult<Val> {
        args.resize(func.names.len(), Val::Unset);
        let frame = Frame { values: RefCell::new(args), outer, func, line: Cell::new(0) };
        match self.block(&func.body, &frame) {
            Ok(Flow::Return(value)) => Ok(value),
            Ok(_) => Ok(Val::None),
            Err(error) => Err(self.traced(error, frame.line.get(), &frame)),
        }
    }

    /// The error with an entry for this frame, in which it came up at that line.
    fn traced(&self, error: PyBaseExceptionRef, line: u32, frame: &Frame<'_>) -> PyBaseExceptionRef {
        let line = match line {
            TRACED => return error,
            0 => frame.func.line,
            line => line,
        };
        crate::native::traced(self.vm, error, &frame.func.file, &frame.func.name, line)
    }

    fn test(&self, node: &Node, frame: &Frame<'_>) -> PyResult<bool> {
        let value = self.eval(node, frame)?;
        if matches!(value, Val::Object(_)) {
            self.asked();
        }
        value.is_true(self.vm)
    }
}
