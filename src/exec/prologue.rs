//! The fixed text around the functions of a generated shell script.

/// First lines of every script: stop at the first command that fails, and say in the log where.
///
/// The messages are what people and scripts look for in logs. The number of lines is the
/// reference's, because messages name lines of the script.
pub const PROLOGUE: &str = r##"#!/bin/sh

# Written for this one task; a change here is lost with the next run.
#
# Any command that fails ends the script, and the log then tells which one it was
# and through which functions it was reached. A plain POSIX shell can tell no more
# than the exit code. The length of this part never changes: messages in logs give
# line numbers of this file, and they have to mean the same in every version.
#
# Names that begin with hz_ belong to this part; recipes leave them alone.

# The line of the last command that was begun.
hz_line=0

# At the end of the script, in a POSIX shell.
hz_end_sh() {
    [ "$1" = 0 ] || echo "WARNING: exit code $1 from a shell command."
    exit "$1"
}

# The same in bash: exit code, last line and last command.
hz_end_bash() {
    { set +x; } > /dev/null
    trap "" DEBUG
    if [ "$1" != 0 ]; then
        echo "WARNING: ${BASH_SOURCE[0]}:$2 exit $1 from '$3'"
        echo "WARNING: Backtrace (BB generated script): "
        hz_depth=1
        hz_at=$2
        while [ "$hz_depth" -lt "${#FUNCNAME[@]}" ]; do
            # The innermost call is at the line last seen; bash knows the outer ones.
            [ "$hz_depth" = 1 ] || hz_at=${BASH_LINENO[$((hz_depth - 1))]}
            printf '\t#%s: %s, %s, line %s\n' "$hz_depth" \
                "${FUNCNAME[$hz_depth]}" "${BASH_SOURCE[$((hz_depth - 1))]}" "$hz_at"
            hz_depth=$((hz_depth + 1))
        done
    fi
    exit "$1"
}

# bash reports line 1 for what runs while the script is ending.
hz_begin() {
    [ "$1" = 1 ] || hz_line=$1
}

# Nothing above this line runs anything.
#
if [ -z "$BASH_VERSION" ]; then
    trap 'hz_end_sh "$?"' 0
else
    trap 'hz_end_bash "$?" "$hz_line" "$BASH_COMMAND"' 0
    trap '{ hz_begin "$LINENO"; } 2>/dev/null' DEBUG
    shopt -s extdebug
fi

set -e
"##;

/// The part after the functions: what runs them. `cwd`: where to; `trace`: show every command.
pub fn call(function: &str, cwd: Option<&str>, trace: bool) -> String {
    let mut text = String::new();
    if trace {
        text.push_str("set -x\n");
    }
    if let Some(cwd) = cwd {
        text.push_str(&format!("cd '{cwd}'\n"));
    }
    text.push_str(&format!("{function}\n\n# cleanup\nret=$?\ntrap '' 0\nexit $ret\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(shell: &str, body: &str) -> (Option<i32>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.do_x.1");
        std::fs::write(&path, format!("{PROLOGUE}{body}")).unwrap();
        let out = Command::new(shell).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).replace(path.to_str().unwrap(), "SCRIPT");
        (out.status.code(), text)
    }

    #[test]
    fn as_long_as_the_reference() {
        assert_eq!(PROLOGUE.matches('\n').count(), 56);
    }

    #[test]
    fn success_says_nothing() {
        for shell in ["sh", "bash"] {
            let (code, text) = run(shell, &format!("do_x() {{\n:\n}}\n{}", call("do_x", Some("/"), false)));
            assert_eq!((code, text.as_str()), (Some(0), ""), "{shell}");
        }
    }

    #[test]
    fn bash_names_the_command_and_the_way_to_it() {
        let body = format!("inner() {{\n\techo x\n\tfalse\n}}\ndo_x() {{\n\tinner\n}}\n{}", call("do_x", None, false));
        let (code, text) = run("bash", &body);
        assert_eq!(code, Some(1));
        assert_eq!(
            text,
            "x\nWARNING: SCRIPT:59 exit 1 from 'false'\nWARNING: Backtrace (BB generated script): \n\
             \t#1: inner, SCRIPT, line 59\n\t#2: do_x, SCRIPT, line 62\n\t#3: main, SCRIPT, line 64\n"
        );
        let (code, text) = run("bash", &format!("do_x() {{\n\texit 7\n}}\n{}", call("do_x", None, false)));
        assert_eq!(code, Some(7));
        assert!(text.starts_with("WARNING: SCRIPT:58 exit 7 from 'exit 7'\n"), "{text}");
    }

    #[test]
    fn a_posix_shell_tells_the_code() {
        let shell = if std::path::Path::new("/bin/dash").exists() { "dash" } else { return };
        let (code, text) = run(shell, &format!("do_x() {{\n\tfalse\n\techo no\n}}\n{}", call("do_x", None, false)));
        assert_eq!((code, text.as_str()), (Some(1), "WARNING: exit code 1 from a shell command.\n"));
    }
}
