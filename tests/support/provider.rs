//! A provider on loopback: a real HTTP server that answers each request with the next thing it was told to say, or by what
//! it is asked, and keeps what it was asked.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone)]
pub enum Say {
    /// A status, headers, and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The head promises the whole body, and only a part of it comes.
    Half(String),
    /// Nothing, for this long.
    Silence(Duration),
    /// The connection is closed without a word.
    HangUp,
}

pub fn json(body: impl Into<String>) -> Say {
    Say::Answer(200, vec![("content-type", "application/json".to_owned())], body.into())
}

pub fn json_with_etag(body: impl Into<String>, etag: &str) -> Say {
    Say::Answer(200, vec![("content-type", "application/json".to_owned()), ("etag", etag.to_owned())], body.into())
}

pub fn status(status: u16) -> Say {
    Say::Answer(status, Vec::new(), String::new())
}

type Saying = dyn Fn(&str) -> Say + Send + Sync;

pub struct Provider {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
    to_say: Arc<Mutex<VecDeque<Say>>>,
}

impl Provider {
    pub fn start() -> Provider {
        Provider::answering(|_| status(500))
    }

    /// Answers by what it is asked, whenever it was told nothing else to say.
    pub fn answering(by_question: impl Fn(&str) -> Say + Send + Sync + 'static) -> Provider {
        let by_question: Arc<Saying> = Arc::new(by_question);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, to_say) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(VecDeque::new())));
        let (heard, saying) = (asked.clone(), to_say.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, saying, by_question) = (heard.clone(), saying.clone(), by_question.clone());
                std::thread::spawn(move || answer(stream, &heard, &saying, &*by_question));
            }
        });
        Provider { url, asked, to_say }
    }

    pub fn will_say(&self, say: impl IntoIterator<Item = Say>) {
        self.to_say.lock().unwrap().extend(say);
    }

    /// The requests it got, heads and bodies.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, heard: &Mutex<Vec<String>>, saying: &Mutex<VecDeque<Say>>, by_question: &Saying) {
    let Some(request) = read(&mut stream) else { return };
    heard.lock().unwrap().push(request.clone());
    let told = saying.lock().unwrap().pop_front();
    let say = told.unwrap_or_else(|| by_question(&request));
    let written = match say {
        Say::Answer(status, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        }
        Say::Half(body) => {
            let half = &body[..body.len() / 2];
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{half}")
        }
        Say::Silence(long) => {
            std::thread::sleep(long);
            Ok(())
        }
        Say::HangUp => Ok(()),
    };
    drop(written);
}

fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap_or_default().trim().parse::<usize>().unwrap_or(0));
            if body.len() >= length {
                return Some(text);
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
