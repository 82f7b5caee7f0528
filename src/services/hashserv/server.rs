//! The hash equivalence server: one process, one thread, asynchronous I/O; never forks.
//!
//! A build starts it as a child of its own (`BB_HASHSERVE = "auto"`) and ends it with SIGTERM.
//! Requests are answered one after another, so a signal never interrupts one.

use super::client::Client;
use super::db::{Database, Sync, User, timestamp};
use super::wire::{Address, chomp, frame, opens_chunks, parse_address, socket_path};
use super::is_valid_unihash;
use serde_json::{Map, Value, json};
use sha2::Digest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, UnixListener};

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// `unix://PATH` or `HOST:PORT` (port 0: any free one).
    pub address: String,
    pub database: PathBuf,
    pub sync: Sync,
    /// Address of a server to ask for what we do not know.
    pub upstream: Option<String>,
    pub read_only: bool,
    /// What clients may do without a login, of `@none @read @report @db-admin`; None: all of them.
    pub anon_perms: Option<Vec<String>>,
    /// An account to make, with all permissions.
    pub admin: Option<(String, String)>,
    /// Written to once clients can connect: the address, as text, and a newline.
    pub ready: Option<std::os::fd::RawFd>,
}

impl ServeOptions {
    /// What a build asks for: everybody may do everything but manage users.
    pub fn new(address: impl Into<String>, database: impl Into<PathBuf>) -> Self {
        ServeOptions {
            address: address.into(),
            database: database.into(),
            sync: Sync::Off,
            upstream: None,
            read_only: false,
            anon_perms: None,
            admin: None,
            ready: None,
        }
    }
}

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0}")]
    Options(String),
    #[error("cannot open the hash equivalence database {path}: {error}")]
    Database { path: PathBuf, error: rusqlite::Error },
    #[error("hash equivalence server cannot listen on {address}: {error}")]
    Listen { address: String, error: std::io::Error },
    #[error("hash equivalence server: {0}")]
    Io(#[from] std::io::Error),
}

const READ: &str = "@read";
const REPORT: &str = "@report";
const DB_ADMIN: &str = "@db-admin";
const USER_ADMIN: &str = "@user-admin";
const ALL: &str = "@all";
const NONE: &str = "@none";
const EVERY_PERMISSION: [&str; 5] = [ALL, DB_ADMIN, READ, REPORT, USER_ADMIN];

/// Why a request got no answer.
enum Failure {
    /// Told to the client, which is then disconnected.
    Invoke(String),
    /// The client broke the protocol or something of ours failed: disconnect, and log.
    Broken(String),
}
type Answer = Result<Value, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(e: rusqlite::Error) -> Self {
        Failure::Broken(format!("database: {e}"))
    }
}
impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Failure::Broken(e.to_string())
    }
}

/// Times of requests, in seconds.
#[derive(Default, Clone)]
struct Stats {
    num: u64,
    total: f64,
    max: f64,
    mean: f64,
    /// Sum of squared distances from the mean, kept up to date as samples come (Welford).
    spread: f64,
}

impl Stats {
    fn add(&mut self, elapsed: f64) {
        self.num += 1;
        let before = elapsed - self.mean;
        self.mean += before / self.num as f64;
        self.spread += before * (elapsed - self.mean);
        self.total += elapsed;
        self.max = self.max.max(elapsed);
    }
    fn json(&self) -> Value {
        let n = self.num as f64;
        json!({
            "num": self.num, "total_time": self.total, "max_time": self.max,
            "average": if self.num == 0 { 0.0 } else { self.total / n },
            "stdev": if self.num <= 1 { 0.0 } else { (self.spread / (n - 1.0)).sqrt() },
        })
    }
}

struct Server {
    db: Database,
    upstream: Option<String>,
    read_only: bool,
    anon: BTreeSet<String>,
    stats: RefCell<Stats>,
    /// Task hashes whose unihash upstream gave and that are still to be noted here.
    backfill: tokio::sync::mpsc::UnboundedSender<(String, String)>,
    backfill_pending: Cell<usize>,
    backfill_idle: tokio::sync::Notify,
    /// One token at a time: nobody can draw many quickly.
    token_turn: tokio::sync::Mutex<()>,
}

