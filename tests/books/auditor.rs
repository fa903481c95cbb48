//! The auditor: a second model of what a book must say, in big integers and plain maps. It knows the rules, not the code;
//! nothing in here comes from the program.

use num_bigint::BigInt;
use std::collections::{BTreeMap, BTreeSet};

/// An event as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub id: String,
    pub source: String,
    pub provider: String,
    pub model: String,
    pub day: u64,
    pub usage: Option<BTreeMap<&'static str, u64>>,
    pub outcome: String,
    /// In units of 10^-9.
    pub reported: Option<u64>,
    pub call: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
}

/// What the book answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Posted(BigInt),
    AlreadyPresent,
    Evidence,
    Held,
    Conflict,
}

/// Rates per token as digits and decimal places.
#[derive(Clone, Debug, Default)]
pub struct Price {
    pub rates: BTreeMap<&'static str, (u64, usize)>,
}

/// Prices of a model by the day they hold from.
type Prices = BTreeMap<(String, String), BTreeMap<Option<u64>, Price>>;

#[derive(Default)]
pub struct Auditor {
    written: Prices,
    published: Prices,
    events: BTreeMap<(String, String), Known>,
    /// Which event holds which call, and on whose word it is booked.
    calls: BTreeMap<(String, String), Call>,
}

/// All that is known under one id.
struct Known {
    stands: Sent,
    state: State,
    /// Contents that stood at some time.
    accepted: Vec<Sent>,
    /// Contents that contradicted, and whether that is still undecided.
    contradicting: Vec<(Sent, bool)>,
}

struct Call {
    holder: (String, String),
    word: (String, String),
    /// The sources that told of it.
    told_by: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Posted(BigInt),
    Held,
    Evidence,
    /// Another event holds the call, and this one's word is what is booked.
    Promoted(BigInt),
    /// It holds a call that is booked on another's word.
    Silenced,
}

/// The source whose word counts for more.
pub const RANKED_FIRST: &str = "broadcast";

impl Sent {
    pub fn json(&self) -> String {
        let mut fields = vec![
            format!(
                "\"id\":\"{}\",\"source\":\"{}\",\"provider\":\"{}\",\"model\":\"{}\"",
                self.id, self.source, self.provider, self.model
            ),
            format!("\"occurred_at\":\"2026-02-{:02}T12:00:00Z\",\"outcome\":\"{}\"", self.day, self.outcome),
        ];
        if let Some(usage) = &self.usage {
            let counts: Vec<_> = usage.iter().map(|(meter, count)| format!("\"{meter}\":{count}")).collect();
            fields.push(format!("\"usage\":{{{}}}", counts.join(",")));
        }
        if let Some(reported) = self.reported {
            fields.push(format!("\"reported\":{{\"amount\":\"{}.{:09}\"}}", reported / 1_000_000_000, reported % 1_000_000_000));
        }
        for (name, value) in [("provider_request_id", &self.call), ("user", &self.user), ("team", &self.team)] {
            if let Some(value) = value {
                fields.push(format!("\"{name}\":\"{value}\""));
            }
        }
        format!("{{{}}}", fields.join(","))
    }

    fn key(&self) -> (String, String) {
        (self.source.clone(), self.id.clone())
    }

    /// A count of zero and no count are the same.
    fn means_the_same_as(&self, other: &Sent) -> bool {
        let plain = |sent: &Sent| {
            let mut sent = sent.clone();
            if let Some(usage) = &mut sent.usage {
                usage.retain(|_, count| *count > 0);
            }
            // A call that cost nobody anything has used nothing, whether it says so or not.
            if sent.outcome == "cache_hit" && sent.usage.is_none() {
                sent.usage = Some(BTreeMap::new());
            }
            sent
        };
        plain(self) == plain(other)
    }

    fn costs_nothing(&self) -> bool {
        self.outcome == "cache_hit"
    }

    fn accounts(&self) -> (String, String) {
        let part = |text: &Option<String>| match text.as_deref() {
            None => "-".to_owned(),
            Some("-") => "%2D".to_owned(),
            Some(text) => text.replace('/', "%2F").replace(':', "%3A"),
        };
        (format!("cost:{}/{}", part(&self.team), part(&self.user)), format!("payable:{}", self.provider))
    }
}

impl Auditor {
    pub fn knows(&self, provider: &str, model: &str) -> bool {
        self.written.contains_key(&(provider.to_owned(), model.to_owned()))
    }

    pub fn add_price(&mut self, provider: &str, model: &str, day: Option<u64>, price: Price) -> bool {
        let days = self.written.entry((provider.to_owned(), model.to_owned())).or_default();
        if days.contains_key(&day) {
            return false;
        }
        days.insert(day, price);
        true
    }

    pub fn publish(&mut self) {
        self.published = self.written.clone();
    }

