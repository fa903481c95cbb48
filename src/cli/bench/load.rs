//! Load over HTTP: a few connections on one thread that send prepared requests and wait for each answer. It does as little
//! as it can, because it shares the machine with what it measures.

use super::sample::{ID, Random, Sample, renew};
use super::wire::{Body, Fresh, Wire};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What to send.
#[derive(Clone, Copy)]
pub struct Load {
    pub wire: Wire,
    pub connections: usize,
    /// Events a request.
    pub batch: usize,
    pub seconds: u64,
    /// A connection sends at most so often; without one it sends again as soon as it is answered, and then how long a
    /// request takes says how many there are.
    pub pace: Option<Duration>,
    /// A connection sends the same events again and again.
    pub again: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub events: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub errors: u64,
}

impl Measured {
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// Where the service is and how to be let in.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    pub key: String,
}

/// Runs a load on a thread and a runtime of its own.
pub fn run(target: &Target, load: Load, seed: u64, sample: impl Fn(u64) -> Sample + Send + 'static) -> std::io::Result<Measured> {
    let target = target.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let until = Instant::now() + Duration::from_secs(load.seconds);
            let started = Instant::now();
            let connections = (0..load.connections as u64).map(|number| {
                let mut random = Random::new(seed * 1_000_003 + number);
                let request = Request::new(&target, &mut sample(seed + number), &mut random, load);
                tokio::spawn(connection(target.address.clone(), request, random, until))
            });
            let connections: Vec<_> = connections.collect();
            let mut took: Vec<Duration> = Vec::new();
            let mut errors = 0;
            for connection in connections {
                let (of_one, failed) = connection.await.map_err(std::io::Error::other)??;
                took.extend(of_one);
                errors += failed;
            }
            let seconds = started.elapsed().as_secs_f64();
            took.sort_unstable();
            let percentile =
                |share: f64| took.get((took.len() as f64 * share) as usize).map_or(0.0, |took| took.as_secs_f64() * 1e3);
            let events = (took.len() * load.batch) as u64;
            Ok(Measured { events, seconds, p50_ms: percentile(0.50), p99_ms: percentile(0.99), errors })
        })
    });
    thread.join().map_err(|_| std::io::Error::other("the load broke off"))?
}

/// A request in which what must be new is changed in place before it is sent again.
struct Request {
    bytes: Vec<u8>,
    fresh: Vec<Fresh>,
    load: Load,
}

impl Request {
    fn new(target: &Target, sample: &mut Sample, random: &mut Random, load: Load) -> Request {
        let Body { bytes: body, mut fresh, path, content_type } = load.wire.body(sample, random, load.batch);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            target.address,
            target.key,
            body.len()
        );
        fresh.iter_mut().for_each(|fresh| fresh.shift(head.len()));
        Request { bytes: [head.as_bytes(), &body].concat(), fresh, load }
    }

    fn renew(&mut self, random: &mut Random) {
        for fresh in &self.fresh {
            match *fresh {
                Fresh::Hex(place) => renew(&mut self.bytes[place..place + ID], random),
                Fresh::Bytes(place, length) => {
                    for bytes in self.bytes[place..place + length].chunks_mut(8) {
                        bytes.copy_from_slice(&random.next().to_le_bytes()[..bytes.len()]);
                    }
                }
            }
        }
    }
}

async fn connection(
    address: String,
    mut request: Request,
    mut random: Random,
    until: Instant,
) -> std::io::Result<(Vec<Duration>, u64)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut took, mut errors, mut answer) = (Vec::new(), 0, Vec::with_capacity(4096));
    // Not all at once, or the first of each round would meet the others.
    let offset = request.load.pace.unwrap_or_default().mul_f64(random.below(1_000) as f64 / 1e3);
    let mut next = Instant::now() + offset;
    while Instant::now() < until {
        if let Some(pace) = request.load.pace {
            tokio::time::sleep_until(next.into()).await;
            next += pace;
        }
        if took.is_empty() || !request.load.again {
            request.renew(&mut random);
        }
        let started = Instant::now();
        stream.write_all(&request.bytes).await?;
        read_answer(&mut stream, &mut answer).await?;
        took.push(started.elapsed());
        errors += u64::from(!match request.load.again && took.len() > 1 {
            true => request.load.wire.is_all_there(&answer, request.load.batch),
            false => request.load.wire.is_success(&answer, request.load.batch),
        });
    }
    Ok((took, errors))
}

/// Reads one response; its length is in a header.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<()> {
    answer.clear();
    loop {
        if let Some(end) = find(answer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length =
                head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse::<usize>().ok());
            if answer.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(());
            }
        }
        if stream.read_buf(answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
