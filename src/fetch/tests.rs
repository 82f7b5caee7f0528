//! The sequence as a whole: a `file://` mirror without network, stamps, wrong checksums, unpacking,
//! git from a local repository. Expected results were compared with the reference's once.

use crate::{Cx, FetchError, Native, Result, UrlData, checksum, fetcher, localfile, pickle, srcrev};
use hz_data::{DataStore, SetInfo};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A store without Python.
pub fn store() -> DataStore {
    DataStore::new(hz_data::without_python())
}

struct Scene {
    dir: tempfile::TempDir,
    d: DataStore,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let scene = Scene { d: store(), dir };
        for name in ["dl", "mirror", "files", "out"] {
            fs::create_dir(scene.at(name)).unwrap();
        }
        let mirror = scene.at("mirror");
        scene.set("DL_DIR", &scene.at("dl"));
        scene.set("FILESPATH", &format!("{}:{}", scene.at("nowhere"), scene.at("files")));
        scene.set("PREMIRRORS", &format!("git://.*/.* file://{mirror} \\n https?://.*/.* file://{mirror}"));
        scene.set("BB_NO_NETWORK", "1");
        scene.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        scene
    }
    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }
    fn set(&self, name: &str, value: &str) {
        self.d.set_var(name, value, &SetInfo::default()).unwrap();
    }
    fn cx(&self) -> Cx<'_> {
        Cx::new(&self.d, &Native)
    }
    fn fetch(&self, url: &str) -> Result<UrlData> {
        let mut ud = UrlData::new(url, &self.cx(), false)?;
        fetcher::download([(url, &mut ud)], &self.cx())?;
        Ok(ud)
    }
    fn unpacked(&self, url: &str) -> Result<UrlData> {
        let mut ud = self.fetch(url)?;
        fetcher::unpack(&mut ud, &self.at("out"), false, &self.cx())?;
        Ok(ud)
    }
}

const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

#[test]
fn mirror_gives_a_link_and_a_stamp() {
    let s = Scene::new();
    fs::write(s.at("mirror/x.txt"), "hello\n").unwrap();
    let ud = s.fetch(&format!("https://h.example/a/x.txt;sha256sum={HELLO}")).unwrap();
    assert_eq!(fs::read_link(s.at("dl/x.txt")).unwrap(), Path::new(&s.at("mirror/x.txt")));
    let sums = pickle::load(&fs::read(s.at("dl/x.txt.done")).unwrap()).unwrap();
    assert_eq!(sums["sha256"], HELLO);
    assert!(!Path::new(&s.at("dl/x.txt.lock")).exists());
    assert!(checksum::verify_donestamp(&ud, &s.cx(), None).unwrap());
    let mut ud = ud;
    fetcher::clean(&mut ud, &s.cx()).unwrap();
    assert!(!Path::new(&s.at("dl/x.txt.done")).exists() && Path::new(&s.at("mirror/x.txt")).exists());
}

#[test]
fn without_network_or_mirror() {
    let s = Scene::new();
    let error = s.fetch("https://h.example/a/gone.txt;sha256sum=0").unwrap_err();
    assert!(matches!(&error, FetchError::NetworkAccess { url, .. } if url.contains("gone.txt")), "{error}");
}

#[test]
fn wrong_checksum_is_set_aside() {
    let s = Scene::new();
    fs::write(s.at("mirror/x.txt"), "hello\n").unwrap();
    assert!(s.fetch("https://h.example/x.txt;sha256sum=0").is_err());
    assert!(fs::symlink_metadata(s.at(&format!("dl/x.txt_bad-checksum_{HELLO}"))).is_ok());
    assert!(!Path::new(&s.at("dl/x.txt.done")).exists());
}

#[test]
fn strict_checksums() {
    let s = Scene::new();
    fs::write(s.at("mirror/x.txt"), "hello\n").unwrap();
    s.set("BB_STRICT_CHECKSUM", "1");
    assert_eq!(s.fetch("https://h.example/x.txt").unwrap_err().to_string(), "There was some missing checksums in the recipe");
}

