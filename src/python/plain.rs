//! The native evaluator of plain inline expressions.
//!
//! It knows a part of Python exactly (text, whole numbers, truth values, lists and tuples, reads of
//! the store, a few pure functions of `bb.utils`) and nothing of the rest: whatever it does not
//! know, and whatever fails, is left to the VM, which gives the answer or the error. The tests hold
//! it against the VM.

use hz_data::{DataError, DataStore, Read, Value, python_repr};
use hz_diagnostics::Str;
use ruff_python_ast::{self as ast, BoolOp, CmpOp, Expr, Number, Operator, UnaryOp};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A Python value the evaluator knows.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    None,
    Bool(bool),
    Int(i64),
    Str(Str),
    List(Vec<Plain>),
    Tuple(Vec<Plain>),
}

/// An expression made ready to be evaluated.
#[derive(Debug)]
pub struct Plan(Node);

#[derive(Debug)]
enum Node {
    Const(Plain),
    GetVar(Box<Node>, bool),
    GetFlag(Box<Node>, Box<Node>, bool),
    /// Function of `bb.utils`, of the store's `d` as last argument.
    Contains { any: bool, args: Box<[Node; 4]> },
    Filter(Box<[Node; 2]>),
    ToBoolean(Box<Node>, Option<Box<Node>>),
    VarsFromFile(Box<Node>),
    Path(PathPart, Box<Node>),
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    If(Box<[Node; 3]>),
    Compare(Box<Node>, Vec<(CmpOp, Node)>),
    Index(Box<Node>, Box<Node>),
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    Method(Box<Node>, Method, Vec<Node>),
    Add(Box<Node>, Box<Node>),
    Sub(Box<Node>, Box<Node>),
    Format(Box<Node>, Box<Node>),
    Concat(Vec<Node>),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Int(Box<Node>),
    Text(Box<Node>),
    Len(Box<Node>),
    Bool(Box<Node>),
}

#[derive(Clone, Copy, Debug)]
enum PathPart {
    Base,
    Dir,
    /// All of it, normalized.
    Normal,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Split,
    RSplit,
    Replace,
    Strip,
    LStrip,
    RStrip,
    StartsWith,
    EndsWith,
    Lower,
    Upper,
    Join,
    Find,
}

/// The plan of an expression, if all of it is known.
pub fn plan(expr: &Expr) -> Option<Plan> {
    node(expr).map(Plan)
}

fn boxed(expr: &Expr) -> Option<Box<Node>> {
    node(expr).map(Box::new)
}
fn nodes(exprs: &[Expr]) -> Option<Vec<Node>> {
    exprs.iter().map(node).collect()
}

