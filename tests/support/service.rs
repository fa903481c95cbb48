//! A running service: the real program as a process of its own, and a plain client that speaks HTTP to it over a socket.
//! Every JSON answer is held against the service's own description of itself.

use super::database::TestDatabase;
use super::description;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Service {
    process: Child,
    pub address: String,
    /// The admin key, where this start made one.
    pub key: String,
    /// What it printed, and what it logged.
    pub printed: Arc<Mutex<String>>,
    pub log: Arc<Mutex<String>>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// A request in the making.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Service {
    pub fn start(database: &TestDatabase) -> Service {
        Service::start_with(&database.url, &[])
    }

    pub fn start_with(url: &str, flags: &[&str]) -> Service {
        Service::start_in(url, flags, &[])
    }

    pub fn start_in(url: &str, flags: &[&str], environment: &[(&str, &Path)]) -> Service {
        let mut process = Command::new(env!("CARGO_BIN_EXE_farthing"))
            .args(["serve", "--listen", "127.0.0.1:0", "--allow-fsync-off", "--database", url])
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = collect(process.stdout.take().unwrap());
        let log = collect(process.stderr.take().unwrap());
        let mut service = Service { process, address: String::new(), key: String::new(), printed, log };
        let started = Instant::now();
        // The log says so when everything that is printed has been printed.
        while !service.log.lock().unwrap().contains("serving") || !service.printed.lock().unwrap().contains("http://") {
            assert!(started.elapsed() < Duration::from_secs(60), "the service does not start: {}", service.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Everything is printed by now; on a busy machine it may not all have been collected.
        let mut printed = String::new();
        while printed.is_empty() || printed != *service.printed.lock().unwrap() {
            printed.clone_from(&service.printed.lock().unwrap());
            std::thread::sleep(Duration::from_millis(40));
        }
        service.address = printed.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        service.key = printed.lines().map(str::trim).find(|line| line.starts_with("far_")).unwrap_or_default().to_owned();
        service
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send(&self.address)
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST", path).header("Content-Type", "application/json").body(body).send(&self.address)
    }

    /// A request with the admin key.
    pub fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(method, path).key(&self.key)
    }

    pub fn send(&self, request: Request) -> Answer {
        request.send(&self.address)
    }

    /// Makes a key and answers it.
    pub fn new_key(&self, wish: &str) -> String {
        let answer = self.post("/v1/keys", wish);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["key"].as_str().unwrap().to_owned()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(self) -> std::process::ExitStatus {
        Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        self.ended()
    }

    /// Waits until it has ended.
    pub fn ended(mut self) -> std::process::ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the service does not stop: {}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn megabytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Request {
        Request { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn key(self, key: &str) -> Request {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn send(self, address: &str) -> Answer {
        let (method, path) = (self.method, self.path.clone());
        let answer = self.try_send(address).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        description::check(method, &path, &answer);
        answer
    }

    /// The same where the service may be gone.
    pub fn try_send(self, address: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.headers.iter().any(|(name, _)| name == "Transfer-Encoding" || name == "Content-Length") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        // A service that has seen enough may close before it has read everything; its answer is there all the same.
        let _ = stream.write_all(&self.body);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else { return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())) };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok(Answer { status, head, body: bytes[end + 4..].to_vec() })
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (other, value) = line.split_once(':')?;
            other.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let keeps = text.clone();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            keeps.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    });
    text
}