type Line = Result<Option<String>, Failure>;

struct Peer<R, W> {
    reader: BufReader<R>,
    writer: BufWriter<W>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Peer<R, W> {
    async fn line(&mut self) -> Line {
        let mut line = String::new();
        match self.reader.read_line(&mut line).await {
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with('\n') => Ok(Some(chomp(&line).to_string())),
            Ok(_) => Err(Failure::Broken(format!("Bad message {line:?}"))),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn message(&mut self) -> Result<Option<Value>, Failure> {
        let Some(line) = self.line().await? else { return Ok(None) };
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| Failure::Broken(format!("Bad message: {e}")));
        let value = parse(&line)?;
        if !opens_chunks(&value) {
            return Ok(Some(value));
        }
        let mut text = String::new();
        loop {
            match self.line().await? {
                None => return Ok(None),
                Some(l) if l.is_empty() => return parse(&text).map(Some),
                Some(l) => text.push_str(&l),
            }
        }
    }

    async fn send_line(&mut self, line: &str) -> Result<(), Failure> {
        self.writer.write_all(line.as_bytes()).await?;
        self.writer.write_all(b"\n").await?;
        // Answers to lines that are already here go out together.
        if !self.reader.buffer().contains(&b'\n') {
            self.writer.flush().await?;
        }
        Ok(())
    }

    async fn send(&mut self, value: &Value) -> Result<(), Failure> {
        self.writer.write_all(frame(&value.to_string()).as_bytes()).await?;
        Ok(self.writer.flush().await?)
    }
}

/// One client's standing.
struct Session {
    server: Rc<Server>,
    user: Option<User>,
    upstream: Option<Arc<Mutex<Client>>>,
}

fn text<'a>(request: &'a Value, key: &str) -> Result<&'a str, Failure> {
    request.get(key).and_then(Value::as_str).ok_or_else(|| Failure::Broken(format!("request without '{key}'")))
}

fn object<'a>(request: &'a Value, key: &str) -> Result<&'a Map<String, Value>, Failure> {
    request.get(key).and_then(Value::as_object).ok_or_else(|| Failure::Broken(format!("Bad condition: '{key}' is no object")))
}

fn checked_unihash(request: &Value) -> Result<&str, Failure> {
    request
        .get("unihash")
        .and_then(Value::as_str)
        .filter(|u| is_valid_unihash(u))
        .ok_or_else(|| Failure::Invoke("Invalid unihash".into()))
}

/// Stream requests: after `ok`, a line each way until END.
#[derive(Clone, Copy)]
enum Stream {
    Get,
    Exists,
    GcMark,
}

impl Session {
    fn may(&self, needed: &[&str], anonymous: bool) -> bool {
        let covers = |has: &dyn Fn(&str) -> bool| has(ALL) || needed.iter().all(|p| has(p));
        (anonymous && covers(&|p| self.server.anon.contains(p)))
            || self.user.as_ref().is_some_and(|u| covers(&|p| u.permissions.iter().any(|x| x == p)))
    }

    fn need(&self, needed: &[&str], anonymous: bool) -> Result<(), Failure> {
        if self.may(needed, anonymous) {
            return Ok(());
        }
        let who = self.user.as_ref().map_or("Anonymous user", |u| &u.username);
        Err(Failure::Invoke(format!("{who} is not allowed to access permissions(s) {}", needed.join(", "))))
    }

