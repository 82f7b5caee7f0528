//! What `git rev-parse HEAD` and `git rev-parse --abbrev-ref HEAD` would say, read from the repository's
//! files: every start of every command asks both, and the two processes took a good part of it.
//!
//! Answered is only what is certain. Anything unusual (`GIT_*` in the environment, a repository of another
//! user, unborn or ambiguous branches, other storage formats, messages in another language) is left to git.
//! That there is no repository at all is an answer, too: layers from an archive have none, and git is often
//! behind a wrapper of OpenEmbedded's that starts a Python of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which of the two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Commit,
    Branch,
}

impl Question {
    /// The question a command line is, if it is one.
    pub fn of(command: &str) -> Option<Question> {
        match command {
            "git rev-parse HEAD" => Some(Question::Commit),
            "git rev-parse --abbrev-ref HEAD" => Some(Question::Branch),
            _ => None,
        }
    }
}

/// Beginnings of `GIT_…` variables that have nothing to do with which repository it is and what it says.
const HARMLESS: &[&str] = &["SSL_", "AUTHOR_", "COMMITTER_", "EDITOR", "PAGER", "ASKPASS", "SSH", "PROXY_", "TERMINAL_PROMPT", "PROTOCOL"];

/// What git does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It says this line, without its end.
    Line(String),
    /// It says on standard error that there is no repository, and ends with 128.
    NoRepository(String),
}

/// The answer for a command that runs in `dir`. None: ask git.
pub fn answer(question: Question, dir: &Path) -> Option<Answer> {
    let unusual = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        name.strip_prefix("GIT_").is_some_and(|rest| !HARMLESS.iter().any(|known| rest.starts_with(known)))
    };
    if std::env::vars_os().any(|(name, _)| unusual(&name)) || !git_is_there() {
        return None;
    }
    let repository = match Repository::around(dir)? {
        Around::Repository(repository) => repository,
        Around::Nothing(message) => return english().then_some(Answer::NoRepository(message)),
    };
    let line = line(question, &repository)?;
    Some(Answer::Line(line))
}

/// The line of standard output that answers a question about a repository.
fn line(question: Question, repository: &Repository) -> Option<String> {
    let head = fs::read_to_string(repository.own.join("HEAD")).ok()?;
    let head = head.strip_suffix('\n').unwrap_or(&head);
    let name = match head.strip_prefix("ref: ") {
        None if is_hash(head) => None,
        None => return None,
        Some(name) if name.starts_with("refs/heads/") => Some(name),
        Some(_) => return None,
    };
    if repository.has_any(["refs/HEAD", "refs/tags/HEAD", "refs/heads/HEAD", "refs/remotes/HEAD", "refs/remotes/HEAD/HEAD"]) {
        return None;
    }
    // A branch without a commit is an error.
    let commit = match name {
        None => head.to_string(),
        Some(name) => repository.reference(name)?,
    };
    match (question, name) {
        (Question::Commit, _) => Some(commit),
        (Question::Branch, None) => Some("HEAD".into()),
        (Question::Branch, Some(name)) => {
            let short = &name["refs/heads/".len()..];
            // A name that something else has, too, would be given in full.
            let others = [
                short.to_string(),
                format!("refs/{short}"),
                format!("refs/tags/{short}"),
                format!("refs/remotes/{short}"),
                format!("refs/remotes/{short}/HEAD"),
            ];
            (!repository.has_any(others.iter().map(String::as_str))).then(|| short.to_string())
        }
    }
}

/// Is there a git that is not a wrapper of OpenEmbedded's `scripts/`?
fn git_is_there() -> bool {
    let runs = |file: PathBuf| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0);
    let may_have = |dir: &Path| dir.is_absolute() && !dir.ends_with("scripts");
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| may_have(&dir) && runs(dir.join("git"))))
}

/// Does git speak English to this process? Its words are translated otherwise.
fn english() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let language = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set);
    set("LANGUAGE").is_none() && language.is_none_or(|l| l.starts_with("en_US") || l == "C" || l == "POSIX" || l.starts_with("C."))
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

struct Repository {
    /// What belongs to this work tree alone: HEAD.
    own: PathBuf,
    /// What all work trees share: references, configuration.
    common: PathBuf,
    packed: String,
}

/// Where a folder is.
enum Around {
    Repository(Repository),
    /// In no repository; what git says then.
    Nothing(String),
}

