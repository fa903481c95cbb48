//! Synthetic usage: what a busy gateway sends, with ids that nothing can predict. The same seed gives the same events.

use crate::catalog::Catalog;
use crate::time::Instant;

/// A small generator of numbers; benchmarks must not depend on a better one.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Seeds that follow each other must not give sequences that do.
        let mut random = Random(seed);
        Random(random.next() ^ random.next().rotate_left(32))
    }

    /// splitmix64
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Bytes of an event's id: 32 hexadecimal digits.
pub const ID: usize = 32;
const USERS: u64 = 2_000;

/// Writes events; the place of each id is known, so that a sender can change it without writing the event anew.
pub struct Sample {
    random: Random,
    models: Vec<String>,
    /// Milliseconds since the first day that the usage happens on.
    clock: u64,
    /// Up to so many milliseconds from one to the next.
    pace: u64,
    /// After which it begins again.
    days: u64,
    /// In milliseconds.
    first_day: i64,
}

/// 2026-10-01
const OCTOBER: i64 = 1_790_812_800_000;
const DAY: u64 = 86_400_000;
/// 2026-09-01: the shipped prices hold already, and nothing that is spread over days lies in the future.
const LONG_AGO: i64 = OCTOBER - 30 * DAY as i64;

impl Sample {
    /// Usage of twenty models of a catalog, a few events a second.
    pub fn new(seed: u64, catalog: &Catalog) -> Sample {
        let list = catalog.lists().find(|list| &*list.provider == "openrouter").or_else(|| catalog.lists().next());
        let priced = list.into_iter().flat_map(|list| &list.models).filter(|model| {
            model.cards.iter().any(|card| !card.is_doubtful_zero() && !card.free && card.rates.iter().count() >= 3)
        });
        let models = priced.take(20).map(|model| model.name.to_string()).collect();
        Sample { random: Random::new(seed), models, clock: 0, pace: 1_000, days: 28, first_day: OCTOBER }
    }

    /// The same over months, as slow as is wanted.
    pub fn spread(seed: u64, catalog: &Catalog, pace: u64) -> Sample {
        Sample { pace: pace.max(1), days: 1_000, first_day: LONG_AGO, ..Sample::new(seed, catalog) }
    }

    /// The instant at which a day of them begins.
    pub fn first_day(day: u64) -> String {
        Instant::from_micros((LONG_AGO + (day * DAY) as i64) * 1_000).to_string()
    }

    /// Appends one event as JSON and answers where in `to` its id begins.
    pub fn write(&mut self, to: &mut Vec<u8>) -> usize {
        let random = &mut self.random;
        self.clock += random.below(self.pace);
        let at = Instant::from_micros((self.first_day + (self.clock % (self.days * DAY)) as i64) * 1_000);
        let model = &self.models[(random.below(100) * random.below(100) / 500) as usize % self.models.len()];
        let user = random.below(USERS).min(random.below(USERS));
        to.extend_from_slice(br#"{"id":""#);
        let place = to.len();
        to.extend_from_slice(format!("{:016x}{:016x}", random.next(), random.next()).as_bytes());
        let rest = format!(
            "\",\"source\":\"gateway-eu\",\"occurred_at\":\"{at}\",\"provider\":\"openrouter\",\
             \"model\":\"{model}\",\"requested_model\":\"fast\",\"usage\":{{\"input\":{},\"cache_read\":{},\"output\":{}}},\
             \"provider_request_id\":null,\"user\":\"user-{user}\",\"team\":\"team-{}\",\"project\":\"project-{}\",\"key\":\"key-{}\",\
             \"app\":\"assistant\",\"environment\":\"production\",\"session\":\"s-{:012x}\",\"labels\":{{\"feature\":\"answers\",\"region\":\"eu\"}},\
             \"outcome\":\"succeeded\"}}",
            50 + random.below(4_000),
            random.below(3) * 1_024,
            20 + random.below(900),
            user % 40,
            user % 90,
            user % 300,
            random.next() >> 16,
        );
        to.extend_from_slice(rest.as_bytes());
        place
    }
}

/// Puts a new id in the place of an old one.
pub fn renew(id: &mut [u8], random: &mut Random) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for digits in id.chunks_mut(16) {
        let mut bits = random.next();
        for digit in digits {
            *digit = HEX[(bits & 15) as usize];
            bits >>= 4;
        }
    }
}
