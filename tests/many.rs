//! Several processes on one database: three servers on a PostgreSQL, loaded together by clients which send again what was not
//! acknowledged, while the servers are killed in turn and PostgreSQL is stopped and crashed under them, prices appear and
//! change, a month is closed and everything is booked again; and the command line beside a server on SQLite. In the end the book
//! is held against a recount with big integers of what the clients sent. The seed is printed; `FARTHING_MANY_SEED` repeats it as
//! far as time allows, and `FARTHING_MANY_ROUNDS` makes it longer.

use crate::support::database::TestDatabase;
use crate::support::postgres::Cluster;
use crate::support::random::Random;
use crate::support::service::{Request, Service};
use farthing::flow::now;
use num_bigint::BigInt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn three_servers_killed_in_turn_over_a_postgres_that_comes_and_goes_keep_one_book() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("FARTHING_MANY_SEED").unwrap_or_else(|| now().micros() as u64);
    println!("FARTHING_MANY_SEED={seed}");
    let cluster = Cluster::start();
    let mut house = House::open(&cluster, seed);
    house.clerk().publish(&prices(&[HAIKU, SONNET]));

    let clients: Vec<_> = (0..6).map(|number| house.client(number)).collect();
    let mut random = Random::new(seed);
    let mut pause = |up_to: u64| sleep(Duration::from_millis(150 + random.below(up_to)));
    for round in 0..number("FARTHING_MANY_ROUNDS").unwrap_or(1) {
        pause(1_000);
        house.replace(0);
        let published = house.clerk().in_background(|clerk| clerk.publish(&prices(&[HAIKU, SONNET, LATE])));
        pause(300);
        cluster.down("fast");
        pause(300);
        cluster.up();
        published.join().unwrap();

        let closed = (round == 0).then(|| house.clerk().in_background(Clerk::close));
        pause(1_000);
        house.replace(1);
        cluster.down("immediate");
        pause(300);
        cluster.up();
        closed.into_iter().for_each(|closed| closed.join().unwrap());

        pause(500);
        let corrected = house.clerk().in_background(|clerk| {
            clerk.publish(&prices(&[HAIKU_CORRECTED, SONNET, LATE]));
            clerk.rerate();
        });
        pause(300);
        house.replace(2);
        pause(300);
        cluster.down("immediate");
        cluster.up();
        corrected.join().unwrap();
        pause(1_000);
    }
    house.known.enough.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());

    // A publishing whose answer was lost may have been cut off before it tried what was held.
    house.clerk().retry_held();
    assert_eq!(house.clerk().rerate()["changed"], 0, "seed {seed}: all was booked again already");
    assert!(house.known.in_doubt.load(Ordering::SeqCst) > 0, "nothing was ever in doubt");
    house.audit();
}