    /// For requests about an account: its owner may, others need the right to manage users.
    fn account<'a>(&'a self, request: &'a Value, own: bool) -> Result<String, Failure> {
        if own && let Some(user) = &self.user {
            let name = request.get("username").and_then(Value::as_str).unwrap_or(&user.username);
            if name == user.username {
                return Ok(name.to_string());
            }
        }
        self.need(&[USER_ADMIN], false)?;
        Ok(text(request, "username")?.to_string())
    }

    /// Asks the upstream server, off this thread.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Client) -> Result<T, super::ClientError> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let Some(client) = self.upstream.clone() else { return Ok(None) };
        tokio::task::spawn_blocking(move || question(&mut client.lock().unwrap_or_else(|e| e.into_inner())))
            .await
            .map_err(|e| Failure::Broken(e.to_string()))?
            .map(Some)
            .map_err(|e| Failure::Broken(format!("upstream: {e}")))
    }

    fn insert(&self, row: &Value) -> Result<(), Failure> {
        let unihash = checked_unihash(row)?;
        Ok(self.server.db.insert_unihash(text(row, "method")?, text(row, "taskhash")?, unihash)?)
    }

    /// Notes a row that upstream gave, both sides of it.
    fn take_over(&self, row: &Value) -> Result<(), Failure> {
        if let Some(data) = row.as_object() {
            self.insert(row)?;
            self.server.db.insert_outhash(data)?;
        }
        Ok(())
    }

    async fn unihash(&self, method: &str, taskhash: &str, all: bool) -> Answer {
        let db = &self.server.db;
        let row = if all { db.full_by_taskhash(method, taskhash)? } else { db.equivalent(method, taskhash)? };
        if let Some(row) = row {
            return Ok(row);
        }
        let (m, t) = (method.to_string(), taskhash.to_string());
        let Some(row) = self.ask(move |c| c.get_taskhash(&m, &t, all)).await? else { return Ok(Value::Null) };
        if all {
            self.take_over(&row)?;
        } else if !row.is_null() {
            self.insert(&row)?;
        }
        Ok(row)
    }

    async fn outhash(&self, method: &str, outhash: &str, taskhash: &str, with_unihash: bool) -> Answer {
        let db = &self.server.db;
        let row = if with_unihash { db.full_by_outhash(method, outhash)? } else { db.outhash(method, outhash)? };
        if let Some(row) = row {
            return Ok(row);
        }
        let (m, o, t) = (method.to_string(), outhash.to_string(), taskhash.to_string());
        let Some(row) = self.ask(move |c| c.get_outhash(&m, &o, &t, true)).await? else { return Ok(Value::Null) };
        self.take_over(&row)?;
        Ok(row)
    }

    async fn report(&self, data: &Value) -> Answer {
        let reported = checked_unihash(data)?;
        let (method, taskhash, outhash) = (text(data, "method")?, text(data, "taskhash")?, text(data, "outhash")?);
        let answer = |unihash: &str| json!({"taskhash": taskhash, "method": method, "unihash": unihash});
        if self.server.read_only || !self.may(&[REPORT], true) {
            let row = self.outhash(method, outhash, taskhash, true).await?;
            return Ok(answer(row.get("unihash").and_then(Value::as_str).unwrap_or(reported)));
        }
        let mut row = Map::new();
        for key in ["method", "outhash", "taskhash", "owner", "PN", "PV", "PR", "task", "outhash_siginfo"] {
            if let Some(value) = data.get(key) {
                row.insert(key.into(), value.clone());
            }
        }
        row.insert("created".into(), timestamp(0.0).into());
        if let Some(user) = &self.user {
            row.insert("owner".into(), user.username.clone().into());
        }
        let db = &self.server.db;
        db.insert_outhash(&row)?;
        // Another task with the same output lends its unihash; else the first reporter names it.
        let unihash = match db.unihash_for_outhash(method, outhash, taskhash)? {
            Some(unihash) => unihash,
            None => {
                let (m, o, t) = (method.to_string(), outhash.to_string(), taskhash.to_string());
                let above = self.ask(move |c| c.get_outhash(&m, &o, &t, true)).await?.unwrap_or(Value::Null);
                above.get("unihash").and_then(Value::as_str).unwrap_or(reported).to_string()
            }
        };
        if !is_valid_unihash(&unihash) {
            return Err(Failure::Invoke("Invalid unihash".into()));
        }
        db.insert_unihash(method, taskhash, &unihash)?;
        let now = self.unihash(method, taskhash, false).await?;
        Ok(answer(now.get("unihash").and_then(Value::as_str).unwrap_or(reported)))
    }

    fn report_equiv(&self, data: &Value) -> Answer {
        self.insert(data)?;
        let row = self.server.db.equivalent(text(data, "method")?, text(data, "taskhash")?)?;
        row.ok_or_else(|| Failure::Broken("no row after report".into()))
    }

    fn gc_mark(&self, request: &Value) -> Answer {
        Ok(json!({"count": self.server.db.gc_mark(text(request, "mark")?, object(request, "where")?)?}))
    }

    fn gc_sweep(&self, request: &Value) -> Answer {
        let mark = text(request, "mark")?;
        match self.server.db.gc_current_mark()? {
            Some(current) if !current.is_empty() && current == mark => Ok(json!({"count": self.server.db.gc_sweep()?})),
            _ => Err(Failure::Invoke(format!("'{mark}' is not the current mark. Refusing to sweep"))),
        }
    }

    async fn backfill_wait(&self) -> Answer {
        let tasks = self.server.backfill_pending.get();
        while self.server.backfill_pending.get() > 0 {
            self.server.backfill_idle.notified().await;
        }
        Ok(json!({"tasks": tasks}))
    }

    async fn answer(&mut self, command: &str, request: &Value) -> Answer {
        let server = self.server.clone();
        let read_only = server.read_only;
        let writes = [
            "report-equiv", "reset-stats", "backfill-wait", "remove", "gc-mark", "gc-sweep", "gc-status", "clean-unused",
            "refresh-token", "set-user-perms", "new-user", "delete-user",
        ];
        if read_only && writes.contains(&command) {
            return Err(Failure::Broken(format!("Unrecognized command '{command}' (read-only server)")));
        }
        match command {
            "ping" => Ok(json!({"alive": true})),
            "get" => {
                self.need(&[READ], true)?;
                let all = request.get("all").and_then(Value::as_bool).unwrap_or(false);
                self.unihash(text(request, "method")?, text(request, "taskhash")?, all).await
            }
            "get-outhash" => {
                self.need(&[READ], true)?;
                let with = request.get("with_unihash").and_then(Value::as_bool).unwrap_or(true);
                self.outhash(text(request, "method")?, text(request, "outhash")?, text(request, "taskhash")?, with).await
            }
            "report" => {
                self.need(&[READ], true)?;
                self.report(request).await
            }
            "report-equiv" => {
                self.need(&[READ, REPORT], true)?;
                self.report_equiv(request)
            }
            "get-stats" => {
                self.need(&[READ], true)?;
                Ok(json!({"requests": server.stats.borrow().json()}))
            }
            "reset-stats" => {
                self.need(&[DB_ADMIN], true)?;
                let before = server.stats.replace(Stats::default());
                Ok(json!({"requests": before.json()}))
            }
            "backfill-wait" => {
                self.need(&[READ], true)?;
                self.backfill_wait().await
            }
            "remove" => {
                self.need(&[DB_ADMIN], true)?;
                Ok(json!({"count": server.db.remove(object(request, "where")?)?}))
            }
            "gc-mark" => {
                self.need(&[DB_ADMIN], true)?;
                self.gc_mark(request)
            }
            "gc-sweep" => {
                self.need(&[DB_ADMIN], true)?;
                self.gc_sweep(request)
            }
            "gc-status" => {
                self.need(&[DB_ADMIN], true)?;
                let (keep, remove, mark) = server.db.gc_status()?;
                Ok(json!({"keep": keep, "remove": remove, "mark": mark}))
            }
            "clean-unused" => {
                self.need(&[DB_ADMIN], true)?;
                let age = request.get("max_age_seconds").and_then(Value::as_f64);
                let age = age.ok_or_else(|| Failure::Broken("request without 'max_age_seconds'".into()))?;
                // The reference adds the age to now, so that everything unused goes; its clients rely on it.
                Ok(json!({"count": server.db.clean_unused(&timestamp(-age))?}))
            }
            "get-db-usage" => {
                self.need(&[DB_ADMIN], true)?;
                let usage: Map<String, Value> =
                    server.db.usage()?.into_iter().map(|(name, rows)| (name, json!({"rows": rows}))).collect();
                Ok(json!({"usage": usage}))
            }
            "get-db-query-columns" => {
                self.need(&[DB_ADMIN], true)?;
                Ok(json!({"columns": Database::query_columns()}))
            }
            "auth" => self.auth(request).await,
            "get-user" => {
                let name = self.account(request, true)?;
                Ok(server.db.user(&name)?.map_or(Value::Null, |(user, _)| shown(&user)))
            }
            "get-all-users" => {
                self.need(&[USER_ADMIN], false)?;
                Ok(json!({"users": server.db.users()?.iter().map(shown).collect::<Vec<_>>()}))
            }
            "become-user" => {
                let name = self.account(request, false)?;
                let Some((user, _)) = server.db.user(&name)? else {
                    return Err(Failure::Invoke(format!("User {name} doesn't exist")));
                };
                let answer = shown(&user);
                self.user = Some(user);
                Ok(answer)
            }
            "refresh-token" => {
                let name = self.account(request, true)?;
                let token = self.new_token().await?;
                if !server.db.set_user_token(&name, &token_hash(&token)?)? {
                    return Err(no_user(&name));
                }
                Ok(json!({"username": name, "token": token}))
            }
            "set-user-perms" => {
                let name = self.account(request, false)?;
                let permissions = permissions_of(request)?;
                if !server.db.set_user_permissions(&name, &permissions)? {
                    return Err(no_user(&name));
                }
                Ok(shown(&User { username: name, permissions }))
            }
            "new-user" => {
                let name = self.account(request, false)?;
                let permissions = permissions_of(request)?;
                let token = self.new_token().await?;
                if !server.db.new_user(&name, &permissions, &token_hash(&token)?)? {
                    return Err(Failure::Invoke(format!("Cannot create new user '{name}'")));
                }
                let mut answer = shown(&User { username: name, permissions });
                answer["token"] = token.into();
                Ok(answer)
            }
            "delete-user" => {
                let name = self.account(request, true)?;
                if !server.db.delete_user(&name)? {
                    return Err(no_user(&name));
                }
                Ok(json!({"username": name}))
            }
            other => Err(Failure::Broken(format!("Unrecognized command '{other}'"))),
        }
    }

    async fn auth(&mut self, request: &Value) -> Answer {
        let name = text(request, "username")?;
        let known = self.server.db.user(name)?;
        if let Some((user, stored)) = known {
            let salt = stored.split(':').nth(1).unwrap_or("");
            if stored.starts_with("sha256:") && salted_hash(salt, text(request, "token")?) == stored {
                let mut answer = shown(&user);
                answer["result"] = true.into();
                answer["permissions"] = sorted(&user.permissions).into();
                self.user = Some(user);
                return Ok(answer);
            }
        }
        // A wrong guess costs time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(Failure::Invoke(format!("Unable to authenticate as {name}")))
    }

    async fn new_token(&self) -> Result<String, Failure> {
        let _turn = self.server.token_turn.lock().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(base64(&random::<48>()?))
    }

    async fn stream_line(&self, stream: Stream, line: &str) -> Result<String, Failure> {
        let db = &self.server.db;
        match stream {
            Stream::Get => {
                let mut words = line.split_whitespace();
                let (Some(method), Some(taskhash), None) = (words.next(), words.next(), words.next()) else {
                    return Err(Failure::Broken(format!("Bad get-stream line '{line}'")));
                };
                if let Some(unihash) = db.unihash(method, taskhash)? {
                    return Ok(unihash);
                }
                let (m, t) = (method.to_string(), taskhash.to_string());
                let above = self.ask(move |c| c.get_unihash(&m, &t)).await?.flatten();
                if above.is_some() {
                    self.server.backfill_pending.set(self.server.backfill_pending.get() + 1);
                    let _ = self.server.backfill.send((method.to_string(), taskhash.to_string()));
                }
                Ok(above.unwrap_or_default())
            }
            Stream::Exists => {
                let mut found = db.unihash_exists(line)?;
                if !found {
                    let unihash = line.to_string();
                    found = self.ask(move |c| c.unihash_exists(&unihash)).await?.unwrap_or(false);
                }
                Ok(if found { "true" } else { "false" }.into())
            }
            Stream::GcMark => {
                let request: Value = serde_json::from_str(line)
                    .map_err(|_| Failure::Invoke(format!("Could not decode JSONL input '{line}'")))?;
                for key in ["mark", "where"] {
                    if request.get(key).is_none() {
                        return Err(Failure::Invoke(format!("Input line is missing key '{key}' ")));
                    }
                }
                Ok(self.gc_mark(&request)?.to_string())
            }
        }
    }

    /// Lines until END or an empty one. Ends with `ok`; an error ends the connection.
    async fn stream<R, W>(&self, peer: &mut Peer<R, W>, stream: Stream) -> Result<(), Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        peer.send(&"ok".into()).await?;
        while let Some(line) = peer.line().await? {
            if line.is_empty() || line == "END" {
                break;
            }
            let start = std::time::Instant::now();
            let answer = self.stream_line(stream, &line).await?;
            self.server.stats.borrow_mut().add(start.elapsed().as_secs_f64());
            peer.send_line(&answer).await?;
        }
        peer.send_line("ok").await?;
        Ok(peer.writer.flush().await?)
    }

    async fn requests<R, W>(&mut self, peer: &mut Peer<R, W>) -> Result<(), Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let Some(first) = peer.line().await? else { return Ok(()) };
        let version = first.strip_prefix("OEHASHEQUIV ").map(str::trim);
        if version != Some("1.1") {
            return Ok(()); // another protocol, or a version of it that neither side speaks
        }
        let mut wants_headers = false;
        loop {
            let Some(line) = peer.line().await? else { return Ok(()) };
            if line.is_empty() {
                break;
            }
            let (tag, value) = line.split_once(':').ok_or_else(|| Failure::Broken(format!("Bad header '{line}'")))?;
            wants_headers |= tag.eq_ignore_ascii_case("needs-headers") && value.trim() == "true";
        }
        if wants_headers {
            peer.send_line("").await?;
        }
        while let Some(message) = peer.message().await? {
            let Some(message) = message.as_object().filter(|m| !m.is_empty()) else {
                if message.is_null() {
                    return Ok(());
                }
                return Err(Failure::Broken(format!("Unrecognized command {message}")));
            };
            let (command, request) = message.iter().next().expect("not empty");
            let stream = match command.as_str() {
                "get-stream" => Some((Stream::Get, READ)),
                "exists-stream" => Some((Stream::Exists, READ)),
                "gc-mark-stream" if !self.server.read_only => Some((Stream::GcMark, DB_ADMIN)),
                _ => None,
            };
            if let Some((stream, needed)) = stream {
                self.need(&[needed], true)?;
                self.stream(peer, stream).await?;
                continue;
            }
            let start = std::time::Instant::now();
            let answer = self.answer(command, request).await;
            self.server.stats.borrow_mut().add(start.elapsed().as_secs_f64());
            peer.send(&answer?).await?;
        }
        Ok(())
    }
}

