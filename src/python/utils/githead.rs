//! What `git rev-parse HEAD` and `git rev-parse --abbrev-ref HEAD` would say, read from the repository's
//! files: every start of every command asks both, and the two processes took a good part of it.
//!
//! Answered is only what is certain. Anything unusual (`GIT_*` in the environment, a repository of another
//! user, unborn or ambiguous branches, other storage formats, mount points on the way) is left to git.

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

/// The answer for a command that runs in `dir`, without the line's end. None: ask git.
pub fn answer(question: Question, dir: &Path) -> Option<String> {
    let unusual = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        name.strip_prefix("GIT_").is_some_and(|rest| !HARMLESS.iter().any(|known| rest.starts_with(known)))
    };
    if std::env::vars_os().any(|(name, _)| unusual(&name)) || !git_is_there() {
        return None;
    }
    let repository = Repository::around(dir)?;
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

fn git_is_there() -> bool {
    let runs = |file: PathBuf| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0);
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.is_absolute() && runs(dir.join("git"))))
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

impl Repository {
    /// The repository whose work tree `dir` is in.
    fn around(dir: &Path) -> Option<Repository> {
        let dir = fs::canonicalize(dir).ok()?;
        let device = fs::metadata(&dir).ok()?.dev();
        let (top, git) = dir.ancestors().find_map(|above| {
            let git = above.join(".git");
            match fs::symlink_metadata(&git) {
                Ok(_) => Some(Some((above, git))),
                // Where a mount begins, or what may be a bare repository.
                Err(_) if above.join("HEAD").exists() && above.join("objects").exists() => Some(None),
                Err(_) => fs::metadata(above).ok().filter(|meta| meta.dev() == device).is_none().then_some(None),
            }
        })??;
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
        Some(Repository { own, common, packed })
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
            if let Some(ours) = ours {
                assert_eq!(Some(ours), git(dir, &command["git ".len()..]), "{command}");
            }
        }
        known
    }

    #[test]
    fn says_what_git_says_or_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("repository");
        let inside = top.join("a/b");
        fs::create_dir_all(&inside).unwrap();
        assert!(!agree(&inside), "no repository");
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