#[test]
fn on_sqlite_the_command_line_works_beside_a_server_under_load() {
    let seed = now().micros() as u64;
    let database = TestDatabase::sqlite();
    let server = Service::start(&database);
    let house = House::of(database.url.clone(), vec![server], seed);
    let file = |name: &str, text: String| {
        let path = database.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    house.command(&["catalog", "publish", "--accept", &file("first.yaml", prices(&[HAIKU, SONNET]))]);
    let clients: Vec<_> = (0..3).map(|number| house.client(number)).collect();
    let mut clerk = house.new_client(9);
    let events: Vec<Sent> = (0..300).map(|number| clerk.draw(&format!("by hand {number}"))).collect();
    let lines: String = events.iter().map(|event| format!("{}\n", event.json())).collect();
    house.command(&["ingest", &file("events.ndjson", lines)]);
    house.command(&["close", CLOSED, "--accept-held"]);
    let fee = ["adjust", "--id", "fee", "--amount", "0.000000000000000000000007", "--reason", "agreed", "--at", "2026-01-10"];
    house.command(&[&fee[..], &["--debit", "cost:search/ann", "--credit", "payable:acme"]].concat());
    house.command(&["catalog", "publish", "--accept", &file("last.yaml", prices(&LASTING))]);
    house.command(&["rerate"]);
    {
        let mut told = house.known.told.lock().unwrap();
        told.sent.extend(events.into_iter().map(|event| (event.id.clone(), event)));
        told.adjustments.insert("fee".to_owned(), Adjusted { user: "ann", amount: 7, adds: true });
    }
    let started = Instant::now();
    let has_all = || {
        let told = house.known.told.lock().unwrap();
        told.sent.len() > 400 && !told.conflicts.is_empty() && told.adjustments.len() > 1
    };
    while !has_all() {
        assert!(started.elapsed() < Duration::from_secs(60), "the clients do not get on");
        sleep(Duration::from_millis(20));
    }
    house.known.enough.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(
        house.clerk().rerate()["changed"],
        0,
        "seed {seed}: what the server took since is priced as the command line said"
    );
    house.audit();
}

/// A model and what one token in and one token out cost, in counts of 10^-24.
type Price = (&'static str, u64, u64);
const HAIKU: Price = ("haiku", 123_456_789_123_456_789, 456_789_123_456_789_123);
const HAIKU_CORRECTED: Price = ("haiku", 223_456_789_123_456_781, 1_456_789_123_456_789_127);
const SONNET: Price = ("sonnet", 3_000_000_000_000_000_001, 15_000_000_000_000_000_007);
const LATE: Price = ("late", 700_000_000_000_000_000, 900_000_000_000_000_003);
/// What holds in the end.
const LASTING: [Price; 3] = [HAIKU_CORRECTED, SONNET, LATE];

const USERS: [&str; 4] = ["ann", "bo", "cy", "di"];
const CLOSED: &str = "2026-01";

fn prices(models: &[Price]) -> String {
    let model = |(model, input, output): &Price| {
        format!("  - model: {model}\n    cards: [{{input_per_token: \"0.{input:024}\", output_per_token: \"0.{output:024}\"}}]\n")
    };
    format!("provider: acme\nabsent: unknown\nmodels:\n{}", models.iter().map(model).collect::<String>())
}

/// Three servers on one database, and what their clients know.
struct House {
    url: String,
    servers: Vec<Option<Service>>,
    known: Arc<Known>,
}

struct Known {
    seed: u64,
    key: String,
    /// Where the servers are; nowhere while one is dead.
    addresses: Mutex<Vec<Option<String>>>,
    enough: AtomicBool,
    told: Mutex<Told>,
    /// Requests that were not answered, or answered with a refusal to do it now.
    in_doubt: AtomicU32,
}

#[derive(Default)]
struct Told {
    sent: BTreeMap<String, Sent>,
    posted: BTreeSet<String>,
    conflicts: BTreeSet<String>,
    adjustments: BTreeMap<String, Adjusted>,
}

#[derive(Clone)]
struct Sent {
    id: String,
    model: &'static str,
    at: String,
    user: &'static str,
    input: u64,
    output: u64,
}

struct Adjusted {
    user: &'static str,
    amount: u64,
    /// Whether it adds to what the user bears.
    adds: bool,
}

impl House {
    /// All three start at once on an empty database: one makes the schema, and one prints the key.
    fn open(cluster: &Cluster, seed: u64) -> House {
        let url = cluster.url();
        let starts: Vec<_> = (0..3)
            .map(|_| {
                let url = url.clone();
                std::thread::spawn(move || Service::start_with(&url, &[]))
            })
            .collect();
        let servers: Vec<Service> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        House::of(url, servers, seed)
    }

    fn of(url: String, servers: Vec<Service>, seed: u64) -> House {
        let keys: Vec<&String> = servers.iter().map(|server| &server.key).filter(|key| !key.is_empty()).collect();
        assert_eq!(keys.len(), 1, "the first key is printed once");
        let known = Arc::new(Known {
            seed,
            key: keys[0].clone(),
            addresses: Mutex::new(servers.iter().map(|server| Some(server.address.clone())).collect()),
            enough: AtomicBool::new(false),
            told: Mutex::default(),
            in_doubt: AtomicU32::new(0),
        });
        House { url, servers: servers.into_iter().map(Some).collect(), known }
    }

    /// Kills a server as a power cut would, and starts another in its place.
    fn replace(&mut self, place: usize) {
        self.known.addresses.lock().unwrap()[place] = None;
        self.servers[place].take().unwrap().kill();
        let server = Service::start_with(&self.url, &[]);
        assert_eq!(server.key, "", "there is a key already");
        self.known.addresses.lock().unwrap()[place] = Some(server.address.clone());
        self.servers[place] = Some(server);
    }

    /// The command line on the same database.
    fn command(&self, arguments: &[&str]) {
        let command =
            Command::new(env!("CARGO_BIN_EXE_farthing")).args(arguments).args(["--database", &self.url]).output().unwrap();
        assert!(command.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&command.stderr));
    }

    fn clerk(&self) -> Clerk {
        Clerk { known: self.known.clone() }
    }

    /// A client that sends nothing by itself.
    fn new_client(&self, number: u64) -> Client {
        let (known, random) = (self.known.clone(), Random::new(self.known.seed ^ (number + 1) << 40));
        Client { known, random, number, own: Vec::new(), adjustments: 0 }
    }

    fn client(&self, number: u64) -> std::thread::JoinHandle<()> {
        let mut client = self.new_client(number);
        std::thread::spawn(move || {
            for round in 0.. {
                if client.known.enough.load(Ordering::SeqCst) {
                    break;
                }
                client.send_new(round);
                match client.random.below(8) {
                    0 | 1 => client.send_old(),
                    2 => client.contradict(),
                    3 => client.adjust(),
                    _ => {}
                }
            }
        })
    }
}

impl Known {
    /// One of the servers that live, as far as anybody knows.
    fn some_address(&self, random: &mut Random) -> Option<String> {
        let addresses = self.addresses.lock().unwrap();
        let alive: Vec<&String> = addresses.iter().flatten().collect();
        (!alive.is_empty()).then(|| (*random.pick(&alive)).clone())
    }

    /// Sends until somebody answers, to another server each time; says whether the first attempt was it.
    fn ask(&self, request: &Request, random: &mut Random) -> (u16, Value, bool) {
        let started = Instant::now();
        for attempt in 0.. {
            assert!(started.elapsed() < Duration::from_secs(90), "seed {}: nobody answers", self.seed);
            let answer = self.some_address(random).map(|address| request.clone().key(&self.key).try_send(&address));
            match answer {
                Some(Ok(answer)) if answer.status != 503 => {
                    assert_ne!(answer.status / 100, 5, "seed {}: {}", self.seed, answer.text());
                    return (answer.status, answer.json(), attempt == 0);
                }
                _ => {
                    self.in_doubt.fetch_add(1, Ordering::SeqCst);
                    sleep(Duration::from_millis(20 + random.below(80)));
                }
            }
        }
        unreachable!("it ends with an answer or in a panic")
    }

    fn post_events(&self, events: &[Sent], random: &mut Random) -> (Vec<Value>, bool) {
        let body = Value::from(events.iter().map(Sent::json).collect::<Vec<_>>()).to_string();
        let request = Request::new("POST", "/v1/events?results=all").body(body);
        let (status, answer, at_once) = self.ask(&request, random);
        assert_eq!(status, 200, "seed {}: {answer}", self.seed);
        let results = answer["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), events.len());
        (results, at_once)
    }
}

/// Sends usage, and knows what it sent.
struct Client {
    known: Arc<Known>,
    random: Random,
    number: u64,
    /// What was acknowledged.
    own: Vec<Sent>,
    adjustments: u32,
}

impl Client {
    fn send_new(&mut self, round: u32) {
        let count = 1 + self.random.below(8);
        let events: Vec<Sent> = (0..count).map(|place| self.draw(&format!("{}-{round}-{place}", self.number))).collect();
        let twice = self.random.below(4) == 0;
        {
            let mut told = self.known.told.lock().unwrap();
            told.sent.extend(events.iter().map(|event| (event.id.clone(), event.clone())));
        }
        let (results, at_once) = if twice { self.post_twice(&events) } else { self.known.post_events(&events, &mut self.random) };
        let seed = self.known.seed;
        let mut told = self.known.told.lock().unwrap();
        for (place, result) in results.iter().enumerate() {
            let event = &events[place % events.len()];
            let outcome = result["outcome"].as_str().unwrap();
            match outcome {
                "posted" => assert!(told.posted.insert(event.id.clone()), "seed {seed}: {} was posted twice", event.id),
                "held" => assert_eq!(event.model, LATE.0, "seed {seed}: {result}"),
                "already_present" => assert!(twice || !at_once, "seed {seed}: {} was sent for the first time", event.id),
                _ => panic!("seed {seed}: {result}"),
            }
        }
        drop(told);
        self.own.extend(events);
    }

    /// The same events at the same time, to whichever two servers.
    fn post_twice(&mut self, events: &[Sent]) -> (Vec<Value>, bool) {
        let mut other = Random::new(self.random.next());
        let known = self.known.clone();
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| known.post_events(events, &mut other).0);
            let mut results = known.post_events(events, &mut self.random).0;
            results.extend(beside.join().unwrap());
            (results, false)
        })
    }

    fn send_old(&mut self) {
        let event = self.random.pick(&self.own).clone();
        let (results, _) = self.known.post_events(std::slice::from_ref(&event), &mut self.random);
        assert_eq!(results[0]["outcome"], "already_present", "seed {}: {}", self.known.seed, results[0]);
    }

    /// Another meaning under an id that is booked.
    fn contradict(&mut self) {
        let mut event = self.random.pick(&self.own).clone();
        if event.model == LATE.0 {
            return;
        }
        event.output += 1_000_000;
        let (results, _) = self.known.post_events(std::slice::from_ref(&event), &mut self.random);
        assert_eq!(results[0]["outcome"], "conflict", "seed {}: {}", self.known.seed, results[0]);
        self.known.told.lock().unwrap().conflicts.insert(event.id);
    }

    fn adjust(&mut self) {
        self.adjustments += 1;
        let id = format!("adjustment {}-{}", self.number, self.adjustments);
        let (user, amount) = (*self.random.pick(&USERS), 1 + self.random.below(1 << 60));
        let adds = self.random.below(3) > 0;
        let (cost, payable) = (format!("cost:search/{user}"), "payable:acme");
        let (debit, credit) = if adds { (&*cost, payable) } else { (payable, &*cost) };
        let body = json!({"amount": format!("0.{amount:024}"), "debit": debit, "credit": credit, "reason": "agreed",
            "occurred_at": format!("2026-0{}-15", 1 + self.random.below(3))});
        let request = Request::new("POST", "/v1/adjustments").header("Idempotency-Key", &id).body(body.to_string());
        let (status, answer, at_once) = self.known.ask(&request, &mut self.random);
        let expected: &[u16] = if at_once { &[201] } else { &[200, 201] };
        assert!(expected.contains(&status), "seed {}: {answer}", self.known.seed);
        self.known.told.lock().unwrap().adjustments.insert(id, Adjusted { user, amount, adds });
    }

    fn draw(&mut self, id: &str) -> Sent {
        let random = &mut self.random;
        Sent {
            id: id.to_owned(),
            model: random.pick::<&str>(&["haiku", "haiku", "sonnet", "late"]),
            at: format!("2026-0{}-{:02}T10:00:00Z", 1 + random.below(3), 1 + random.below(28)),
            user: random.pick::<&str>(&USERS),
            input: 1 + random.below(1_000_000),
            output: random.below(10_000),
        }
    }
}