impl Repository {
    /// The repository whose work tree `dir` is in.
    fn around(dir: &Path) -> Option<Around> {
        let dir = fs::canonicalize(dir).ok()?;
        let device = fs::metadata(&dir).ok()?.dev();
        let mut found = None;
        for above in dir.ancestors() {
            if fs::metadata(above).ok()?.dev() != device {
                return Some(Around::Nothing(format!(
                    "fatal: not a git repository (or any parent up to mount point {})\nStopping at filesystem boundary \
                     (GIT_DISCOVERY_ACROSS_FILESYSTEM not set).\n",
                    above.display()
                )));
            }
            let git = above.join(".git");
            match fs::symlink_metadata(&git) {
                Ok(_) => {
                    found = Some((above, git));
                    break;
                }
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return None,
                // What may be a bare repository.
                Err(_) if fs::symlink_metadata(above.join("HEAD")).is_ok() => return None,
                Err(_) => {}
            }
        }
        let Some((top, git)) = found else {
            return Some(Around::Nothing("fatal: not a git repository (or any of the parent directories): .git\n".into()));
        };
        let own = if git.is_dir() {
            git.clone()
        } else {
            let link = fs::read_to_string(&git).ok()?;
            top.join(link.strip_prefix("gitdir: ")?.trim_end_matches('\n'))
        };
        let common = match fs::read_to_string(own.join("commondir")) {
            Ok(dir) => own.join(dir.trim_end_matches('\n')),
            Err(_) => own.clone(),
        };
        // SAFETY: plain call.
        let user = unsafe { libc::geteuid() };
        let mine = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == user && meta.dev() == device && !meta.is_symlink());
        if ![top, &git, &own].into_iter().all(mine) || !common.join("objects").is_dir() || !common.join("refs").is_dir() {
            return None;
        }
        if !plain_configuration(&fs::read_to_string(common.join("config")).ok()?) {
            return None;
        }
        let packed = match fs::read_to_string(common.join("packed-refs")) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(_) => return None,
        };
        Some(Around::Repository(Repository { own, common, packed }))
    }

    /// What a reference names, as long as it is a commit's hash itself.
    fn reference(&self, name: &str) -> Option<String> {
        match fs::read_to_string(self.common.join(name)) {
            Ok(text) => {
                let text = text.trim_end_matches('\n');
                is_hash(text).then(|| text.to_string())
            }
            Err(_) => {
                let line = self.packed.lines().find(|line| line.split_once(' ').is_some_and(|(_, packed)| packed == name))?;
                line.split_once(' ').map(|(hash, _)| hash).filter(|hash| is_hash(hash)).map(str::to_string)
            }
        }
    }

    fn has_any<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| {
            self.own.join(name).is_file()
                || self.common.join(name).is_file()
                || self.packed.lines().any(|line| line.split_once(' ').is_some_and(|(_, packed)| packed == name))
        })
    }
}

/// Nothing in it changes how references are stored or told.
fn plain_configuration(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim().to_ascii_lowercase();
        let value = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_start().trim_start_matches('=').trim().to_string());
        !line.starts_with("[extensions")
            && !line.starts_with("[include")
            && !line.contains("warnambiguousrefs")
            && !line.contains("bare = true")
            && !line.contains("worktree")
            && value("repositoryformatversion").is_none_or(|version| version == "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(dir: &Path, words: &str) -> Option<String> {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=first"];
        let done = Command::new("git").args(identity).args(words.split(' ')).current_dir(dir).output().unwrap();
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap().trim_end().to_string())
    }

    /// Both answers as git gives them, and whether ours were given.
    fn agree(dir: &Path) -> bool {
        let mut known = true;
        for command in ["git rev-parse HEAD", "git rev-parse --abbrev-ref HEAD"] {
            let ours = answer(Question::of(command).unwrap(), dir);
            known &= ours.is_some();
            match ours {
                Some(Answer::Line(ours)) => assert_eq!(Some(ours), git(dir, &command["git ".len()..]), "{command}"),
                Some(Answer::NoRepository(ours)) => {
                    let words = command.split(' ').skip(1);
                    let done = Command::new("git").args(words).current_dir(dir).output().unwrap();
                    let theirs = String::from_utf8(done.stderr).unwrap();
                    assert_eq!((Some(128), "".into(), ours), (done.status.code(), String::from_utf8(done.stdout).unwrap(), theirs));
                }
                None => {}
            }
        }
        known
    }

    #[test]
    fn says_that_there_is_no_repository() {
        let temp = tempfile::tempdir().unwrap();
        let inside = temp.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        let known = agree(&inside);
        assert_eq!(known, english(), "where git would say it in English");
        agree(Path::new("/"));
        // Another file system than that of the root.
        agree(Path::new("/proc"));
        fs::write(temp.path().join("HEAD"), "").unwrap();
        assert!(!agree(&inside), "it may be a bare one");
        fs::remove_file(temp.path().join("HEAD")).unwrap();
        fs::create_dir(temp.path().join(".git")).unwrap();
        assert!(!agree(&inside), "an empty .git");
    }

    #[test]
    fn says_what_git_says_or_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("repository");
        let inside = top.join("a/b");
        fs::create_dir_all(&inside).unwrap();
        git(&top, "init -q").unwrap();
        assert!(!agree(&inside), "no commit yet");
        git(&top, "commit -q --allow-empty -m one").unwrap();
        assert!(agree(&inside));
        git(&top, "checkout -q -b topic/long").unwrap();
        git(&top, "commit -q --allow-empty -m two").unwrap();
        assert!(agree(&inside));
        git(&top, "pack-refs --all").unwrap();
        assert!(agree(&inside), "packed");
        git(&top, "commit -q --allow-empty -m three").unwrap();
        assert!(agree(&inside), "loose before packed");
        git(&top, "tag topic/long").unwrap();
        assert!(!agree(&inside), "a tag of the same name");
        git(&top, "pack-refs --all").unwrap();
        assert!(!agree(&inside));
        git(&top, "tag -d topic/long").unwrap();
        git(&top, "worktree add -q ../other first").unwrap();
        agree(&temp.path().join("other"));
        git(&top, "checkout -q --detach").unwrap();
        assert!(agree(&inside), "detached");
        git(&top, "config core.warnAmbiguousRefs false").unwrap();
        assert!(!agree(&inside));
        assert!(Question::of("git rev-parse HEAD ").is_none() && Question::of("git rev-parse  HEAD").is_none());
    }
}