    /// The catalog as a person would write it: `acme` does not know what it does not say, `router` includes it and says
    /// itself what it charged.
    pub fn catalog_files(&self) -> Vec<String> {
        // Prices that nobody would ask are what the life of a book is tested with; a note says that they are meant so.
        let heads = [("acme", "absent: unknown"), ("router", "absent: included\ncost_basis: reported\ninsured: [error]")];
        heads
            .iter()
            .map(|(provider, head)| {
                let mut yaml = format!("provider: {provider}\n{head}\nmodels:\n");
                for ((_, model), days) in self.written.iter().filter(|((of, _), _)| of == provider) {
                    yaml.push_str(&format!("  - model: {model}\n    cards:\n"));
                    for (day, price) in days {
                        let from = day.map_or(String::new(), |day| format!("from: 2026-02-{day:02}, "));
                        let rates = price.rates.iter().map(|(meter, (digits, places))| {
                            let digits = format!("{digits:0width$}", width = places + 1);
                            let (whole, fraction) = digits.split_at(digits.len() - places);
                            format!("{meter}_per_token: \"{whole}.{fraction}\"")
                        });
                        yaml.push_str(&format!(
                            "      - {{{from}note: meant so from {day:?}, {}}}\n",
                            rates.collect::<Vec<_>>().join(", ")
                        ));
                    }
                }
                yaml
            })
            .collect()
    }

    /// What an event costs in units of 10^-24, or nothing where nobody can say.
    fn price(&self, sent: &Sent) -> Option<BigInt> {
        let reported = sent.reported.map(|reported| BigInt::from(reported) * BigInt::from(10).pow(15));
        if sent.costs_nothing() {
            return Some(BigInt::ZERO);
        }
        let is_router = sent.provider == "router";
        if sent.outcome == "failed" {
            match (&reported, &sent.usage) {
                (Some(reported), _) => return Some(reported.clone()),
                (None, None) => return None,
                // The router does not charge failed calls.
                (None, Some(_)) if is_router => return Some(BigInt::ZERO),
                (None, Some(_)) => {}
            }
        }
        if is_router && reported.is_some() {
            return reported;
        }
        let days = self.published.get(&(sent.provider.clone(), sent.model.clone()))?;
        let (_, price) = days.iter().rfind(|(day, _)| day.is_none_or(|day| day <= sent.day))?;
        let mut sum = BigInt::ZERO;
        for (meter, count) in sent.usage.as_ref()?.iter().filter(|(_, count)| **count > 0) {
            let instead = if is_router { price.rates.get("input") } else { None };
            let (digits, places) = price.rates.get(meter).or(instead)?;
            sum += BigInt::from(*digits) * BigInt::from(10).pow(24 - *places as u32) * *count;
        }
        Some(sum)
    }

    pub fn receive(&mut self, sent: &Sent) -> Answer {
        let key = sent.key();
        if let Some(known) = self.events.get(&key) {
            if known.accepted.iter().any(|content| content.means_the_same_as(sent)) {
                return Answer::AlreadyPresent;
            }
            if known.contradicting.iter().any(|(content, _)| content.means_the_same_as(sent)) {
                return Answer::Conflict;
            }
            if matches!(known.state, State::Silenced | State::Evidence) {
                return self.speak_up(sent);
            }
            if known.state != State::Held {
                self.events.get_mut(&key).unwrap().contradicting.push((sent.clone(), true));
                return Answer::Conflict;
            }
        }
        // New, or the first content of which something may be posted.
        let call = sent.call.as_ref().filter(|_| !sent.costs_nothing()).map(|call| (sent.provider.clone(), call.clone()));
        let held_by = call.as_ref().and_then(|call| self.calls.get(call)).filter(|call| call.holder != key);
        let price = self.price(sent);
        let state = match held_by.map(|held| held.told_by.contains(&sent.source)) {
            // One source with two ids for a call: both are charged, and a person is asked.
            Some(true) => price.map_or(State::Held, State::Posted),
            Some(false) => self.beside(sent, call.as_ref().unwrap()),
            None => {
                if let Some(call) = call {
                    let told_by = BTreeSet::from([sent.source.clone()]);
                    self.calls.entry(call).or_insert_with(|| Call { holder: key.clone(), word: key.clone(), told_by });
                }
                price.map_or(State::Held, State::Posted)
            }
        };
        let answer = match &state {
            State::Posted(amount) | State::Promoted(amount) => Answer::Posted(amount.clone()),
            State::Held => Answer::Held,
            State::Evidence | State::Silenced => Answer::Evidence,
        };
        match self.events.get_mut(&key) {
            Some(known) => {
                known.stands = sent.clone();
                known.accepted.push(sent.clone());
                known.state = state;
            }
            None => {
                let known = Known { stands: sent.clone(), state, accepted: vec![sent.clone()], contradicting: Vec::new() };
                self.events.insert(key, known);
            }
        }
        answer
    }