impl Sent {
    fn json(&self) -> Value {
        json!({"id": self.id, "source": "gw", "occurred_at": self.at, "provider": "acme", "model": self.model,
            "usage": {"input": self.input, "output": self.output}, "user": self.user, "team": "search"})
    }

    fn cost(&self) -> BigInt {
        let (_, input, output) = LASTING.into_iter().find(|(model, ..)| *model == self.model).unwrap();
        BigInt::from(input) * self.input + BigInt::from(output) * self.output
    }
}

/// Decides: what costs what, and which month is over. It asks until it is done.
#[derive(Clone)]
struct Clerk {
    known: Arc<Known>,
}

impl Clerk {
    fn in_background(self, work: impl FnOnce(Clerk) + Send + 'static) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || work(self))
    }

    fn ask(&self, request: Request) -> (u16, Value) {
        let mut random = Random::new(now().micros() as u64);
        let (status, answer, _) = self.known.ask(&request, &mut random);
        (status, answer)
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Request::new("GET", path));
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn publish(&self, yaml: &str) {
        let request = Request::new("POST", "/v1/catalog/versions?accept=true").header("Content-Type", "application/yaml");
        let (status, answer) = self.ask(request.body(yaml));
        assert!(matches!(status, 200 | 201), "{answer}");
    }

