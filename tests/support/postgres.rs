//! A PostgreSQL of a test's own, which it may stop and start, and a proxy in front of one that cuts a COMMIT off from its
//! answer.

use super::random::Random;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Cluster {
    binaries: PathBuf,
    directory: PathBuf,
}

impl Cluster {
    /// A cluster that does not lose what it acknowledged.
    pub fn start() -> Cluster {
        let binaries = std::env::var("FARTHING_TEST_POSTGRES_BINARIES").unwrap_or_default();
        assert!(
            !binaries.is_empty(),
            "this test stops PostgreSQL, so it needs its binaries: `make test` finds them (initdb, pg_ctl)"
        );
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("farthing-cluster-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let cluster = Cluster { binaries: binaries.into(), directory };
        if cluster.is_root() {
            run(Command::new("chown").arg("postgres").arg(&cluster.directory));
        }
        let data = cluster.directory.join("data");
        run(cluster
            .command("initdb")
            .args(["--auth=trust", "--username=farthing", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(data));
        cluster.up();
        cluster
    }

    pub fn url(&self) -> String {
        format!("postgres://farthing@localhost/postgres?host={}", self.directory.display())
    }

    pub fn up(&self) {
        let directory = self.directory.display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories='{directory}' -c max_connections=60");
        let mut command = self.command("pg_ctl");
        command
            .args(["-w", "-s", "-o", &options, "-l"])
            .arg(self.directory.join("log"))
            .arg("-D")
            .arg(self.directory.join("data"));
        run(command.arg("start"));
    }

    /// `fast` ends its clients' transactions in order, `immediate` is a crash.
    pub fn down(&self, mode: &str) {
        run(self.command("pg_ctl").args(["-s", "-m", mode, "-D"]).arg(self.directory.join("data")).arg("stop"));
    }

    fn is_root(&self) -> bool {
        // A directory that this process made belongs to it.
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        if !self.is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ =
            self.command("pg_ctl").args(["-s", "-m", "immediate", "-D"]).arg(self.directory.join("data")).arg("stop").output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Stands between a client and a PostgreSQL on a Unix socket. Now and then it lets a COMMIT through and swallows the answer,
/// or swallows the COMMIT itself; the client cannot tell which.
pub struct Proxy {
    pub port: u16,
    pub cuts: Arc<AtomicU32>,
    /// While it is off everything goes through.
    pub cutting: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(server: &Path, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cutting) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let random = Arc::new(Mutex::new(Random::new(seed)));
        let (server, counts, flag) = (server.to_owned(), cuts.clone(), cutting.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let wire = Wire { cuts: counts.clone(), cutting: flag.clone(), random: random.clone(), muted: Arc::default() };
                std::thread::spawn(move || wire.pump(client, server));
            }
        });
        Proxy { port, cuts, cutting }
    }
}

#[derive(Clone)]
struct Wire {
    cuts: Arc<AtomicU32>,
    cutting: Arc<AtomicBool>,
    random: Arc<Mutex<Random>>,
    /// The answers of the server go nowhere any more.
    muted: Arc<AtomicBool>,
}

impl Wire {
    fn pump(self, mut client: TcpStream, mut server: UnixStream) {
        let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let back = self.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while let Ok(read @ 1..) = from_server.read(&mut piece) {
                if back.muted.load(Ordering::SeqCst) || to_client.write_all(&piece[..read]).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        });
        // The first message has no kind; every later one is a kind, a length and so many bytes.
        let _ = self.messages(&mut client, &mut server);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    fn messages(&self, client: &mut TcpStream, server: &mut UnixStream) -> std::io::Result<()> {
        let mut first = true;
        loop {
            let mut head = vec![0; if first { 4 } else { 5 }];
            client.read_exact(&mut head)?;
            let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap()) as usize - 4;
            let mut body = vec![0; length];
            client.read_exact(&mut body)?;
            let is_commit = !first && head[0] == b'Q' && body.starts_with(b"COMMIT");
            first = false;
            if is_commit && self.cutting.load(Ordering::SeqCst) {
                match self.random.lock().unwrap().below(8) {
                    0 => {
                        // The server commits and nobody hears of it.
                        self.cuts.fetch_add(1, Ordering::SeqCst);
                        self.muted.store(true, Ordering::SeqCst);
                        server.write_all(&[head, body].concat())?;
                        std::thread::sleep(Duration::from_millis(30));
                        return Ok(());
                    }
                    1 => {
                        // The server never hears of it.
                        self.cuts.fetch_add(1, Ordering::SeqCst);
                        return Ok(());
                    }
                    _ => {}
                }
            }
            server.write_all(&[head, body].concat())?;
        }
    }
}
