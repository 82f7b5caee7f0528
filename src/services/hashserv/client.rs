//! A blocking client in one thread, for processes that fork.
//!
//! A connection belongs to the process that made it: after a fork the child makes its own.

use super::wire::{Address, chomp, frame, opens_chunks, parse_address, socket_path};
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often to connect again when a connection breaks.
const RETRIES: usize = 3;
/// Lines of a batch on their way at once; what they and their answers take fits socket buffers.
const WINDOW: usize = 256;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke and came not back.
    #[error("{0}")]
    Connection(String),
    /// The first connection failed; the reason as the system gives it.
    #[error("{0}")]
    Connect(io::Error),
    /// The server's own words.
    #[error("{0}")]
    Invoke(String),
    /// An address that is none.
    #[error("{0}")]
    Address(String),
}
type Result<T> = std::result::Result<T, ClientError>;

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(s) => (&mut &*s).read(buffer),
            Socket::Tcp(s) => (&mut &*s).read(buffer),
        }
    }
}
impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}
impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(s) => s.write(buffer),
            Socket::Tcp(s) => s.write(buffer),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Normal,
    Get,
    Exists,
    GcMark,
}

impl Mode {
    fn command(self) -> &'static str {
        match self {
            Mode::Normal => "",
            Mode::Get => "get-stream",
            Mode::Exists => "exists-stream",
            Mode::GcMark => "gc-mark-stream",
        }
    }
}

struct Connection {
    socket: BufReader<Socket>,
    mode: Mode,
    /// Process that made it.
    pid: u32,
}

static BEFORE_CONNECTING: OnceLock<fn()> = OnceLock::new();

/// Has `f` called before each connection that this process makes: the server may have to be started first.
pub fn set_before_connecting(f: fn()) {
    let _ = BEFORE_CONNECTING.set(f);
}

/// A connection to a server, made when first needed and again when it breaks.
pub struct Client {
    address: Address,
    login: Option<(String, String)>,
    become_user: Option<String>,
    connection: Option<Connection>,
}

impl Connection {
    fn open(address: &Address) -> io::Result<Connection> {
        if let Some(before) = BEFORE_CONNECTING.get() {
            before();
        }
        let socket = match address {
            Address::Unix(path) => {
                let (short, _dir) = socket_path(path)?;
                let socket = UnixStream::connect(short)?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                Socket::Unix(socket)
            }
            Address::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port))?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                socket.set_nodelay(true)?;
                Socket::Tcp(socket)
            }
        };
        let mut connection = Connection { socket: BufReader::new(socket), mode: Mode::Normal, pid: std::process::id() };
        connection.send("OEHASHEQUIV 1.1\nneeds-headers: false\n\n")?;
        Ok(connection)
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.socket.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.socket.read_line(&mut line) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Connection closed")),
            Ok(_) if line.ends_with('\n') => {
                line.truncate(chomp(&line).len());
                Ok(line)
            }
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("Bad message {line:?}"))),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "Timed out waiting for data"))
            }
            Err(e) => Err(e),
        }
    }

    fn message(&mut self) -> io::Result<Value> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
        let value: Value = parse(&self.line()?)?;
        if !opens_chunks(&value) {
            return Ok(value);
        }
        let mut text = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return parse(&text);
            }
            text.push_str(&line);
        }
    }

    fn exchange(&mut self, request: &Value) -> io::Result<Value> {
        self.send(&frame(&request.to_string()))?;
        self.message()
    }
}

fn invoke_error(answer: &Value) -> Option<ClientError> {
    let message = answer.get("invoke-error")?.get("message")?;
    Some(ClientError::Invoke(message.as_str().unwrap_or("").to_string()))
}

impl Client {
    /// A client for `address`; connects when first asked something.
    pub fn connect(address: &str) -> Result<Client> {
        Client::with_login(address, None, None)
    }

    /// A client that logs in with what `new-user` or `refresh-token` gave.
    pub fn with_login(address: &str, username: Option<&str>, password: Option<&str>) -> Result<Client> {
        let address = parse_address(address).map_err(ClientError::Address)?;
        let login = username.zip(password).map(|(u, p)| (u.to_string(), p.to_string()));
        Ok(Client { address, login, become_user: None, connection: None })
    }

    /// Connects now, without a second try: tells a server that is not there at once.
    pub fn open(&mut self) -> Result<()> {
        if self.current().is_none() {
            let connection = Connection::open(&self.address).map_err(ClientError::Connect)?;
            self.connection = Some(connection);
            self.log_in()?;
        }
        Ok(())
    }