#[test]
fn local_files() {
    let s = Scene::new();
    fs::create_dir_all(s.at("files/d/e")).unwrap();
    fs::write(s.at("files/d/e/f.txt"), "x").unwrap();
    fs::write(s.at("files/a.patch"), "hello\n").unwrap();
    s.set("SRC_URI", "file://a.patch file://d http://h.example/x");
    s.unpacked("file://a.patch").unwrap();
    s.unpacked("file://d/e/f.txt").unwrap();
    assert!(Path::new(&s.at("out/a.patch")).exists() && Path::new(&s.at("out/d/e/f.txt")).exists());
    let list = localfile::checksum_file_list(&s.cx()).unwrap();
    let (gone, files) = (s.at("nowhere"), s.at("files"));
    assert_eq!(list, format!("{gone}/a.patch:False {files}/a.patch:True {gone}/d:False {files}/d:True"));
    let sums = localfile::file_checksums(&list, "pn", &[], &s.cx()).unwrap();
    let paths: Vec<&str> = sums.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(paths, [format!("{files}/d/./e/f.txt"), format!("{files}/a.patch")]);
    s.set("SRC_URI", "file://none");
    assert!(matches!(localfile::checksum_file_list(&s.cx()), Err(FetchError::Fatal(_))));
}

#[test]
fn archives() {
    let s = Scene::new();
    fs::create_dir(s.at("files/top")).unwrap();
    fs::write(s.at("files/top/in"), "x").unwrap();
    let made = Command::new("tar").args(["czf", "a.tar.gz", "top"]).current_dir(s.at("files")).status().unwrap();
    assert!(made.success());
    s.unpacked("file://a.tar.gz;subdir=sub;striplevel=1").unwrap();
    assert!(Path::new(&s.at("out/sub/in")).exists());
    s.unpacked("file://a.tar.gz;unpack=0").unwrap();
    assert!(Path::new(&s.at("out/a.tar.gz")).exists());
    assert!(matches!(s.unpacked("file://a.tar.gz;striplevel=x"), Err(FetchError::Unpack { .. })));
    assert!(matches!(s.unpacked("file://a.tar.gz;unpack=maybe"), Err(FetchError::Fatal(_))));
}

#[test]
fn git_and_its_archive() {
    let s = Scene::new();
    let repo = s.at("repo");
    let script = "git init -q -b main repo && cd repo && echo 1 > a && git add a && \
        git -c user.name=n -c user.email=e commit -qm one && git rev-parse HEAD";
    let out = Command::new("sh").args(["-c", script]).current_dir(s.dir.path()).output().unwrap();
    if !out.status.success() {
        return;
    }
    let revision = String::from_utf8(out.stdout).unwrap().trim().to_owned();
    s.set("BB_GENERATE_MIRROR_TARBALLS", "1");
    let url = format!("git://{repo};protocol=file;branch=main;rev={revision}");
    let ud = s.unpacked(&url).unwrap();
    assert_eq!(fs::read_to_string(s.at("out/git/a")).unwrap(), "1\n");
    let archive = s.at(&format!("dl/{}", ud.mirrortarballs[0]));
    assert!(Path::new(&archive).exists());
    // Another machine, only the archive on its mirror.
    let other = Scene::new();
    fs::copy(&archive, other.at(&format!("mirror/{}", ud.mirrortarballs[0]))).unwrap();
    fs::remove_dir_all(&repo).unwrap();
    other.unpacked(&url).unwrap();
    assert!(Path::new(&other.at("out/git/a")).exists());
    s.set("SRC_URI", &url);
    assert_eq!(srcrev::hash_value(&s.cx(), "sortable_revision").unwrap(), revision);
    assert_eq!(srcrev::srcrev(&s.cx(), "sortable_revision").unwrap(), format!("AUTOINC+{}", &revision[..10]));
    s.set("SRC_URI", "http://h.example/x");
    assert!(srcrev::srcrev(&s.cx(), "sortable_revision").is_err());
}