    /// Another source holds the call: its word is taken, or it is evidence.
    fn beside(&mut self, sent: &Sent, call: &(String, String)) -> State {
        let price = self.price(sent);
        let held = self.calls.get_mut(call).unwrap();
        held.told_by.insert(sent.source.clone());
        let (holder, word) = (held.holder.clone(), held.word.clone());
        let nothing_booked = self.events[&holder].state == State::Held;
        let louder = sent.source == RANKED_FIRST && word.0 != RANKED_FIRST;
        match price {
            Some(amount) if nothing_booked || louder => {
                self.silence(&holder, &word);
                self.calls.get_mut(call).unwrap().word = sent.key();
                State::Promoted(amount)
            }
            _ => State::Evidence,
        }
    }

    /// Another word takes the place of the one that a call is booked on.
    fn silence(&mut self, holder: &(String, String), word: &(String, String)) {
        if word == holder {
            self.events.get_mut(holder).unwrap().state = State::Silenced;
        } else {
            self.events.get_mut(word).unwrap().state = State::Evidence;
        }
    }

    /// Whoever's word nothing is charged on says something else: it contradicts no charge, and may be the better word now.
    fn speak_up(&mut self, sent: &Sent) -> Answer {
        let key = sent.key();
        let mine = |call: &&Call| call.holder == key;
        let state = match self.calls.values().find(mine) {
            Some(call) => {
                let louder = sent.source == RANKED_FIRST && call.word.0 != RANKED_FIRST;
                match self.price(sent).filter(|_| louder) {
                    Some(amount) => {
                        self.take_the_word_back(&key, amount.clone());
                        State::Posted(amount)
                    }
                    None => State::Silenced,
                }
            }
            None => self.beside(sent, &(sent.provider.clone(), sent.call.clone().unwrap())),
        };
        let known = self.events.get_mut(&key).unwrap();
        known.stands = sent.clone();
        known.accepted.push(sent.clone());
        known.state = state.clone();
        match state {
            State::Posted(amount) | State::Promoted(amount) => Answer::Posted(amount),
            _ => Answer::Evidence,
        }
    }

    fn take_the_word_back(&mut self, holder: &(String, String), amount: BigInt) {
        if let Some(call) = self.calls.values_mut().find(|call| call.holder == *holder) {
            let word = std::mem::replace(&mut call.word, holder.clone());
            if word != *holder {
                self.events.get_mut(&word).unwrap().state = State::Evidence;
            }
        }
        self.events.get_mut(holder).unwrap().state = State::Posted(amount);
    }

    pub fn retry_held(&mut self) -> (usize, usize) {
        let held: Vec<_> =
            self.events.iter().filter(|(_, known)| known.state == State::Held).map(|(key, _)| key.clone()).collect();
        let mut posted = 0;
        for key in &held {
            if let Some(amount) = self.price(&self.events[key].stands) {
                self.events.get_mut(key).unwrap().state = State::Posted(amount);
                posted += 1;
            }
        }
        (held.len(), posted)
    }

    pub fn open_conflicts(&self) -> usize {
        self.events.values().flat_map(|known| &known.contradicting).filter(|(_, open)| *open).count()
    }

    pub fn dismiss(&mut self, sent: &Sent) {
        self.decided(sent);
    }

    /// Accepting books the event again; what has no price cannot be accepted, unless nothing is booked on it.
    pub fn accept(&mut self, sent: &Sent) -> bool {
        let (key, price) = (sent.key(), self.price(sent));
        let is_evidence = matches!(self.events[&key].state, State::Evidence | State::Silenced);
        if price.is_none() && !is_evidence {
            return false;
        }
        self.decided(sent);
        let known = self.events.get_mut(&key).unwrap();
        known.stands = sent.clone();
        known.accepted.push(sent.clone());
        match (&known.state, price) {
            (State::Evidence | State::Silenced, _) => {}
            (State::Promoted(_), price) => known.state = State::Promoted(price.unwrap()),
            (_, price) => self.take_the_word_back(&key, price.unwrap()),
        }
        true
    }

    fn decided(&mut self, sent: &Sent) {
        let known = self.events.get_mut(&sent.key()).unwrap();
        let decided = known.contradicting.iter_mut().find(|(content, open)| *open && content.means_the_same_as(sent));
        decided.unwrap().1 = false;
    }

    pub fn held(&self) -> usize {
        self.events.values().filter(|known| known.state == State::Held).count()
    }

    fn posted(&self) -> impl Iterator<Item = (&Sent, &BigInt)> {
        self.events.values().filter_map(|known| match &known.state {
            State::Posted(amount) | State::Promoted(amount) => Some((&known.stands, amount)),
            State::Held | State::Evidence | State::Silenced => None,
        })
    }

    pub fn charged_events(&self) -> usize {
        self.posted().count()
    }

    pub fn total(&self) -> BigInt {
        self.posted().map(|(_, amount)| amount).sum()
    }

    pub fn balances(&self) -> BTreeMap<String, BigInt> {
        let mut balances: BTreeMap<String, BigInt> = BTreeMap::new();
        for (sent, amount) in self.posted() {
            let (cost, payable) = sent.accounts();
            *balances.entry(cost).or_default() += amount;
            *balances.entry(payable).or_default() -= amount;
        }
        balances.retain(|_, balance| *balance != BigInt::ZERO);
        balances
    }
}