/// A permission list as users see it: `@all` stands for every one.
fn shown(user: &User) -> Value {
    let permissions = if user.permissions.iter().any(|p| p == ALL) {
        EVERY_PERMISSION.iter().map(|p| p.to_string()).collect()
    } else {
        sorted(&user.permissions)
    };
    json!({"username": user.username, "permissions": permissions})
}

fn sorted(permissions: &[String]) -> Vec<String> {
    permissions.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn permissions_of(request: &Value) -> Result<Vec<String>, Failure> {
    let bad = || Failure::Invoke("Unexpected type for permissions".into());
    let list = request.get("permissions").and_then(Value::as_array).ok_or_else(bad)?;
    let mut wanted = BTreeSet::new();
    for item in list {
        wanted.insert(item.as_str().ok_or_else(bad)?.to_string());
    }
    wanted.remove(NONE);
    let unknown: Vec<&str> = wanted.iter().map(String::as_str).filter(|p| !EVERY_PERMISSION.contains(p)).collect();
    if !unknown.is_empty() {
        return Err(Failure::Invoke(format!("Unknown permissions {}", unknown.join(", "))));
    }
    Ok(wanted.into_iter().collect())
}

fn no_user(name: &str) -> Failure {
    Failure::Invoke(format!("No user named '{name}' exists"))
}

fn salted_hash(salt: &str, token: &str) -> String {
    let digest = sha2::Sha256::new().chain_update(salt).chain_update(token).finalize();
    format!("sha256:{salt}:{}", hex::encode(digest))
}

fn token_hash(token: &str) -> std::io::Result<String> {
    Ok(salted_hash(&hex::encode(random::<8>()?), token))
}

fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// Base 64 of a multiple of three bytes, with `.` and `_` as the last two digits.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    let digit = |n: u32| DIGITS[(n & 63) as usize] as char;
    bytes
        .chunks_exact(3)
        .flat_map(|c| {
            let n = u32::from_be_bytes([0, c[0], c[1], c[2]]);
            [digit(n >> 18), digit(n >> 12), digit(n >> 6), digit(n)]
        })
        .collect()
}