fn node(expr: &Expr) -> Option<Node> {
    Some(match expr {
        Expr::StringLiteral(text) => Node::Const(Plain::Str(text.value.to_str().into())),
        Expr::NumberLiteral(number) => match &number.value {
            Number::Int(number) => Node::Const(Plain::Int(number.as_i64()?)),
            _ => return None,
        },
        Expr::BooleanLiteral(truth) => Node::Const(Plain::Bool(truth.value)),
        Expr::NoneLiteral(_) => Node::Const(Plain::None),
        Expr::List(list) => Node::List(nodes(&list.elts)?),
        Expr::Tuple(list) => Node::Tuple(nodes(&list.elts)?),
        Expr::BoolOp(op) => match op.op {
            BoolOp::Or => Node::Or(nodes(&op.values)?),
            BoolOp::And => Node::And(nodes(&op.values)?),
        },
        Expr::UnaryOp(op) => match op.op {
            UnaryOp::Not => Node::Not(boxed(&op.operand)?),
            UnaryOp::USub => Node::Negative(boxed(&op.operand)?),
            _ => return None,
        },
        Expr::If(choice) => Node::If(Box::new([node(&choice.test)?, node(&choice.body)?, node(&choice.orelse)?])),
        Expr::Compare(compare) => {
            let rest: Option<Vec<_>> =
                compare.ops.iter().zip(compare.comparators.iter()).map(|(op, right)| Some((*op, node(right)?))).collect();
            Node::Compare(boxed(&compare.left)?, rest?)
        }
        Expr::Subscript(part) => match &*part.slice {
            Expr::Slice(slice) => {
                if slice.step.is_some() {
                    return None;
                }
                let end = |end: &Option<Box<Expr>>| match end {
                    Some(end) => boxed(end).map(Some),
                    None => Some(None),
                };
                Node::Slice(boxed(&part.value)?, end(&slice.lower)?, end(&slice.upper)?)
            }
            index => Node::Index(boxed(&part.value)?, boxed(index)?),
        },
        Expr::BinOp(op) => match op.op {
            Operator::Add => Node::Add(boxed(&op.left)?, boxed(&op.right)?),
            Operator::Sub => Node::Sub(boxed(&op.left)?, boxed(&op.right)?),
            Operator::Mod => Node::Format(boxed(&op.left)?, boxed(&op.right)?),
            _ => return None,
        },
        Expr::FString(text) => {
            let mut parts = Vec::new();
            for part in text.value.iter() {
                match part {
                    ast::FStringPart::Literal(text) => parts.push(Node::Const(Plain::Str((&*text.value).into()))),
                    ast::FStringPart::FString(text) => {
                        for element in text.elements.iter() {
                            parts.push(match element {
                                ast::InterpolatedStringElement::Literal(text) => Node::Const(Plain::Str((&*text.value).into())),
                                ast::InterpolatedStringElement::Interpolation(part) => {
                                    let bare = part.debug_text.is_none()
                                        && part.format_spec.is_none()
                                        && part.conversion == ast::ConversionFlag::None;
                                    if !bare {
                                        return None;
                                    }
                                    Node::Text(boxed(&part.expression)?)
                                }
                            });
                        }
                    }
                }
            }
            Node::Concat(parts)
        }
        Expr::Call(call) => call_node(call)?,
        _ => return None,
    })
}

/// `a.b.c` as text.
fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
        _ => None,
    }
}

fn is_d(expr: &Expr) -> bool {
    matches!(expr, Expr::Name(name) if name.id.as_str() == "d")
}

fn call_node(call: &ast::ExprCall) -> Option<Node> {
    let args = &call.arguments.args;
    if args.iter().any(|arg| arg.is_starred_expr()) {
        return None;
    }
    let keywords = &call.arguments.keywords;
    if let Some(name) = dotted(&call.func) {
        match name.as_str() {
            "d.getVar" => {
                let expand = read_expand(args.get(1), keywords)?;
                if args.len() > 2 {
                    return None;
                }
                return Some(Node::GetVar(boxed(args.first()?)?, expand));
            }
            "d.getVarFlag" => {
                let expand = read_expand(args.get(2), keywords)?;
                if args.len() > 3 {
                    return None;
                }
                return Some(Node::GetFlag(boxed(args.first()?)?, boxed(args.get(1)?)?, expand));
            }
            _ if !keywords.is_empty() => return None,
            "bb.utils.contains" | "bb.utils.contains_any" if args.len() == 5 && is_d(&args[4]) => {
                let args = [node(&args[0])?, node(&args[1])?, node(&args[2])?, node(&args[3])?];
                return Some(Node::Contains { any: name.ends_with("_any"), args: Box::new(args) });
            }
            "bb.utils.filter" if args.len() == 3 && is_d(&args[2]) => {
                return Some(Node::Filter(Box::new([node(&args[0])?, node(&args[1])?])));
            }
            "bb.utils.to_boolean" if args.len() == 1 => return Some(Node::ToBoolean(boxed(&args[0])?, None)),
            "bb.utils.to_boolean" if args.len() == 2 => {
                return Some(Node::ToBoolean(boxed(&args[0])?, Some(boxed(&args[1])?)));
            }
            "bb.parse.vars_from_file" if args.len() == 2 && is_d(&args[1]) => {
                return Some(Node::VarsFromFile(boxed(&args[0])?));
            }
            "os.path.basename" if args.len() == 1 => return Some(Node::Path(PathPart::Base, boxed(&args[0])?)),
            "os.path.dirname" if args.len() == 1 => return Some(Node::Path(PathPart::Dir, boxed(&args[0])?)),
            "os.path.normpath" if args.len() == 1 => return Some(Node::Path(PathPart::Normal, boxed(&args[0])?)),
            "int" if args.len() == 1 => return Some(Node::Int(boxed(&args[0])?)),
            "str" if args.len() == 1 => return Some(Node::Text(boxed(&args[0])?)),
            "len" if args.len() == 1 => return Some(Node::Len(boxed(&args[0])?)),
            "bool" if args.len() == 1 => return Some(Node::Bool(boxed(&args[0])?)),
            _ => {}
        }
    }
    if !keywords.is_empty() {
        return None;
    }
    let Expr::Attribute(attribute) = &*call.func else { return None };
    let (method, most) = match attribute.attr.as_str() {
        "split" => (Method::Split, 2),
        "rsplit" => (Method::RSplit, 2),
        "replace" => (Method::Replace, 2),
        "strip" => (Method::Strip, 1),
        "lstrip" => (Method::LStrip, 1),
        "rstrip" => (Method::RStrip, 1),
        "startswith" => (Method::StartsWith, 1),
        "endswith" => (Method::EndsWith, 1),
        "lower" => (Method::Lower, 0),
        "upper" => (Method::Upper, 0),
        "join" => (Method::Join, 1),
        "find" => (Method::Find, 1),
        _ => return None,
    };
    if args.len() > most {
        return None;
    }
    Some(Node::Method(boxed(&attribute.value)?, method, nodes(args)?))
}

