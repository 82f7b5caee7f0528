//! Client and server together.

use super::*;
use serde_json::{Map, json};
use std::path::Path;

/// A server in a process of its own, as builds have it: this test program again. A fork would not
/// do: other tests' threads may hold SQLite's locks at that moment.
struct Running(std::process::Child);

impl Running {
    fn start(options: &ServeOptions) -> (Running, String) {
        use std::io::{BufRead, BufReader};
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "hashserv::tests::server_process", "--ignored", "--nocapture"]);
        command.env("TEST_ADDRESS", &options.address).env("TEST_DATABASE", &options.database);
        if let Some(upstream) = &options.upstream {
            command.env("TEST_UPSTREAM", upstream);
        }
        if let Some(permissions) = &options.anon_perms {
            command.env("TEST_ANON_PERMS", permissions.join(" "));
        }
        if let Some((name, password)) = &options.admin {
            command.env("TEST_ADMIN", format!("{name} {password}"));
        }
        let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        (Running(child), line.trim().to_string())
    }

    /// The exit status after SIGTERM; -1 when a signal ended it.
    fn stop(mut self) -> i32 {
        // SAFETY: a signal to our own child, which has not been waited for.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

#[test]
#[ignore = "the server of the other tests"]
fn server_process() {
    let Ok(address) = std::env::var("TEST_ADDRESS") else { return };
    let mut options = ServeOptions::new(address, std::env::var("TEST_DATABASE").unwrap());
    options.upstream = std::env::var("TEST_UPSTREAM").ok();
    options.anon_perms = std::env::var("TEST_ANON_PERMS").ok().map(|p| p.split_whitespace().map(str::to_string).collect());
    options.admin = std::env::var("TEST_ADMIN").ok().and_then(|a| a.split_once(' ').map(|(n, p)| (n.into(), p.into())));
    options.ready = Some(2);
    let code = match serve(&options) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    };
    std::process::exit(code)
}

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[test]
fn a_build_reports_and_asks() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("hashserv.db");
    let socket = dir.path().join("hashserve.sock");
    let (server, address) = Running::start(&ServeOptions::new(format!("unix://{}", socket.display()), &db));
    assert_eq!(address, format!("unix://{}", socket.display()));
    let mut client = Client::connect(&address).unwrap();
    client.open().unwrap();
    assert_eq!(client.invoke("ping", json!({})).unwrap(), json!({"alive": true}));
    assert_eq!(client.get_unihash("m", &hash('1')).unwrap(), None);
    let none = Map::new();
    let first = client.report_unihash(&hash('1'), "m", "out", &hash('1'), &none).unwrap();
    assert_eq!(first["unihash"], hash('1'));
    // The same output from another task: it gets the first one's unihash.
    let second = client.report_unihash(&hash('2'), "m", "out", &hash('2'), &none).unwrap();
    assert_eq!(second, json!({"taskhash": hash('2'), "method": "m", "unihash": hash('1')}));
    let queries: Vec<(&str, String)> = (0..1000).map(|i| ("m", hash(if i % 2 == 0 { '2' } else { '3' }))).collect();
    let answers = client.get_unihash_batch(&queries).unwrap();
    assert!(answers.iter().enumerate().all(|(i, a)| a.as_deref() == (i % 2 == 0).then_some(hash('1').as_str())));
    assert_eq!(client.unihash_exists_batch(&[hash('1'), hash('2')]).unwrap(), [true, false]);
    let equiv = client.report_unihash_equiv(&hash('4'), "m", &hash('1'), &none).unwrap();
    assert_eq!(equiv["unihash"], hash('1'));
    let all = client.get_taskhash("m", &hash('1'), true).unwrap();
    assert_eq!(all["outhash"], "out");
    assert!(client.get_taskhash("m", &hash('9'), false).unwrap().is_null());
    let refused = client.report_unihash(&hash('5'), "m", "out", "short", &none);
    assert!(matches!(refused, Err(ClientError::Invoke(m)) if m == "Invalid unihash"));
    // A long text goes in chunks, both ways.
    let mut extra = Map::new();
    extra.insert("outhash_siginfo".into(), "ü siginfo ".repeat(20_000).into());
    client.report_unihash(&hash('6'), "m", "long", &hash('6'), &extra).unwrap();
    let back = client.get_outhash("m", "long", &hash('6'), true).unwrap();
    assert_eq!(back["outhash_siginfo"], extra["outhash_siginfo"]);
    let stats = client.invoke("get-stats", json!(null)).unwrap();
    assert!(stats["requests"]["num"].as_u64().unwrap() > 1000);
    assert_eq!(client.invoke("remove", json!({"where": {"taskhash": hash('6')}})).unwrap(), json!({"count": 2}));
    assert_eq!(server.stop(), 0);
    assert!(!socket.exists() && !dir.path().join("hashserv.db-wal").exists());
    let db = Database::open(&db, Sync::Off).unwrap();
    assert_eq!(db.unihash("m", &hash('2')).unwrap(), Some(hash('1')));
}

