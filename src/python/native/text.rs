//! Methods that are known by name, and those of text done natively.

use super::value::Val;
use hz_data::python_repr;
use hz_diagnostics::Str;
use hz_versions::{is_space, words};
use std::cell::Cell;

/// Names of methods that may be done here; of what, is seen when they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
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
    RFind,
    Count,
    Partition,
    RPartition,
    RemovePrefix,
    RemoveSuffix,
    Format,
    // Of lists, dictionaries and sets.
    Append,
    Extend,
    Insert,
    Remove,
    Pop,
    Sort,
    Reverse,
    Copy,
    Get,
    Items,
    Keys,
    Values,
    SetDefault,
    Update,
    Add,
    Discard,
    /// Of the data store.
    Store(hz_data::Method),
}

impl Method {
    pub fn of(name: &str) -> Option<Method> {
        Some(match name {
            "split" => Method::Split,
            "rsplit" => Method::RSplit,
            "replace" => Method::Replace,
            "strip" => Method::Strip,
            "lstrip" => Method::LStrip,
            "rstrip" => Method::RStrip,
            "startswith" => Method::StartsWith,
            "endswith" => Method::EndsWith,
            "lower" => Method::Lower,
            "upper" => Method::Upper,
            "join" => Method::Join,
            "find" => Method::Find,
            "rfind" => Method::RFind,
            "count" => Method::Count,
            "partition" => Method::Partition,
            "rpartition" => Method::RPartition,
            "removeprefix" => Method::RemovePrefix,
            "removesuffix" => Method::RemoveSuffix,
            "format" => Method::Format,
            "append" => Method::Append,
            "extend" => Method::Extend,
            "insert" => Method::Insert,
            "remove" => Method::Remove,
            "pop" => Method::Pop,
            "sort" => Method::Sort,
            "reverse" => Method::Reverse,
            "copy" => Method::Copy,
            "get" => Method::Get,
            "items" => Method::Items,
            "keys" => Method::Keys,
            "values" => Method::Values,
            "setdefault" => Method::SetDefault,
            "update" => Method::Update,
            "add" => Method::Add,
            "discard" => Method::Discard,
            name => return hz_data::Method::of(name).map(Method::Store),
        })
    }
}

/// The place of an index in something of that length.
pub fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

/// The range of a slice without step.
pub fn range(from: Option<i64>, to: Option<i64>, length: usize) -> std::ops::Range<usize> {
    let at = |end: i64| (if end < 0 { end.saturating_add(length as i64) } else { end }).clamp(0, length as i64) as usize;
    let from = from.map_or(0, at);
    from..to.map_or(length, at).max(from)
}

/// A stretch of a text by characters.
pub fn slice(text: &str, from: Option<i64>, to: Option<i64>) -> Str {
    if text.is_ascii() {
        return text[range(from, to, text.len())].into();
    }
    let chars: Vec<char> = text.chars().collect();
    chars[range(from, to, chars.len())].iter().collect::<String>().into()
}

/// The character at an index.
pub fn char_at(text: &str, index: i64) -> Option<Str> {
    if text.is_ascii() {
        let at = position(index, text.len())?;
        return Some(text[at..at + 1].into());
    }
    let chars: Vec<char> = text.chars().collect();
    Some((&*chars.get(position(index, chars.len())?)?.encode_utf8(&mut [0; 4])).into())
}