async fn client<S: AsyncRead + AsyncWrite + Unpin>(server: Rc<Server>, stream: S) {
    let (reader, writer) = tokio::io::split(stream);
    let mut peer = Peer { reader: BufReader::with_capacity(64 * 1024, reader), writer: BufWriter::with_capacity(64 * 1024, writer) };
    let upstream = match server.upstream.as_deref().map(Client::connect).transpose() {
        Ok(client) => client.map(|c| Arc::new(Mutex::new(c))),
        Err(e) => return eprintln!("hashserv: upstream: {e}"),
    };
    let mut session = Session { server, user: None, upstream };
    match session.requests(&mut peer).await {
        Ok(()) => {}
        Err(Failure::Invoke(message)) => {
            let _ = peer.send(&json!({"invoke-error": {"message": message}})).await;
        }
        // A client that leaves is no news for the user whose terminal this would land on.
        Err(Failure::Broken(message)) => tracing::debug!("hashserv: error from client: {message}"),
    }
    let _ = peer.writer.shutdown().await;
}

async fn backfill(server: Rc<Server>, mut queue: tokio::sync::mpsc::UnboundedReceiver<(String, String)>) {
    let session = Session {
        upstream: server.upstream.as_deref().and_then(|u| Client::connect(u).ok()).map(|c| Arc::new(Mutex::new(c))),
        server,
        user: None,
    };
    while let Some((method, taskhash)) = queue.recv().await {
        let row = session.ask(move |c| c.get_taskhash(&method, &taskhash, false)).await;
        let done = match row {
            Ok(Some(row)) if !row.is_null() => session.insert(&row),
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(Failure::Invoke(m) | Failure::Broken(m)) = done {
            eprintln!("hashserv: upstream: {m}");
        }
        session.server.backfill_pending.set(session.server.backfill_pending.get() - 1);
        session.server.backfill_idle.notify_waiters();
    }
}

enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

fn listen(address: &Address) -> std::io::Result<(Listener, String)> {
    match address {
        Address::Unix(path) => {
            let path = std::path::absolute(path)?;
            let (short, _dir) = socket_path(&path)?;
            // Left over by a server that was killed; the build directory's lock says nobody uses it.
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let listener = UnixListener::bind(short)?;
            let text = format!("unix://{}", path.display());
            Ok((Listener::Unix(listener, path), text))
        }
        Address::Tcp(host, port) => {
            let listener = std::net::TcpListener::bind((host.as_str(), *port))?;
            listener.set_nonblocking(true)?;
            let local = listener.local_addr()?;
            Ok((Listener::Tcp(TcpListener::from_std(listener)?), local.to_string()))
        }
    }
}

/// Serves until SIGTERM, SIGINT or SIGQUIT; then removes the socket and closes the database.
///
/// # Errors
/// Options that contradict each other, a database that does not open, an address in use.
pub fn serve(options: &ServeOptions) -> Result<(), ServeError> {
    let address = parse_address(&options.address).map_err(ServeError::Options)?;
    if options.upstream.is_some() && options.read_only {
        return Err(ServeError::Options("Read-only hashserv cannot pull from an upstream server".into()));
    }
    if let Some(upstream) = &options.upstream {
        parse_address(upstream).map_err(ServeError::Options)?;
    }
    let anon: BTreeSet<String> = match &options.anon_perms {
        Some(list) => list.iter().cloned().collect(),
        None => [READ, REPORT, DB_ADMIN].map(String::from).into(),
    };
    let bad: Vec<&str> = anon.iter().map(String::as_str).filter(|p| ![NONE, READ, REPORT, DB_ADMIN].contains(p)).collect();
    if !bad.is_empty() {
        return Err(ServeError::Options(format!("Permission(s) {} are not allowed for anonymous users", bad.join(" "))));
    }
    let broken = |error| ServeError::Database { path: options.database.clone(), error };
    let db = Database::open(&options.database, options.sync).map_err(broken)?;
    if let Some((name, password)) = &options.admin {
        let (permissions, token) = ([ALL.to_string()], token_hash(password)?);
        if !db.new_user(name, &permissions, &token).map_err(broken)? {
            db.set_user_permissions(name, &permissions).map_err(broken)?;
            db.set_user_token(name, &token).map_err(broken)?;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, queue) = tokio::sync::mpsc::unbounded_channel();
    let server = Rc::new(Server {
        db,
        upstream: options.upstream.clone(),
        read_only: options.read_only,
        anon,
        stats: RefCell::default(),
        backfill: sender,
        backfill_pending: Cell::new(0),
        backfill_idle: tokio::sync::Notify::new(),
        token_turn: tokio::sync::Mutex::new(()),
    });
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let (listener, name) =
            listen(&address).map_err(|error| ServeError::Listen { address: options.address.clone(), error })?;
        if let Some(fd) = options.ready {
            use std::os::fd::FromRawFd;
            // SAFETY: the option hands the descriptor over to us.
            let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
            let _ = std::io::Write::write_all(&mut file, format!("{name}\n").as_bytes());
        }
        if server.upstream.is_some() {
            tokio::task::spawn_local(backfill(server.clone(), queue));
        }
        loop {
            let accepted: std::io::Result<()> = tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = quit.recv() => break,
                accepted = accept(&listener, &server) => accepted,
            };
            if accepted.is_err() {
                // Out of descriptors, most likely: let clients go before the next try.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if let Listener::Unix(_, path) = &listener {
            let _ = std::fs::remove_file(path);
        }
        Ok::<(), ServeError>(())
    });
    drop(local); // ends the clients' tasks, and with them all but one handle on the database
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop(server);
    result
}