fn read_expand(positional: Option<&Expr>, keywords: &[ast::Keyword]) -> Option<bool> {
    let mut expand = match positional {
        None => true,
        Some(Expr::BooleanLiteral(truth)) => truth.value,
        Some(Expr::NumberLiteral(number)) => matches!(&number.value, Number::Int(number) if number.as_i64() != Some(0)),
        Some(_) => return None,
    };
    for keyword in keywords {
        match (keyword.arg.as_deref(), &keyword.value) {
            (Some("expand"), Expr::BooleanLiteral(truth)) if positional.is_none() => expand = truth.value,
            _ => return None,
        }
    }
    Some(expand)
}

/// What Python's `str.split()` takes for white space.
fn space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(space).filter(|word| !word.is_empty())
}

impl Plain {
    fn text(text: &str) -> Plain {
        Plain::Str(text.into())
    }
    fn truth(&self) -> bool {
        match self {
            Plain::None => false,
            Plain::Bool(truth) => *truth,
            Plain::Int(number) => *number != 0,
            Plain::Str(text) => !text.is_empty(),
            Plain::List(items) | Plain::Tuple(items) => !items.is_empty(),
        }
    }
    fn number(&self) -> Option<i64> {
        match self {
            Plain::Int(number) => Some(*number),
            Plain::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }
    fn as_text(&self) -> Option<&Str> {
        match self {
            Plain::Str(text) => Some(text),
            _ => None,
        }
    }
    fn items(&self) -> Option<&[Plain]> {
        match self {
            Plain::List(items) | Plain::Tuple(items) => Some(items),
            _ => None,
        }
    }
    fn equals(&self, other: &Plain) -> bool {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a == b;
        }
        match (self, other) {
            (Plain::List(a), Plain::List(b)) | (Plain::Tuple(a), Plain::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Plain::Str(a), Plain::Str(b)) => a == b,
            (Plain::None, Plain::None) => true,
            _ => false,
        }
    }
    /// Python's `str()`; None where our `repr` of text might differ.
    fn shown(&self) -> Option<Str> {
        match self {
            Plain::Str(text) => Some(text.clone()),
            other => other.repr().map(Into::into),
        }
    }
    fn repr(&self) -> Option<String> {
        let list = |items: &[Plain]| -> Option<Vec<String>> { items.iter().map(Plain::repr).collect() };
        Some(match self {
            Plain::None => "None".into(),
            Plain::Bool(true) => "True".into(),
            Plain::Bool(false) => "False".into(),
            Plain::Int(number) => number.to_string(),
            Plain::Str(text) if text.is_ascii() => python_repr(text),
            Plain::Str(_) => return None,
            Plain::List(items) => format!("[{}]", list(items)?.join(", ")),
            Plain::Tuple(items) if items.len() == 1 => format!("({},)", items[0].repr()?),
            Plain::Tuple(items) => format!("({})", list(items)?.join(", ")),
        })
    }
}