thread_local! {
    /// Where texts are put together whose length nobody knows before.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

/// The text that `write` writes. None: it gave up.
fn written(write: impl FnOnce(&mut String) -> Option<()>) -> Option<Str> {
    let mut out = SCRATCH.take();
    out.clear();
    let text = write(&mut out).map(|()| out.as_str().into());
    // A large one is not kept.
    if out.capacity() <= 1 << 16 {
        SCRATCH.set(out);
    }
    text
}

/// One text after the other.
pub fn together(parts: &[impl AsRef<str>]) -> Str {
    written(|out| {
        parts.iter().for_each(|part| out.push_str(part.as_ref()));
        Some(())
    })
    .unwrap_or_else(|| "".into())
}

/// Number of the character that begins at a byte.
fn char_index(text: &str, byte: usize) -> Val {
    Val::Int(text[..byte].chars().count() as i64)
}

/// A method of text; None: the VM has to do it.
pub fn call(text: &Str, method: Method, args: &[Val]) -> Option<Val> {
    Some(match (method, args) {
        (Method::Split | Method::RSplit, [] | [Val::None]) => Val::words(words(text)),
        (Method::Split | Method::RSplit, [Val::Str(by)]) if !by.is_empty() => Val::words(text.split(&**by)),
        (Method::Split, [Val::Str(by), most]) if !by.is_empty() => match usize::try_from(most.number()?) {
            Ok(most) => Val::words(text.splitn(most.checked_add(1)?, &**by)),
            Err(_) => Val::words(text.split(&**by)),
        },
        (Method::RSplit, [Val::Str(by), most]) if !by.is_empty() => match usize::try_from(most.number()?) {
            Ok(most) => {
                let mut parts: Vec<&str> = text.rsplitn(most.checked_add(1)?, &**by).collect();
                parts.reverse();
                Val::words(parts.into_iter())
            }
            Err(_) => Val::words(text.split(&**by)),
        },
        (Method::Replace, [Val::Str(from), Val::Str(to)]) => {
            if !from.is_empty() && !text.contains(&**from) {
                return Some(Val::Str(text.clone()));
            }
            Val::Str(text.replace(&**from, to).into())
        }
        (Method::Strip, []) => Val::text(text.trim_matches(is_space)),
        (Method::LStrip, []) => Val::text(text.trim_start_matches(is_space)),
        (Method::RStrip, []) => Val::text(text.trim_end_matches(is_space)),
        (Method::Strip, [Val::Str(set)]) => Val::text(text.trim_matches(|c| set.contains(c))),
        (Method::LStrip, [Val::Str(set)]) => Val::text(text.trim_start_matches(|c| set.contains(c))),
        (Method::RStrip, [Val::Str(set)]) => Val::text(text.trim_end_matches(|c| set.contains(c))),
        (Method::StartsWith | Method::EndsWith, [what]) => {
            let options = match what {
                Val::Str(_) => std::slice::from_ref(what),
                Val::Tuple(items) => items,
                _ => return None,
            };
            let mut found = false;
            for option in options {
                let option = option.as_str()?;
                found |= if method == Method::StartsWith { text.starts_with(&**option) } else { text.ends_with(&**option) };
            }
            Val::Bool(found)
        }
        (Method::Lower, []) if text.is_ascii() => Val::Str(text.to_ascii_lowercase().into()),
        (Method::Upper, []) if text.is_ascii() => Val::Str(text.to_ascii_uppercase().into()),
        (Method::Join, [list]) => {
            let joined = |items: &[Val]| {
                written(|out| {
                    for (at, item) in items.iter().enumerate() {
                        if at > 0 {
                            out.push_str(text);
                        }
                        out.push_str(item.as_str()?);
                    }
                    Some(())
                })
            };
            match list {
                Val::Set(set) => Val::Str(set.read(|set| set.iter().map(|item| &**item).collect::<Vec<_>>().join(text))?.into()),
                Val::Dict(dict) => Val::Str(dict.read(|dict| dict.keys().map(|item| &**item).collect::<Vec<_>>().join(text))?.into()),
                list => Val::Str(list.items(joined)??),
            }
        }
        (Method::Find, [Val::Str(what)]) => text.find(&**what).map_or(Val::Int(-1), |at| char_index(text, at)),
        (Method::RFind, [Val::Str(what)]) => text.rfind(&**what).map_or(Val::Int(-1), |at| char_index(text, at)),
        (Method::Count, [Val::Str(what)]) if !what.is_empty() => Val::Int(text.matches(&**what).count() as i64),
        (Method::Partition, [Val::Str(by)]) if !by.is_empty() => Val::tuple(match text.split_once(&**by) {
            Some((a, b)) => vec![Val::text(a), Val::Str(by.clone()), Val::text(b)],
            None => vec![Val::Str(text.clone()), Val::text(""), Val::text("")],
        }),
        (Method::RPartition, [Val::Str(by)]) if !by.is_empty() => Val::tuple(match text.rsplit_once(&**by) {
            Some((a, b)) => vec![Val::text(a), Val::Str(by.clone()), Val::text(b)],
            None => vec![Val::text(""), Val::text(""), Val::Str(text.clone())],
        }),
        (Method::Format, args) => Val::Str(filled_in(text, args)?.into()),
        (Method::RemovePrefix, [Val::Str(what)]) => Val::text(text.strip_prefix(&**what).unwrap_or(text)),
        (Method::RemoveSuffix, [Val::Str(what)]) => Val::text(text.strip_suffix(&**what).unwrap_or(text)),
        _ => return None,
    })
}

impl Val {
    /// Python's `str()`; None: the VM has to say.
    pub fn shown(&self) -> Option<Str> {
        match self {
            Val::Str(text) => Some(text.clone()),
            other => other.repr().map(Into::into),
        }
    }
    /// Python's `repr()`; None where ours might differ.
    pub fn repr(&self) -> Option<String> {
        self.repr_within(20)
    }

    /// The same of what holds no more levels: a list may hold itself.
    fn repr_within(&self, levels: u32) -> Option<String> {
        let below = levels.checked_sub(1)?;
        let list = |items: &[Val]| -> Option<Vec<String>> { items.iter().map(|item| item.repr_within(below)).collect() };
        Some(match self {
            Val::None => "None".into(),
            Val::Bool(true) => "True".into(),
            Val::Bool(false) => "False".into(),
            Val::Int(number) => number.to_string(),
            Val::Str(text) if text.is_ascii() => python_repr(text),
            Val::List(items) => format!("[{}]", items.read(|items| list(items))??.join(", ")),
            Val::Tuple(items) if items.len() == 1 => format!("({},)", items[0].repr_within(below)?),
            Val::Tuple(items) => format!("({})", list(items)?.join(", ")),
            _ => return None,
        })
    }
}

/// `format.format(*args)` where each field is a plain `{}`.
fn filled_in(format: &str, args: &[Val]) -> Option<String> {
    let mut args = args.iter();
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let field = &rest[at..];
        rest = if let Some(after) = field.strip_prefix("{}") {
            out.push_str(&args.next()?.shown()?);
            after
        } else if let Some(after) = field.strip_prefix("{{") {
            out.push('{');
            after
        } else {
            out.push('}');
            field.strip_prefix("}}")?
        };
    }
    out.push_str(rest);
    Some(out)
}

/// `format % args` for plain `%s`, `%d` and `%%`.
pub fn formatted(format: &str, args: &[Val]) -> Option<Str> {
    let mut args = args.iter();
    written(|out| {
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            match rest.as_bytes().get(at + 1)? {
                b'%' => out.push('%'),
                b's' => match args.next()? {
                    Val::Str(text) => out.push_str(text),
                    other => out.push_str(&other.repr()?),
                },
                b'd' => out.push_str(&args.next()?.number()?.to_string()),
                _ => return None,
            }
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        args.next().is_none().then_some(())
    })
}
