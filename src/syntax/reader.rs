//! Physical lines -> statements: continuations, comments, function bodies, and what each of the
//! two grammars makes of them.

use crate::directive::{common, def_name, is_word, recipe_directive};
use crate::lines::{Line, Lines, leading_space};
use crate::statement::{Function, Parsed, PythonDef, Span, Statement, StatementKind, SyntaxError, Warning};
use crate::{Grammar, Options, base_name, parse_error, split_ext};
use hz_diagnostics::{Diagnostic, Place};

pub(crate) fn read(text: &str, options: Options<'_>) -> Parsed {
    match options.grammar {
        Grammar::Conf => read_conf(text, options),
        Grammar::Recipe => RecipeReader::new(options).read(text),
    }
}

fn fatal(message: String, file: &str, line: u32, span: Span) -> SyntaxError {
    SyntaxError { diagnostic: Diagnostic::error(message).at(Place::new(file, line)), fatal: true, span }
}

fn confusing_comment(file: &str, line: u32, text: &str) -> String {
    format!(
        "There is a confusing multiline partially commented expression on line {line} of file {file}:\n{text}\nPlease \
         clarify whether this is all a comment or should be parsed."
    )
}

fn read_conf(text: &str, options: Options<'_>) -> Parsed {
    let mut out = Parsed::default();
    let mut lines = Lines::new(text);
    'statements: while let Some(first) = lines.next() {
        if first.text.is_empty() {
            continue;
        }
        let mut line = std::borrow::Cow::Borrowed(first.text);
        let mut number = first.number;
        let mut span = first.start..first.end;
        while line.ends_with('\\') {
            // Beyond the end there are empty lines.
            let next = lines.next();
            let next_text = next.map_or("", |l| l.text);
            number += 1;
            if let Some(l) = next {
                span.end = l.end;
            }
            if line.starts_with('#') && !next_text.starts_with('#') {
                let message = format!(
                    "There is a confusing multiline, partially commented expression starting on line {} of file \
                     {}:\n{}\nPlease clarify whether this is all a comment or should be parsed.",
                    first.number,
                    options.file,
                    &text[span.clone()]
                );
                out.errors.push(fatal(message, options.file, first.number, span));
                continue 'statements;
            }
            let joined = line.to_mut();
            joined.pop();
            joined.push_str(next_text);
        }
        if line.starts_with('#') {
            continue;
        }
        // Only backslashes: the reference stumbles over the empty rest.
        let result = if line.is_empty() {
            Err(parse_error("unparsed line: ''", options.file, number))
        } else {
            common(&line, number, options, &mut out.warnings)
        };
        match result {
            Ok(kind) => out.statements.push(Statement { kind, line: number, span }),
            Err(diagnostic) => out.errors.push(SyntaxError { diagnostic, fatal: false, span }),
        }
    }
    out
}

/// A function body being collected.
struct Open<'a> {
    name: String,
    python: bool,
    fakeroot: bool,
    line: u32,
    start: usize,
    body: Vec<&'a str>,
}

/// The body of a `def` being collected.
struct OpenDef<'a> {
    name: String,
    start: usize,
    end: usize,
    /// The first line may be joined from several.
    first: String,
    body: Vec<&'a str>,
}

struct RecipeReader<'o> {
    options: Options<'o>,
    /// Class name for EXPORT_FUNCTIONS.
    class: &'o str,
    out: Parsed,
}

impl<'o> RecipeReader<'o> {
    fn new(options: Options<'o>) -> Self {
        let (root, ext) = split_ext(base_name(options.file));
        RecipeReader { options, class: if ext == ".bbclass" { root } else { "" }, out: Parsed::default() }
    }

    fn warn_tab(&mut self, line: &Line<'_>) {
        if line.text.trim_start_matches(' ').starts_with('\t') {
            let message = format!(
                "python should use 4 spaces indentation, but found tabs in {}, line {}",
                base_name(self.options.file),
                line.number
            );
            self.out.warnings.push(Warning { message, line: line.number, parser: false });
        }
    }

    fn error(&mut self, diagnostic: Diagnostic, span: Span) {
        self.out.errors.push(SyntaxError { diagnostic, fatal: false, span });
    }

    fn close_def(&mut self, def: OpenDef<'_>, line: u32) {
        let count = 1 + def.body.len() as u32;
        let mut text = def.first;
        for l in &def.body {
            text.push('\n');
            text.push_str(l);
        }
        let kind = StatementKind::Def(PythonDef {
            name: def.name.into(),
            text: text.into(),
            line_before: (line - 1).saturating_sub(count),
        });
        self.out.statements.push(Statement { kind, line, span: def.start..def.end });
    }