thread_local! {
    /// Why the last plan gave up, if a read of the store failed.
    static FAILED: RefCell<Option<DataError>> = const { RefCell::new(None) };
}

/// The read's value; an error is kept for [`failure`].
fn told<T>(read: Result<T, DataError>) -> Option<T> {
    read.map_err(|error| FAILED.set(Some(error))).ok()
}

/// The failed read that made the last plan give up, once.
pub fn failure() -> Option<DataError> {
    FAILED.take()
}

impl Plan {
    /// The value, or None if the VM is to say.
    pub fn eval(&self, store: &DataStore) -> Option<Value> {
        Some(match self.0.eval(store)? {
            Plain::Str(text) => Value::Str(text),
            Plain::None => Value::None,
            Plain::Bool(truth) => Value::Bool(truth),
            Plain::Int(number) => Value::Int(number),
            list => Value::Str(list.shown()?),
        })
    }
}

fn read(value: Option<Value>) -> Option<Plain> {
    Some(match value {
        None | Some(Value::None) => Plain::None,
        Some(Value::Str(text)) => Plain::Str(text),
        Some(Value::Int(number)) => Plain::Int(number),
        Some(Value::Bool(truth)) => Plain::Bool(truth),
        Some(_) => return None,
    })
}

/// The words of a text or of a list of texts.
fn word_set(value: &Plain) -> Option<BTreeSet<&str>> {
    match value {
        Plain::Str(text) => Some(words(text).collect()),
        Plain::List(items) | Plain::Tuple(items) => items.iter().map(|item| item.as_text().map(|text| &**text)).collect(),
        _ => None,
    }
}