    fn rerate(&self) -> Value {
        let (status, answer) = self.ask(Request::new("POST", "/v1/rerate?dry_run=false&reason=corrected"));
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn retry_held(&self) {
        let (status, answer) = self.ask(Request::new("POST", "/v1/held/retry"));
        assert_eq!(status, 200, "{answer}");
    }

    fn close(self) {
        let path = format!("/v1/periods/{CLOSED}/close?accept_held=true");
        let (status, answer) = self.ask(Request::new("POST", &path));
        // An answer that was lost leaves a month that is closed already.
        assert!(status == 200 || answer["detail"].as_str().unwrap().contains("is closed already"), "{answer}");
    }

    fn pages(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=1000{cursor}"));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

/// What the book came to, counted from its entries alone.
#[derive(Default)]
struct Recount {
    /// What each event costs in the end, and how often it was charged and taken back.
    events: BTreeMap<String, (BigInt, u32, u32)>,
    accounts: BTreeMap<String, BigInt>,
    adjusted: BTreeMap<String, u32>,
    in_closed_month: (u64, BigInt),
}

impl House {
    /// Holds the book against what was sent.
    fn audit(&self) {
        let (clerk, told, seed) = (self.clerk(), self.known.told.lock().unwrap(), self.known.seed);
        let (late, in_doubt) =
            (told.sent.values().filter(|sent| sent.model == LATE.0).count(), self.known.in_doubt.load(Ordering::SeqCst));
        println!(
            "{} events, {late} of them held for a while, {} contradicted, {} adjustments, {in_doubt} requests in doubt",
            told.sent.len(),
            told.conflicts.len(),
            told.adjustments.len()
        );
        assert!(told.sent.len() > 100 && !told.conflicts.is_empty() && !told.adjustments.is_empty());

        let standing = clerk.get("/v1/periods")["items"][0].clone();
        assert_eq!((standing["period"].as_str(), standing["state"].as_str()), (Some(CLOSED), Some("closed")));
        let closing = &standing["closing"];
        let recount = recount(&clerk.pages("/v1/entries"), closing["block"].as_i64().unwrap());

        let costs: BTreeMap<&String, BigInt> = told.sent.iter().map(|(id, sent)| (id, sent.cost())).collect();
        let found: BTreeMap<&String, BigInt> = recount.events.iter().map(|(id, (cost, ..))| (id, cost.clone())).collect();
        assert_eq!(found, costs, "seed {seed}: every event once, to the last digit");
        for (id, (_, charges, reversals)) in &recount.events {
            assert_eq!(*charges, reversals + 1, "seed {seed}: of {id} one charge stands");
        }
        let adjusted: BTreeMap<String, u32> = told.adjustments.keys().map(|id| (id.clone(), 1)).collect();
        assert_eq!(recount.adjusted, adjusted, "seed {seed}: every adjustment once");

        let mut users: BTreeMap<String, BigInt> = BTreeMap::new();
        for sent in told.sent.values() {
            *users.entry(format!("cost:search/{}", sent.user)).or_default() += sent.cost();
        }
        for adjusted in told.adjustments.values() {
            let amount = BigInt::from(adjusted.amount);
            *users.entry(format!("cost:search/{}", adjusted.user)).or_default() += if adjusted.adds { amount } else { -amount };
        }
        users.insert("payable:acme".to_owned(), -users.values().sum::<BigInt>());
        assert_eq!(recount.accounts, users, "seed {seed}");
        let balances = clerk.get("/v1/balances");
        let told_by_accounts: BTreeMap<String, BigInt> = balances["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["account"].as_str().unwrap().to_owned(), units(item["balance"].as_str().unwrap())))
            .collect();
        assert_eq!(told_by_accounts, users, "seed {seed}");

        let report = clerk.get("/v1/reports/spend?group_by=user");
        let reported: BTreeMap<String, BigInt> = report["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (format!("cost:search/{}", row["user"].as_str().unwrap()), units(row["amount"].as_str().unwrap())))
            .collect();
        users.remove("payable:acme");
        assert_eq!(reported, users, "seed {seed}");

        assert_eq!(closing["entries"].as_u64(), Some(recount.in_closed_month.0), "seed {seed}: nothing landed after the closing");
        assert_eq!(units(closing["amounts"]["USD"].as_str().unwrap()), recount.in_closed_month.1, "seed {seed}");
        let conflicts: Vec<String> =
            clerk.pages("/v1/conflicts").iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(conflicts.iter().cloned().collect::<BTreeSet<_>>(), told.conflicts, "seed {seed}");
        assert_eq!(conflicts.len(), told.conflicts.len(), "seed {seed}: every contradiction is kept once");
        assert_eq!(clerk.pages("/v1/held"), Vec::<Value>::new(), "seed {seed}");

        let verify =
            Command::new(env!("CARGO_BIN_EXE_farthing")).args(["verify", "--deep", "--database", &self.url]).output().unwrap();
        assert!(verify.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&verify.stderr));
    }
}

fn recount(entries: &[Value], closed_at: i64) -> Recount {
    let mut recount = Recount::default();
    for (entry, number) in entries.iter().zip(1..) {
        assert_eq!(entry["entry"].as_str().unwrap(), number.to_string(), "the book has no gap");
        let text = |field: &str| entry[field].as_str().unwrap();
        let (amount, id) = (units(text("amount")).magnitude().clone(), entry["event"]["id"].as_str().unwrap().to_owned());
        let amount = BigInt::from(amount);
        *recount.accounts.entry(text("debit").to_owned()).or_default() += &amount;
        *recount.accounts.entry(text("credit").to_owned()).or_default() -= &amount;
        let signed = if text("debit").starts_with("cost:") { amount } else { -amount };
        if text("period") == CLOSED {
            assert!(entry["block"].as_i64().unwrap() <= closed_at, "{entry}");
            recount.in_closed_month.0 += 1;
            recount.in_closed_month.1 += &signed;
        }
        match text("kind") {
            "adjustment" => *recount.adjusted.entry(id).or_default() += 1,
            kind => {
                let (cost, charges, reversals) = recount.events.entry(id).or_default();
                *cost += signed;
                *(if kind == "charge" { charges } else { reversals }) += 1;
            }
        }
    }
    recount
}

/// A decimal text as a count of 10^-24.
fn units(text: &str) -> BigInt {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(part.len() <= 24, "{text}");
    format!("{whole}{part:0<24}").parse::<BigInt>().unwrap() * sign
}

/// All that 1, 2 and 4 servers acknowledge is in the one book. To measure how much that is, in a release build and for longer:
/// `FARTHING_SCALE_S=8 FARTHING_TEST_POSTGRES_FSYNC=on tests/with-postgres cargo test --release what_several_servers -- --nocapture`.
#[test]
fn what_several_servers_take_in_together_is_in_one_book() {
    const CLIENTS: usize = 8;
    let seconds = std::env::var("FARTHING_SCALE_S").ok().map(|seconds| seconds.parse::<f64>().unwrap());
    let seconds = Duration::from_secs_f64(seconds.unwrap_or(0.3));
    for batch in [1, 100] {
        for servers in [1, 2, 4] {
            let database = TestDatabase::postgres();
            let first = Service::start(&database);
            let more: Vec<Service> = (1..servers).map(|_| Service::start(&database)).collect();
            let addresses: Vec<&str> = std::iter::once(&first).chain(&more).map(|server| &*server.address).collect();
            let (taken, started) = (AtomicU32::new(0), Instant::now());
            std::thread::scope(|scope| {
                for client in 0..CLIENTS {
                    let (address, key, taken) = (addresses[client % addresses.len()], &first.key, &taken);
                    scope.spawn(move || {
                        for round in 0.. {
                            if started.elapsed() > seconds {
                                break;
                            }
                            let event = |place: usize| {
                                json!({"id": format!("{client}-{round}-{place}"), "source": "gw", "occurred_at": "2026-02-03T10:00:00Z",
                                    "provider": "openai", "model": "gpt-4o-mini", "usage": {"input": 1000 + round, "output": 100},
                                    "user": format!("user-{}", round % 50), "team": "search"})
                            };
                            let body = Value::from((0..batch).map(event).collect::<Vec<_>>()).to_string();
                            let request = Request::new("POST", "/v1/events?results=problems").key(key).body(body);
                            let answer = request.try_send(address).unwrap();
                            assert_eq!(answer.json()["posted"].as_u64(), Some(batch as u64), "{}", answer.text());
                            taken.fetch_add(batch as u32, Ordering::Relaxed);
                        }
                    });
                }
            });
            let taken = taken.into_inner();
            let per_second = u128::from(taken) * 1000 / started.elapsed().as_millis();
            println!("{servers} servers, {CLIENTS} clients, {batch} events a request: {per_second} events/s");
            let verified = first.get("/v1/verify").json();
            assert_eq!((verified["ok"].as_bool(), verified["entries"].as_u64()), (Some(true), Some(u64::from(taken))));
        }
    }
}