    fn read(mut self, text: &str) -> Parsed {
        let file = self.options.file;
        let mut function: Option<Open<'_>> = None;
        let mut def: Option<OpenDef<'_>> = None;
        // Continued lines so far, without their backslashes, and where they began.
        let mut residue: Vec<&str> = Vec::new();
        let mut residue_span = 0..0;
        let mut last = 0;

        for line in Lines::new(text) {
            last = line.number;
            if let Some(open) = &mut function {
                if open.python || open.name == "__anonymous" {
                    self.warn_tab(&line);
                }
                if line.text == "}" {
                    let open = function.take().expect("checked above");
                    let mut body = String::with_capacity(open.body.iter().map(|l| l.len() + 1).sum());
                    for l in &open.body {
                        body.push_str(l);
                        body.push('\n');
                    }
                    let kind = StatementKind::Function(Function {
                        name: open.name.into(),
                        body: body.into(),
                        python: open.python,
                        fakeroot: open.fakeroot,
                        first_line: line.number - open.body.len() as u32 - 1,
                    });
                    self.out.statements.push(Statement { kind, line: line.number, span: open.start..line.end });
                } else {
                    open.body.push(line.text);
                }
                continue;
            }
            if let Some(open) = &mut def {
                self.warn_tab(&line);
                if line.text.is_empty() || line.text.starts_with('#') || leading_space(line.text) > 0 {
                    open.body.push(line.text);
                    open.end = line.end;
                    continue;
                }
                let open = def.take().expect("checked above");
                self.close_def(open, line.number);
            }

            let comment = line.text.starts_with('#');
            if let Some(first) = residue.first() {
                if first.is_empty() {
                    // The reference looks at the first character of the first continued line.
                    let message = "a backslash with nothing in front of it begins a continued line";
                    let span = residue_span.start..line.end;
                    self.error(parse_error(message, file, line.number - residue.len() as u32), span);
                    residue.clear();
                    continue;
                }
                let residue_comment = first.starts_with('#');
                if comment && !residue_comment {
                    let message = format!(
                        "There is a comment on line {} of file {file}:\n'''\n{}\n'''\nwhich is in the middle of a \
                         multiline expression. This syntax is invalid, please correct it.",
                        line.number, line.text
                    );
                    self.out.errors.push(fatal(message, file, line.number, residue_span.start..line.end));
                    residue.clear();
                    continue;
                }
                if residue_comment && !comment {
                    let start = line.number - residue.len() as u32;
                    let message = confusing_comment(file, start, &residue.join("\n"));
                    self.out.errors.push(fatal(message, file, start, residue_span.clone()));
                    residue.clear();
                }
            }
            if residue.is_empty() {
                residue_span = line.start..line.end;
            } else {
                residue_span.end = line.end;
            }
            if let Some(text) = line.text.strip_suffix('\\') {
                residue.push(text);
                continue;
            }
            let span = residue_span.clone();
            if residue.is_empty() {
                self.logical_line(line.text, line, span, &mut function, &mut def);
            } else {
                residue.push(line.text);
                let joined = residue.concat();
                residue.clear();
                self.logical_line(&joined, line, span, &mut function, &mut def);
            }
        }

        let end = text.len();
        if let Some(open) = def.take() {
            self.close_def(open, last + 1);
        }
        if !residue.is_empty() {
            let message = format!("Unparsed lines {file}: {}", list_repr(&residue));
            self.error(parse_error(message, file, last + 1), residue_span);
        }
        if let Some(open) = function {
            if open.body.is_empty() {
                let message = format!("Shell function {} is never closed", open.name);
                self.out.unclosed = Some(parse_error(message, file, open.line));
            } else {
                let message = format!("Unparsed lines from unclosed function {file}: {}", list_repr(&open.body));
                self.error(parse_error(message, file, last + 1), open.start..end);
            }
        }
        self.out
    }

    fn logical_line<'a>(
        &mut self, text: &str, line: Line<'a>, span: Span, function: &mut Option<Open<'a>>,
        def: &mut Option<OpenDef<'a>>,
    ) {
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        if let Some(head) = function_head(text) {
            *function = Some(Open {
                name: head.name.unwrap_or("__anonymous").to_string(),
                python: head.python,
                fakeroot: head.fakeroot,
                line: line.number,
                start: span.start,
                body: Vec::new(),
            });
            return;
        }
        if let Some(name) = def_name(text) {
            *def = Some(OpenDef {
                name: name.to_string(),
                start: span.start,
                end: span.end,
                first: text.to_string(),
                body: Vec::new(),
            });
            return;
        }
        let result = match recipe_directive(text, self.options, self.class) {
            Ok(Some(kind)) => Ok(kind),
            Ok(None) => common(text, line.number, self.options, &mut self.out.warnings),
            Err(e) => Err(e),
        };
        match result {
            Ok(kind) => self.out.statements.push(Statement { kind, line: line.number, span }),
            Err(diagnostic) => self.error(diagnostic, span),
        }
    }
}

struct Head<'a> {
    python: bool,
    fakeroot: bool,
    name: Option<&'a str>,
}

/// `[python] [fakeroot] [NAME] ( ) {` at the end of the line.
fn function_head(line: &str) -> Option<Head<'_>> {
    let open = line.strip_suffix('{')?;
    let mut rest = open;
    let (mut python, mut fakeroot) = (false, false);
    loop {
        let after = if let Some(after) = rest.strip_prefix("python")
            && (after.starts_with('(') || leading_space(after) > 0)
        {
            python = true;
            after
        } else if let Some(after) = rest.strip_prefix("fakeroot")
            && leading_space(after) > 0
        {
            fakeroot = true;
            after
        } else {
            break;
        };
        rest = &after[leading_space(after)..];
    }
    let end = rest.find(|c: char| !(is_word(c) || ".-+{}$:".contains(c))).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let rest = rest.trim_start_matches(crate::is_space).strip_prefix('(')?;
    let rest = rest.trim_start_matches(crate::is_space).strip_prefix(')')?;
    rest.trim_start_matches(crate::is_space)
        .is_empty()
        .then_some(Head { python, fakeroot, name: (!name.is_empty()).then_some(name) })
}

/// The list as the reference shows it in its message.
fn list_repr(lines: &[&str]) -> String {
    let quoted: Vec<String> = lines.iter().map(|l| repr(l)).collect();
    format!("[{}]", quoted.join(", "))
}

fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() && (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