impl Node {
    fn eval(&self, store: &DataStore) -> Option<Plain> {
        let get_var = |name: &Plain, expand: bool| -> Option<Plain> {
            read(told(store.get_var(name.as_text()?, Read { expand, ..Read::default() }))?)
        };
        Some(match self {
            Node::Const(value) => value.clone(),
            Node::GetVar(name, expand) => get_var(&name.eval(store)?, *expand)?,
            Node::GetFlag(name, flag, expand) => {
                let (name, flag) = (name.eval(store)?, flag.eval(store)?);
                let how = Read { expand: *expand, ..Read::default() };
                read(told(store.get_flag(name.as_text()?, flag.as_text()?, how))?)?
            }
            Node::Contains { any, args } => {
                let [name, check, yes, no] = &**args;
                let (name, check) = (name.eval(store)?, check.eval(store)?);
                let (yes, no) = (yes.eval(store)?, no.eval(store)?);
                let value = get_var(&name, true)?;
                if !value.truth() {
                    return Some(no);
                }
                let have: BTreeSet<&str> = words(value.as_text()?).collect();
                let check = word_set(&check)?;
                let found = if *any { check.iter().any(|word| have.contains(word)) } else { check.is_subset(&have) };
                if found { yes } else { no }
            }
            Node::Filter(args) => {
                let [name, check] = &**args;
                let (name, check) = (name.eval(store)?, check.eval(store)?);
                let value = get_var(&name, true)?;
                if !value.truth() {
                    return Some(Plain::text(""));
                }
                let have: BTreeSet<&str> = words(value.as_text()?).collect();
                let both: Vec<&str> = word_set(&check)?.intersection(&have).copied().collect();
                Plain::Str(both.join(" ").into())
            }
            Node::ToBoolean(value, default) => {
                let value = value.eval(store)?;
                let default = match default {
                    Some(default) => default.eval(store)?,
                    None => Plain::None,
                };
                if !value.truth() {
                    return Some(default);
                }
                if let Some(number) = value.number() {
                    return Some(Plain::Bool(number != 0));
                }
                let text = value.as_text()?;
                match text.to_ascii_lowercase().as_str() {
                    "y" | "yes" | "1" | "true" => Plain::Bool(true),
                    "n" | "no" | "0" | "false" => Plain::Bool(false),
                    _ => return None,
                }
            }
            Node::VarsFromFile(file) => {
                let file = file.eval(store)?;
                let name = match &file {
                    Plain::Str(name) if name.ends_with(".bb") || name.ends_with(".bbappend") => name,
                    Plain::Str(_) | Plain::None => return Some(Plain::Tuple(vec![Plain::None; 3])),
                    _ => return None,
                };
                let base = name.rsplit('/').next()?;
                let dot = base.rfind('.')?;
                // A name that is nothing but its suffix has no suffix.
                let stem = if base[..dot].bytes().all(|byte| byte == b'.') { base } else { &base[..dot] };
                let mut parts: Vec<Plain> = stem.split('_').map(Plain::text).collect();
                if parts.len() > 3 {
                    return None;
                }
                parts.resize(3, Plain::None);
                Plain::List(parts)
            }
            Node::Path(part, path) => {
                let path = path.eval(store)?;
                let path = path.as_text()?;
                let cut = path.rfind('/').map_or(0, |at| at + 1);
                match part {
                    PathPart::Base => Plain::text(&path[cut..]),
                    PathPart::Dir => {
                        let head = &path[..cut];
                        let bare = head.trim_end_matches('/');
                        Plain::text(if bare.is_empty() { head } else { bare })
                    }
                    PathPart::Normal => Plain::Str(normal_path(path).into()),
                }
            }
            Node::Or(parts) => {
                let mut value = Plain::None;
                for part in parts {
                    value = part.eval(store)?;
                    if value.truth() {
                        break;
                    }
                }
                value
            }
            Node::And(parts) => {
                let mut value = Plain::None;
                for part in parts {
                    value = part.eval(store)?;
                    if !value.truth() {
                        break;
                    }
                }
                value
            }
            Node::Not(value) => Plain::Bool(!value.eval(store)?.truth()),
            Node::Negative(value) => Plain::Int(value.eval(store)?.number()?.checked_neg()?),
            Node::If(parts) => {
                let [test, yes, no] = &**parts;
                if test.eval(store)?.truth() { yes.eval(store)? } else { no.eval(store)? }
            }
            Node::Compare(left, rest) => {
                let mut left = left.eval(store)?;
                for (op, right) in rest {
                    let right = right.eval(store)?;
                    if !compare(*op, &left, &right)? {
                        return Some(Plain::Bool(false));
                    }
                    left = right;
                }
                Plain::Bool(true)
            }
            Node::Index(value, index) => {
                let value = value.eval(store)?;
                let index = index.eval(store)?.number()?;
                match &value {
                    Plain::Str(text) => {
                        let chars: Vec<char> = text.chars().collect();
                        Plain::text(chars.get(position(index, chars.len())?)?.encode_utf8(&mut [0; 4]))
                    }
                    _ => {
                        let items = value.items()?;
                        items.get(position(index, items.len())?)?.clone()
                    }
                }
            }
            Node::Slice(value, from, to) => {
                let value = value.eval(store)?;
                let end = |end: &Option<Box<Node>>| -> Option<Option<i64>> {
                    match end {
                        None => Some(None),
                        Some(end) => match end.eval(store)? {
                            Plain::None => Some(None),
                            value => value.number().map(Some),
                        },
                    }
                };
                let (from, to) = (end(from)?, end(to)?);
                let cut = |length: usize| {
                    let at = |end: i64| (if end < 0 { end.saturating_add(length as i64) } else { end }).clamp(0, length as i64) as usize;
                    let from = from.map_or(0, at);
                    from..to.map_or(length, at).max(from)
                };
                match value {
                    Plain::Str(text) => {
                        let chars: Vec<char> = text.chars().collect();
                        Plain::Str(chars[cut(chars.len())].iter().collect::<String>().into())
                    }
                    Plain::List(items) => Plain::List(items[cut(items.len())].to_vec()),
                    Plain::Tuple(items) => Plain::Tuple(items[cut(items.len())].to_vec()),
                    _ => return None,
                }
            }
            Node::Method(value, method, args) => {
                let value = value.eval(store)?;
                let args: Option<Vec<Plain>> = args.iter().map(|arg| arg.eval(store)).collect();
                call_method(value.as_text()?, *method, &args?)?
            }
            Node::Add(left, right) => match (left.eval(store)?, right.eval(store)?) {
                (Plain::Str(a), Plain::Str(b)) => Plain::Str(format!("{a}{b}").into()),
                (Plain::List(a), Plain::List(b)) => Plain::List([a, b].concat()),
                (Plain::Tuple(a), Plain::Tuple(b)) => Plain::Tuple([a, b].concat()),
                (a, b) => Plain::Int(a.number()?.checked_add(b.number()?)?),
            },
            Node::Sub(left, right) => Plain::Int(left.eval(store)?.number()?.checked_sub(right.eval(store)?.number()?)?),
            Node::Format(format, args) => {
                let (format, args) = (format.eval(store)?, args.eval(store)?);
                let args = match args {
                    Plain::Tuple(items) => items,
                    one => vec![one],
                };
                Plain::Str(formatted(format.as_text()?, &args)?.into())
            }
            Node::Concat(parts) => {
                let mut text = String::new();
                for part in parts {
                    text.push_str(part.eval(store)?.as_text()?);
                }
                Plain::Str(text.into())
            }
            Node::List(items) => Plain::List(items.iter().map(|item| item.eval(store)).collect::<Option<_>>()?),
            Node::Tuple(items) => Plain::Tuple(items.iter().map(|item| item.eval(store)).collect::<Option<_>>()?),
            Node::Int(value) => match value.eval(store)? {
                Plain::Str(text) => {
                    let digits = text.trim_matches(space);
                    let bare = digits.strip_prefix(['-', '+']).unwrap_or(digits);
                    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
                        return None;
                    }
                    Plain::Int(digits.parse().ok()?)
                }
                other => Plain::Int(other.number()?),
            },
            Node::Text(value) => Plain::Str(value.eval(store)?.shown()?),
            Node::Len(value) => match value.eval(store)? {
                Plain::Str(text) => Plain::Int(text.chars().count() as i64),
                other => Plain::Int(other.items()?.len() as i64),
            },
            Node::Bool(value) => Plain::Bool(value.eval(store)?.truth()),
        })
    }
}