async fn accept(listener: &Listener, server: &Rc<Server>) -> std::io::Result<()> {
    match listener {
        Listener::Unix(l, _) => {
            let (stream, _) = l.accept().await?;
            tokio::task::spawn_local(client(server.clone(), stream));
        }
        Listener::Tcp(l) => {
            let (stream, _) = l.accept().await?;
            stream.set_nodelay(true)?;
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::KeepAlive, &true)?;
            tokio::task::spawn_local(client(server.clone(), stream));
        }
    }
    Ok(())
}

/// What the multi-call binary runs as `internal-hashserv ADDRESS DATABASE [UPSTREAM] [READY_FD]`:
/// serves for the build that started it, and ends with it. Gives the process's exit code.
///
/// `address` may also be a plain path of the socket.
pub fn run_child(address: &str, database: &Path, upstream: Option<&str>, ready: Option<std::os::fd::RawFd>) -> i32 {
    // SAFETY: plain system calls. A build that is killed takes its server with it.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        // A terminal's Ctrl-C is for the build, which tells us when to go.
        libc::setsid();
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    let address = if address.contains(':') { address.to_string() } else { format!("unix://{address}") };
    let mut options = ServeOptions::new(address, database);
    options.upstream = upstream.filter(|u| !u.is_empty()).map(String::from);
    options.ready = ready;
    match serve(&options) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("ERROR: {e}");
            1
        }
    }
}
