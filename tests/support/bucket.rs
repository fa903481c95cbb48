//! A bucket on loopback: a real HTTP server that keeps what is put and gives what is asked for, as an S3-compatible store
//! does, and that can be told to be busy first. It looks whether a request is signed, and not by what.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub struct Bucket {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// What is sent in parts and not complete yet, by name and number.
    parts: BTreeMap<(String, u32), Vec<u8>>,
    /// Requests that are still to be sent away.
    busy: usize,
    /// Nothing is answered as long as this holds.
    silent: bool,
    /// The lines and headers of requests, without their bodies.
    asked: Vec<String>,
}

impl Bucket {
    pub fn start() -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Bucket { url, state: Arc::default() };
        let keeps = bucket.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = keeps.clone();
                std::thread::spawn(move || while keeps.answer(&stream).is_some() {});
            }
        });
        bucket
    }

    /// The next requests are answered that there is too much to do.
    pub fn is_busy(&self, requests: usize) {
        self.state.lock().unwrap().busy = requests;
    }

    pub fn is_silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    pub fn objects(&self) -> BTreeMap<String, String> {
        let objects = self.state.lock().unwrap().objects.clone();
        objects.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Answers one request of a connection; nothing if there is none any more.
    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let mut words = head.split_whitespace();
        let (method, name) = (words.next()?.to_owned(), words.next()?.to_owned());
        let range = range_of(&head);
        let (status, body) = self.said(&method, &name, head, body);
        let (whole, mut status, mut more) = (body.len(), status, String::new());
        let mut body = &body[..];
        if let (Some((from, last)), "200 OK", "GET") = (range, status, method.as_str()) {
            let until = (last + 1).min(whole);
            (body, status) = (&body[from..until], "206 Partial Content");
            more = format!("content-range: bytes {from}-{}/{whole}\r\n", until - 1);
        }
        while self.state.lock().unwrap().silent {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}etag: \"1\"\r\nlast-modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n"
        )
        .ok()?;
        // Whoever asks for the head is told how long the rest would be.
        stream.write_all(if method == "HEAD" { &[] } else { body }).ok()
    }

    fn said(&self, method: &str, name: &str, head: String, body: Vec<u8>) -> (&'static str, Vec<u8>) {
        let is_signed = head.to_ascii_lowercase().contains("\r\nauthorization: aws4-hmac-sha256 credential=");
        let mut state = self.state.lock().unwrap();
        state.asked.push(head);
        if state.busy > 0 {
            state.busy -= 1;
            return ("503 Slow Down", Vec::new());
        }
        match (is_signed, method) {
            (false, _) => ("403 Forbidden", Vec::new()),
            (true, _) if name.contains("uploads") || name.contains("uploadId=") => state.in_parts(method, name, body),
            (true, "PUT") => {
                state.objects.insert(name.to_owned(), body);
                ("200 OK", Vec::new())
            }
            (true, "GET" | "HEAD") => {
                state.objects.get(name).map_or(("404 Not Found", Vec::new()), |bytes| ("200 OK", bytes.clone()))
            }
            _ => ("405 Method Not Allowed", Vec::new()),
        }
    }
}

/// The first and the last byte that are asked for.
fn range_of(head: &str) -> Option<(usize, usize)> {
    let range = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))?;
    let (from, last) = range.split_once('-')?;
    Some((from.parse().ok()?, last.parse().ok()?))
}

impl State {
    /// A large object is begun, sent part by part, and appears when it is said to be complete.
    fn in_parts(&mut self, method: &str, name: &str, body: Vec<u8>) -> (&'static str, Vec<u8>) {
        let (name, query) = name.split_once('?').unwrap();
        let number = query.split('&').find_map(|part| part.strip_prefix("partNumber=")?.parse().ok());
        match (method, number) {
            ("POST", _) if query.contains("uploads") => {
                let begun = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
                ("200 OK", begun.as_bytes().to_vec())
            }
            ("PUT", Some(number)) => {
                self.parts.insert((name.to_owned(), number), body);
                ("200 OK", Vec::new())
            }
            ("POST", _) => {
                let parts: Vec<_> = self.parts.keys().filter(|(of, _)| of == name).cloned().collect();
                let whole = parts.iter().flat_map(|part| self.parts.remove(part).unwrap()).collect();
                self.objects.insert(name.to_owned(), whole);
                let done = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>";
                ("200 OK", done.as_bytes().to_vec())
            }
            _ => ("204 No Content", Vec::new()),
        }
    }
}