#[test]
fn upstream_is_asked_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = |name: &str| ServeOptions::new("127.0.0.1:0", dir.path().join(name));
    let (above, address) = Running::start(&tcp("above.db"));
    let mut client = Client::connect(&address).unwrap();
    client.report_unihash(&hash('a'), "m", "out", &hash('b'), &Map::new()).unwrap();
    let mut options = tcp("here.db");
    options.upstream = Some(address);
    let (here, address) = Running::start(&options);
    let mut client = Client::connect(&address).unwrap();
    assert_eq!(client.get_unihash("m", &hash('a')).unwrap(), Some(hash('b')));
    client.invoke("backfill-wait", json!(null)).unwrap();
    assert_eq!(above.stop(), 0);
    assert_eq!(client.get_unihash("m", &hash('a')).unwrap(), Some(hash('b')));
    assert_eq!(here.stop(), 0);
}

#[test]
fn users_have_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new("127.0.0.1:0", dir.path().join("users.db"));
    options.anon_perms = Some(vec!["@read".into()]);
    options.admin = Some(("admin".into(), "secret".into()));
    let (server, address) = Running::start(&options);
    let mut anybody = Client::connect(&address).unwrap();
    // Without the right to report one is told what is known.
    let answer = anybody.report_unihash(&hash('a'), "m", "out", &hash('a'), &Map::new()).unwrap();
    assert_eq!(answer["unihash"], hash('a'));
    assert_eq!(anybody.get_unihash("m", &hash('a')).unwrap(), None);
    let refused = anybody.invoke("get-db-usage", json!({}));
    assert!(matches!(refused, Err(ClientError::Invoke(m)) if m == "Anonymous user is not allowed to access permissions(s) @db-admin"));
    let mut admin = Client::with_login(&address, Some("admin"), Some("secret")).unwrap();
    let user = admin.invoke("new-user", json!({"username": "u", "permissions": ["@report", "@read"]})).unwrap();
    assert_eq!(user["permissions"], json!(["@read", "@report"]));
    let mut client = Client::with_login(&address, Some("u"), user["token"].as_str()).unwrap();
    client.report_unihash(&hash('a'), "m", "out", &hash('a'), &Map::new()).unwrap();
    assert_eq!(client.get_taskhash("m", &hash('a'), true).unwrap()["owner"], "u");
    assert!(matches!(admin.auth("admin", "wrong"), Err(ClientError::Invoke(_))));
    assert_eq!(server.stop(), 0);
}

#[test]
fn nobody_there() {
    let mut client = Client::connect("unix:///nonexistent/hashserve.sock").unwrap();
    assert!(matches!(client.open(), Err(ClientError::Connect(e)) if e.kind() == std::io::ErrorKind::NotFound));
    assert!(matches!(client.get_unihash("m", "t"), Err(ClientError::Connection(_))));
    let options = ServeOptions::new("ws://localhost:1", Path::new("x"));
    assert!(matches!(serve(&options), Err(ServeError::Options(_))));
}