    /// Ends the connection; the next request makes a new one.
    pub fn close(&mut self) {
        self.connection = None;
    }

    fn current(&mut self) -> Option<&mut Connection> {
        if self.connection.as_ref().is_some_and(|c| c.pid != std::process::id()) {
            self.connection = None; // our parent's; closing our end of it does not disturb it
        }
        self.connection.as_mut()
    }

    fn log_in(&mut self) -> Result<()> {
        let Some((username, token)) = self.login.clone() else { return Ok(()) };
        let mut requests = vec![json!({"auth": {"username": username, "token": token}})];
        if let Some(name) = &self.become_user {
            requests.push(json!({"become-user": {"username": name}}));
        }
        for request in requests {
            let Some(connection) = self.current() else { return Ok(()) };
            let answer = connection.exchange(&request).map_err(|e| ClientError::Connection(e.to_string()))?;
            if let Some(error) = invoke_error(&answer) {
                self.connection = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs `step` on a connection, again on a new one if it breaks.
    fn retry<T>(&mut self, mut step: impl FnMut(&mut Connection) -> io::Result<Result<T>>) -> Result<T> {
        let mut tries = 0;
        loop {
            let done = (|| {
                if self.current().is_none() {
                    self.connection = Some(Connection::open(&self.address)?);
                    if let Err(e) = self.log_in() {
                        return Ok(Err(e));
                    }
                }
                step(self.connection.as_mut().expect("just made"))
            })();
            match done {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => {
                    self.connection = None; // the server hangs up after it refused something
                    return Err(error);
                }
                Err(e) => {
                    self.connection = None;
                    tries += 1;
                    if tries > RETRIES {
                        return Err(ClientError::Connection(e.to_string()));
                    }
                }
            }
        }
    }

    fn set_mode(connection: &mut Connection, mode: Mode) -> io::Result<Result<()>> {
        if connection.mode == mode {
            return Ok(Ok(()));
        }
        let refused = |answer: Value| {
            invoke_error(&answer).unwrap_or_else(|| ClientError::Connection(format!("Bad response from server {answer}")))
        };
        if connection.mode != Mode::Normal {
            connection.send("END\n")?;
            let answer = connection.line()?;
            if answer != "ok" {
                return Ok(Err(refused(serde_json::from_str(&answer).unwrap_or(Value::String(answer)))));
            }
            connection.mode = Mode::Normal;
        }
        if mode != Mode::Normal {
            let answer = connection.exchange(&json!({mode.command(): null}))?;
            if answer != "ok" {
                return Ok(Err(refused(answer)));
            }
            connection.mode = mode;
        }
        Ok(Ok(()))
    }

    /// Any request by name.
    pub fn invoke(&mut self, command: &str, request: Value) -> Result<Value> {
        let message = json!({command: request});
        self.retry(|connection| {
            if let Err(e) = Self::set_mode(connection, Mode::Normal)? {
                return Ok(Err(e));
            }
            let answer = connection.exchange(&message)?;
            Ok(match invoke_error(&answer) {
                Some(error) => Err(error),
                None => Ok(answer),
            })
        })
    }

    fn batch(&mut self, mode: Mode, lines: &[String]) -> Result<Vec<String>> {
        let mut results: Vec<String> = Vec::with_capacity(lines.len());
        self.retry(|connection| {
            if let Err(e) = Self::set_mode(connection, mode)? {
                return Ok(Err(e));
            }
            // After a break only what has no answer yet is asked again.
            while results.len() < lines.len() {
                let from = results.len();
                let window = &lines[from..lines.len().min(from + WINDOW)];
                let mut text = String::new();
                for line in window {
                    text.push_str(line);
                    text.push('\n');
                }
                connection.send(&text)?;
                for _ in window {
                    let answer = connection.line()?;
                    if answer.starts_with("{\"invoke-error\"") {
                        let value = serde_json::from_str(&answer).unwrap_or(Value::Null);
                        if let Some(error) = invoke_error(&value) {
                            return Ok(Err(error));
                        }
                    }
                    results.push(answer);
                }
            }
            Ok(Ok(()))
        })?;
        Ok(results)
    }

    /// The unihash of each (method, task hash), in order; None: not known.
    pub fn get_unihash_batch<M: AsRef<str>, T: AsRef<str>>(&mut self, queries: &[(M, T)]) -> Result<Vec<Option<String>>> {
        let lines: Vec<String> = queries.iter().map(|(m, t)| format!("{} {}", m.as_ref(), t.as_ref())).collect();
        Ok(self.batch(Mode::Get, &lines)?.into_iter().map(|r| Some(r).filter(|r| !r.is_empty())).collect())
    }

    pub fn get_unihash(&mut self, method: &str, taskhash: &str) -> Result<Option<String>> {
        Ok(self.get_unihash_batch(&[(method, taskhash)])?.pop().flatten())
    }

    /// Whether each unihash is known.
    pub fn unihash_exists_batch<U: AsRef<str>>(&mut self, unihashes: &[U]) -> Result<Vec<bool>> {
        let lines: Vec<String> = unihashes.iter().map(|u| u.as_ref().to_string()).collect();
        Ok(self.batch(Mode::Exists, &lines)?.into_iter().map(|r| r == "true").collect())
    }

    pub fn unihash_exists(&mut self, unihash: &str) -> Result<bool> {
        Ok(self.unihash_exists_batch(&[unihash])? == [true])
    }

    /// Reports what a task gave; the answer's `unihash` is the one to use from now on. `extra`:
    /// owner, PN, PV, PR, task, outhash_siginfo.
    pub fn report_unihash(
        &mut self, taskhash: &str, method: &str, outhash: &str, unihash: &str, extra: &Map<String, Value>,
    ) -> Result<Value> {
        let mut m = extra.clone();
        for (key, value) in [("taskhash", taskhash), ("method", method), ("outhash", outhash), ("unihash", unihash)] {
            m.insert(key.into(), value.into());
        }
        self.invoke("report", m.into())
    }

    /// Reports that `taskhash` is to have `unihash`; the answer says whether it has.
    pub fn report_unihash_equiv(
        &mut self, taskhash: &str, method: &str, unihash: &str, extra: &Map<String, Value>,
    ) -> Result<Value> {
        let mut m = extra.clone();
        for (key, value) in [("taskhash", taskhash), ("method", method), ("unihash", unihash)] {
            m.insert(key.into(), value.into());
        }
        self.invoke("report-equiv", m.into())
    }

    pub fn get_taskhash(&mut self, method: &str, taskhash: &str, all_properties: bool) -> Result<Value> {
        self.invoke("get", json!({"taskhash": taskhash, "method": method, "all": all_properties}))
    }

    pub fn get_outhash(&mut self, method: &str, outhash: &str, taskhash: &str, with_unihash: bool) -> Result<Value> {
        let request = json!({"outhash": outhash, "taskhash": taskhash, "method": method, "with_unihash": with_unihash});
        self.invoke("get-outhash", request)
    }

    /// Marks the rows matching each condition; the number of rows marked.
    pub fn gc_mark_stream(&mut self, mark: &str, conditions: &[Map<String, Value>]) -> Result<u64> {
        let lines: Vec<String> = conditions.iter().map(|c| json!({"mark": mark, "where": c}).to_string()).collect();
        let answers = self.batch(Mode::GcMark, &lines)?;
        let count = |a: &String| serde_json::from_str::<Value>(a).ok().and_then(|v| v.get("count")?.as_u64());
        Ok(answers.iter().filter_map(count).sum())
    }

    /// Logs in; stays logged in when the connection is made again.
    pub fn auth(&mut self, username: &str, token: &str) -> Result<Value> {
        let answer = self.invoke("auth", json!({"username": username, "token": token}))?;
        self.login = Some((username.to_string(), token.to_string()));
        self.become_user = None;
        Ok(answer)
    }

    pub fn become_user(&mut self, username: &str) -> Result<Value> {
        let answer = self.invoke("become-user", json!({"username": username}))?;
        let own = self.login.as_ref().is_some_and(|(name, _)| name == username);
        self.become_user = (!own).then(|| username.to_string());
        Ok(answer)
    }

    pub fn refresh_token(&mut self, username: Option<&str>) -> Result<Value> {
        let request = username.map_or(json!({}), |u| json!({"username": u}));
        let answer = self.invoke("refresh-token", request)?;
        if self.become_user.is_none()
            && let Some((name, token)) = &mut self.login
            && answer.get("username").and_then(Value::as_str) == Some(name)
            && let Some(new) = answer.get("token").and_then(Value::as_str)
        {
            *token = new.to_string();
        }
        Ok(answer)
    }
}