/// `os.path.normpath`: two slashes in front, and no more, mean something of their own.
fn normal_path(path: &str) -> String {
    let slashes = path.bytes().take_while(|byte| *byte == b'/').count();
    let root = match slashes {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match parts.last() {
            _ if part != ".." => parts.push(part),
            None if root.is_empty() => parts.push(part),
            Some(&"..") => parts.push(part),
            None => {}
            Some(_) => drop(parts.pop()),
        }
    }
    let path = format!("{root}{}", parts.join("/"));
    if path.is_empty() { ".".into() } else { path }
}

fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn compare(op: CmpOp, left: &Plain, right: &Plain) -> Option<bool> {
    use std::cmp::Ordering;
    let order = || -> Option<Ordering> {
        match (left, right) {
            (Plain::Str(a), Plain::Str(b)) => Some(a.cmp(b)),
            _ => Some(left.number()?.cmp(&right.number()?)),
        }
    };
    let within = || -> Option<bool> {
        match right {
            Plain::Str(text) => Some(text.contains(&**left.as_text()?)),
            _ => Some(right.items()?.iter().any(|item| item.equals(left))),
        }
    };
    // Only for None does identity follow from the value.
    let same = || match (left, right) {
        (Plain::None, _) | (_, Plain::None) => Some(left == right),
        (Plain::Bool(a), Plain::Bool(b)) => Some(a == b),
        _ => None,
    };
    Some(match op {
        CmpOp::Eq => left.equals(right),
        CmpOp::NotEq => !left.equals(right),
        CmpOp::Lt => order()? == Ordering::Less,
        CmpOp::LtE => order()? != Ordering::Greater,
        CmpOp::Gt => order()? == Ordering::Greater,
        CmpOp::GtE => order()? != Ordering::Less,
        CmpOp::In => within()?,
        CmpOp::NotIn => !within()?,
        CmpOp::Is => same()?,
        CmpOp::IsNot => !same()?,
    })
}

fn call_method(text: &Str, method: Method, args: &[Plain]) -> Option<Plain> {
    let list = |words: Vec<&str>| Plain::List(words.into_iter().map(Plain::text).collect());
    Some(match (method, args) {
        (Method::Split, [] | [Plain::None]) | (Method::RSplit, [] | [Plain::None]) => list(words(text).collect()),
        (Method::Split | Method::RSplit, [Plain::Str(by)]) if !by.is_empty() => list(text.split(&**by).collect()),
        (Method::Split, [Plain::Str(by), most]) if !by.is_empty() => match usize::try_from(most.number()?) {
            Ok(most) => list(text.splitn(most.checked_add(1)?, &**by).collect()),
            Err(_) => list(text.split(&**by).collect()),
        },
        (Method::RSplit, [Plain::Str(by), most]) if !by.is_empty() => match usize::try_from(most.number()?) {
            Ok(most) => {
                let mut parts: Vec<&str> = text.rsplitn(most.checked_add(1)?, &**by).collect();
                parts.reverse();
                list(parts)
            }
            Err(_) => list(text.split(&**by).collect()),
        },
        (Method::Replace, [Plain::Str(from), Plain::Str(to)]) => Plain::Str(text.replace(&**from, to).into()),
        (Method::Strip, []) => Plain::text(text.trim_matches(space)),
        (Method::LStrip, []) => Plain::text(text.trim_start_matches(space)),
        (Method::RStrip, []) => Plain::text(text.trim_end_matches(space)),
        (Method::Strip, [Plain::Str(set)]) => Plain::text(text.trim_matches(|c| set.contains(c))),
        (Method::LStrip, [Plain::Str(set)]) => Plain::text(text.trim_start_matches(|c| set.contains(c))),
        (Method::RStrip, [Plain::Str(set)]) => Plain::text(text.trim_end_matches(|c| set.contains(c))),
        (Method::StartsWith | Method::EndsWith, [what]) => {
            let options = match what {
                Plain::Str(_) => std::slice::from_ref(what),
                Plain::Tuple(items) => items,
                _ => return None,
            };
            let mut found = false;
            for option in options {
                let option = option.as_text()?;
                found |= if matches!(method, Method::StartsWith) { text.starts_with(&**option) } else { text.ends_with(&**option) };
            }
            Plain::Bool(found)
        }
        (Method::Lower, []) if text.is_ascii() => Plain::Str(text.to_ascii_lowercase().into()),
        (Method::Upper, []) if text.is_ascii() => Plain::Str(text.to_ascii_uppercase().into()),
        (Method::Join, [list]) => {
            let items: Option<Vec<&str>> = list.items()?.iter().map(|item| item.as_text().map(|text| &**text)).collect();
            Plain::Str(items?.join(text).into())
        }
        (Method::Find, [Plain::Str(what)]) => match text.find(&**what) {
            Some(at) => Plain::Int(text[..at].chars().count() as i64),
            None => Plain::Int(-1),
        },
        _ => return None,
    })
}

/// `format % args` for plain `%s`, `%d` and `%%`.
fn formatted(format: &str, args: &[Plain]) -> Option<String> {
    let mut args = args.iter();
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            '%' => out.push('%'),
            's' => out.push_str(&args.next()?.shown()?),
            'd' => out.push_str(&args.next()?.number()?.to_string()),
            _ => return None,
        }
    }
    args.next().is_none().then_some(out)
}
