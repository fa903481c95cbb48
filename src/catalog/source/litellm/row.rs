//! One row of the list as cards: first everything that it states, each rate with its place, then a decision on what one
//! meter cannot carry, then the cards. A meter that two different rates claim, or whose rate depends on what no event
//! says, has no rate in the end: usage of it is unpriced, which a person sees, and not priced by one of the two.

use super::key::Key;
use crate::catalog::resolution::MAX_CONDITIONS;
use crate::catalog::source::Notes;
use crate::catalog::{Card, Conditional, Origin, Rates};
use crate::money::{Factor, Rate};
use crate::time::{Weekdays, Window};
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::{MAX_TEXT, Meter, Text};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// A service tier, or none for ordinary calls.
type Tier = Option<&'static str>;

/// A part of the week; without either it is all of it.
type Hours = (Option<Window>, Option<Weekdays>);

/// The cards of a row, the one for ordinary calls first; none where it has no price.
pub fn read(label: &Text, fields: Object<'_>, notes: &mut Notes) -> Result<Vec<Card>, Rejected> {
    let mut row = Row {
        label,
        notes,
        stated: Vec::new(),
        withheld: BTreeMap::new(),
        off_peak: Vec::new(),
        regions: BTreeMap::new(),
        fast: None,
        regional_endpoints: None,
        source: None,
    };
    for (key, value) in fields.rest() {
        row.take(&key, value)?;
    }
    row.settle();
    row.cards()
}

struct Row<'n> {
    label: &'n Text,
    notes: &'n mut Notes,
    stated: Vec<Stated>,
    /// Meters that get no rate, and why.
    withheld: BTreeMap<Meter, &'static str>,
    /// When [`Place::OffPeak`] holds.
    off_peak: Vec<Hours>,
    /// What token rates are multiplied by in a region.
    regions: BTreeMap<Text, Factor>,
    /// What token rates are multiplied by in the tier of that name.
    fast: Option<Factor>,
    /// The same for every region but the global one, which no condition can say.
    regional_endpoints: Option<Factor>,
    source: Option<Text>,
}

/// One rate, as the row states it.
struct Stated {
    key: String,
    tier: Tier,
    place: Place,
    meter: Meter,
    price: Price,
}

/// Where on its card a rate stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Base,
    Over(u64),
    OffPeak,
}

/// A rate and the number it was read from.
#[derive(Clone)]
struct Price {
    rate: Rate,
    literal: String,
    rounded: bool,
}

type Table = BTreeMap<Place, BTreeMap<Meter, Rate>>;

const TWO_RATES: &str = "another rate for the same meter is beside it, so neither is taken";
const REFINED: &str = "it depends on more than an event says, so it is not taken";
const NOT_A_FEE: &str = "one of several things that are priced and no fee of every request, so it is not taken";
const ONLY_OVER: &str = "its tier has no rate below a threshold, so it is not taken";

const NOISE: &str = "float noise in the source";
const ROUNDED: &str = "rounded to 24 decimals";

/// What is said of a price that is taken and yet not quite what one would expect.
struct Remark {
    on_card: &'static str,
    in_notes: &'static str,
    applies: fn(&Price) -> bool,
}

const REMARKS: [Remark; 2] = [
    Remark { on_card: NOISE, in_notes: "float noise, taken as written", applies: Price::is_noisy },
    Remark { on_card: ROUNDED, in_notes: ROUNDED, applies: |price| price.rounded },
];

/// A fee for what a call did besides; no tier makes it cheaper. All else must have a rate in the tier itself.
const FEES: [Meter; 2] = [Meter::Request, Meter::WebSearch];

impl Row<'_> {
    fn take(&mut self, key: &str, value: &RawValue) -> Result<(), Rejected> {
        match key {
            _ if value.get() == "null" => Ok(()),
            "source" => {
                self.source = reading::string(value).and_then(Text::new);
                Ok(())
            }
            "tiered_pricing" => self.take_ranges(key, value),
            "off_peak_pricing" => self.take_off_peak(value),
            "search_context_cost_per_query" => self.take_search(key, value),
            "provider_specific_entry" => self.take_specific(value),
            "regional_endpoint_uplift_multiplier" => {
                self.regional_endpoints = Some(factor(key, value)?);
                self.note(&format!("{key}: it is for every region but the global one, so it is not taken"));
                Ok(())
            }
            // What the price of a search is per, where it says what everybody assumes.
            "web_search_billing_unit" if value.get() == "\"per_query\"" => Ok(()),
            _ => match key.strip_prefix("regional_processing_uplift_multiplier_") {
                Some(region) => self.take_region(region, key, value),
                None => self.take_rate(key, key, Place::Base, value),
            },
        }
    }

    /// A price by its key; `path` is the key with where it stands.
    fn take_rate(&mut self, path: &str, key: &str, place: Place, value: &RawValue) -> Result<(), Rejected> {
        match Key::read(key) {
            Key::Rate { meter, power, over, tier } if over.is_none() || place == Place::Base => {
                let price = Price::read(path, power, value)?;
                let place = over.map_or(place, Place::Over);
                self.stated.push(Stated { key: path.to_owned(), tier, place, meter, price });
            }
            Key::Rate { .. } => self.note(path),
            Key::UnknownPrice { refines } => {
                self.note(path);
                self.withheld.extend(refines.map(|meter| (meter, REFINED)));
            }
            Key::NoPrice => {}
        }
        Ok(())
    }

    /// Ranges of prompt tokens, each with the rates of a whole request of that size. A range begins *after* its lower bound.
    fn take_ranges(&mut self, key: &str, value: &RawValue) -> Result<(), Rejected> {
        let mut end = 0;
        for range in array(key, value)? {
            let mut range = Object::parse(range.get(), "tiered_pricing")?;
            let bounds = range.take("range").ok_or_else(|| range.wrong("range", Problem::Missing))?;
            let bounds: Vec<u64> = array("tiered_pricing.range", bounds)?
                .into_iter()
                .map(|bound| reading::count(bound).map_err(|problem| range.wrong("range", problem)))
                .collect::<Result<_, _>>()?;
            let [from, until] = bounds[..] else {
                return Err(range.wrong("range", Problem::Contradiction(format!("{} bounds instead of two", bounds.len()))));
            };
            if from != end {
                let gap = format!("{from}-{until} does not follow a range that ends at {end}");
                return Err(range.wrong("range", Problem::Contradiction(gap)));
            }
            let place = if from == 0 { Place::Base } else { Place::Over(from) };
            for (key, value) in range.rest() {
                self.take_rate(&format!("tiered_pricing.{key}"), &key, place, value)?;
            }
            end = until;
        }
        Ok(())
    }

    /// Rates of the hours in which few call.
    fn take_off_peak(&mut self, value: &RawValue) -> Result<(), Rejected> {
        let mut off_peak = Object::parse(value.get(), "off_peak_pricing")?;
        if off_peak.has("weekday_timezone") {
            self.note("off_peak_pricing: its days are not those of UTC, so it is not taken");
            return Ok(());
        }
        let windows = off_peak.take("windows").ok_or_else(|| off_peak.wrong("windows", Problem::Missing))?;
        for window in array("off_peak_pricing.windows", windows)? {
            self.off_peak.extend(hours_of(Object::parse(window.get(), "off_peak_pricing.windows")?)?);
        }
        for (key, value) in off_peak.rest() {
            self.take_rate(&format!("off_peak_pricing.{key}"), &key, Place::OffPeak, value)?;
        }
        Ok(())
    }

    /// The price of a search by the size of its context. An event counts searches, so only one price for all sizes will do.
    fn take_search(&mut self, key: &str, value: &RawValue) -> Result<(), Rejected> {
        let sizes = Object::parse(value.get(), "search_context_cost_per_query")?.rest();
        let prices: Vec<Price> = sizes.iter().map(|(_, value)| Price::read(key, 0, value)).collect::<Result<_, _>>()?;
        match prices.split_first() {
            Some((first, others)) if others.len() == 2 && others.iter().all(|other| other.rate == first.rate) => {
                let price = first.clone();
                self.stated.push(Stated { key: key.to_owned(), tier: None, place: Place::Base, meter: Meter::WebSearch, price });
            }
            _ => self.note(&format!("{key}: it depends on the size of the context, so it is not taken")),
        }
        Ok(())
    }

    /// Among settings of LiteLLM's own, two multipliers: of US-only inference, and of the fast mode.
    fn take_specific(&mut self, value: &RawValue) -> Result<(), Rejected> {
        for (key, value) in Object::parse(value.get(), "provider_specific_entry")?.rest() {
            let path = format!("provider_specific_entry.{key}");
            match &*key {
                "us" => self.take_region("us", &path, value)?,
                "fast" => self.fast = Some(factor(&path, value)?),
                _ => self.note(&path),
            }
        }
        Ok(())
    }

    fn take_region(&mut self, region: &str, path: &str, value: &RawValue) -> Result<(), Rejected> {
        let region = reading::text(path, region)?;
        match self.regions.insert(region, factor(path, value)?) {
            Some(_) => Err(Rejected::new(path, Problem::Twice)),
            None => Ok(()),
        }
    }

    fn note(&mut self, what: &str) {
        self.notes.add(what, self.label);
    }

    /// Decides what the cards leave out.
    fn settle(&mut self) {
        self.drop_free_sides();
        self.withhold_clashes();
        self.withhold_prices_per_query();
        self.drop_off_peak_beside_thresholds();
        self.drop_withheld();
        self.drop_tiers_without_a_base();
        for remark in REMARKS {
            if self.stated.iter().any(|it| (remark.applies)(&it.price)) {
                self.note(remark.in_notes);
            }
        }
    }

    /// Seconds that cost something on the way in and nothing on the way out are charged once.
    fn drop_free_sides(&mut self) {
        let sold = |it: &&Stated| !it.meter.is_token() && !it.price.rate.is_zero();
        let sold: BTreeSet<_> = self.stated.iter().filter(sold).map(Stated::slot).collect();
        self.stated.retain(|it| !it.price.rate.is_zero() || !sold.contains(&it.slot()));
    }

    fn withhold_clashes(&mut self) {
        let mut rates = BTreeMap::new();
        for it in &self.stated {
            if *rates.entry(it.slot()).or_insert(it.price.rate) != it.price.rate {
                self.withheld.entry(it.meter).or_insert(TWO_RATES);
            }
        }
    }

    /// Where pictures or seconds have a price too, a query is a text that was asked about, and not every request.
    fn withhold_prices_per_query(&mut self) {
        let per_query = self.stated.iter().any(|it| it.key.starts_with("input_cost_per_query"));
        if per_query && self.stated.iter().any(|it| it.meter != Meter::Request && !it.price.rate.is_zero()) {
            self.withheld.entry(Meter::Request).or_insert(NOT_A_FEE);
        }
    }

    fn drop_off_peak_beside_thresholds(&mut self) {
        let has = |is: fn(Place) -> bool| self.stated.iter().any(|it| is(it.place));
        if has(|place| place == Place::OffPeak) && has(|place| matches!(place, Place::Over(_))) {
            self.stated.retain(|it| it.place != Place::OffPeak);
            self.note("off_peak_pricing: thresholds are beside it and it is not said which of them wins, so it is not taken");
        }
    }

    fn drop_withheld(&mut self) {
        for it in std::mem::take(&mut self.stated) {
            match self.withheld.get(&it.meter) {
                Some(why) => self.note(&format!("{}: {why}", it.key)),
                None => self.stated.push(it),
            }
        }
    }

    /// A card says first what holds without a condition.
    fn drop_tiers_without_a_base(&mut self) {
        let is_base = |it: &&Stated| it.place == Place::Base;
        let based: BTreeSet<Tier> = self.stated.iter().filter(is_base).map(|it| it.tier).collect();
        for it in std::mem::take(&mut self.stated) {
            match based.contains(&it.tier) {
                true => self.stated.push(it),
                false => self.note(&format!("{}: {ONLY_OVER}", it.key)),
            }
        }
    }

    fn cards(self) -> Result<Vec<Card>, Rejected> {
        let mut drafts: BTreeMap<Tier, Draft> = BTreeMap::new();
        for it in &self.stated {
            drafts.entry(it.tier).or_default().add(it);
        }
        if let (Some(factor), Some(standard)) = (self.fast, drafts.get(&None)) {
            let fast = standard.multiplied(factor)?;
            if fast.table.contains_key(&Place::Base) {
                drafts.insert(Some("fast"), fast);
            }
        }
        let fees = drafts.get(&None).map_or_else(Vec::new, Draft::fees);
        for (_, draft) in drafts.iter_mut().filter(|(tier, _)| tier.is_some()) {
            let base = draft.table.entry(Place::Base).or_default();
            fees.iter().for_each(|(meter, fee)| _ = base.entry(*meter).or_insert(*fee));
        }
        drafts.into_iter().map(|(tier, draft)| self.card(tier, draft)).collect()
    }

    fn card(&self, tier: Tier, mut draft: Draft) -> Result<Card, Rejected> {
        let mut when = self.conditionals(&draft.table, None);
        // A region comes after the other conditions and with each of them again: the last one that holds is right about both.
        for (region, factor) in &self.regions {
            let there = draft.multiplied(*factor)?;
            when.extend(self.conditionals(&there.table, Some(region)));
            draft.remarks = there.remarks;
        }
        if when.len() > MAX_CONDITIONS {
            return Err(Rejected::new("conditions", Problem::TooManyOf(MAX_CONDITIONS)));
        }
        if let Some(factor) = self.regional_endpoints {
            draft.remark("not modelled", format!("regional endpoints cost {factor} times as much"));
        }
        let origin = Origin { source: self.source.clone(), checked: None, note: None, remark: draft.note() };
        let rates = rates(draft.table.get(&Place::Base));
        Ok(Card { service_tier: tier.map(Text::known), when, origin, ..Card::of(rates) })
    }

    /// The conditions under which each part of a table holds, in a region or everywhere; everywhere, its base needs none.
    fn conditionals(&self, table: &Table, region: Option<&Text>) -> Vec<Conditional> {
        let mut when = Vec::new();
        for (place, of_place) in table {
            let holds = Conditional { region: region.cloned(), rates: rates(Some(of_place)), ..Conditional::default() };
            match *place {
                Place::Base => when.extend(region.is_some().then_some(holds)),
                Place::Over(over) => when.push(Conditional { prompt_tokens_over: Some(over), ..holds }),
                Place::OffPeak => {
                    when.extend(self.off_peak.iter().map(|&(window, days)| Conditional { window, days, ..holds.clone() }));
                }
            }
        }
        when
    }
}

/// A card in the making, and what its note will say.
#[derive(Default)]
struct Draft {
    table: Table,
    remarks: BTreeMap<&'static str, Vec<String>>,
}

impl Draft {
    fn add(&mut self, it: &Stated) {
        self.table.entry(it.place).or_default().insert(it.meter, it.price.rate);
        for remark in REMARKS {
            if (remark.applies)(&it.price) {
                self.remark(remark.on_card, format!("{} {}", it.key, it.price.literal));
            }
        }
    }

    fn fees(&self) -> Vec<(Meter, Rate)> {
        let base = self.table.get(&Place::Base).into_iter().flatten();
        base.filter(|(meter, _)| FEES.contains(meter)).map(|(meter, fee)| (*meter, *fee)).collect()
    }

    /// All token rates under a multiplier; what is not counted in tokens costs the same.
    fn multiplied(&self, factor: Factor) -> Result<Draft, Rejected> {
        let mut product = Draft { table: Table::new(), remarks: self.remarks.clone() };
        for (place, rates) in &self.table {
            for (meter, rate) in rates.iter().filter(|(meter, _)| meter.is_token()) {
                let (rate, rounded) = rate.multiplied(factor).ok_or_else(|| {
                    Rejected::new(
                        "multiplier",
                        Problem::Contradiction(format!("{rate} times {factor} is more than a book holds")),
                    )
                })?;
                if rounded {
                    product.remark(ROUNDED, format!("{} times {factor}", meter.name()));
                }
                product.table.entry(*place).or_default().insert(*meter, rate);
            }
        }
        Ok(product)
    }

    fn remark(&mut self, what: &'static str, of: String) {
        self.remarks.entry(what).or_default().push(of);
    }

    fn note(&self) -> Option<Text> {
        let parts: Vec<String> = self.remarks.iter().map(|(what, of)| format!("{what}: {}", of.join(", "))).collect();
        // Keys, literals and meters are ASCII, so any byte is a place to cut.
        let mut note = parts.join("; ");
        note.truncate(MAX_TEXT);
        Text::new(note)
    }
}

impl Stated {
    /// What no two rates may share.
    fn slot(&self) -> (Tier, Place, Meter) {
        (self.tier, self.place, self.meter)
    }
}

impl Price {
    fn read(key: &str, power: u32, value: &RawValue) -> Result<Price, Rejected> {
        let literal = number(key, value)?;
        let (rate, rounded) = Rate::parse_per_rounded(literal, power).map_err(|why| Rejected::new(key, Problem::Money(why)))?;
        Ok(Price { rate, literal: literal.to_owned(), rounded })
    }

    /// Nobody publishes a price of so many digits: it was computed in floats. Which price was meant is a guess, so the
    /// number stands as it is written.
    fn is_noisy(&self) -> bool {
        let mantissa = self.literal.split(['e', 'E']).next().unwrap_or_default().replace('.', "");
        mantissa.trim_matches('0').len() > 12
    }
}

/// When a window of `off_peak_pricing` holds: each of its hours, on its days.
fn hours_of(mut window: Object<'_>) -> Result<Vec<Hours>, Rejected> {
    let hours = window.take("hours_utc").ok_or_else(|| window.wrong("hours_utc", Problem::Missing))?;
    let hours = if reading::kind(hours.get()) == "a string" { vec![hours] } else { array("hours_utc", hours)? };
    let mut days = None;
    for day in window.take("weekdays").map_or_else(|| Ok(Vec::new()), |days| array("weekdays", days))? {
        // 1 is Monday.
        let day = reading::count(day).ok().filter(|day| (1..=7).contains(day));
        let day = day.ok_or_else(|| window.wrong("weekdays", Problem::Contradiction("a day is 1 to 7".to_owned())))?;
        days = Some(Weekdays(days.map_or(0, |Weekdays(days)| days) | 1 << (day - 1)));
    }
    let read = |hours: &RawValue| {
        let clock = reading::string(hours).and_then(|text| Window::parse(&text));
        let clock = clock.ok_or_else(|| window.wrong("hours_utc", Problem::Contradiction(format!("{hours} is no window"))))?;
        // From midnight to midnight is no condition.
        Ok((Some(clock).filter(|clock| clock.from_minute != clock.until_minute), days))
    };
    hours.into_iter().map(read).collect()
}

fn rates(of_place: Option<&BTreeMap<Meter, Rate>>) -> Rates {
    Rates::new(of_place.into_iter().flatten().map(|(meter, rate)| (*meter, *rate)).collect())
}

fn factor(key: &str, value: &RawValue) -> Result<Factor, Rejected> {
    Factor::parse(number(key, value)?).map_err(|why| Rejected::new(key, Problem::Money(why)))
}

/// The digits of a number as they were written.
fn number<'a>(key: &str, value: &'a RawValue) -> Result<&'a str, Rejected> {
    match reading::kind(value.get()) {
        "a number" => Ok(value.get()),
        found => Err(Rejected::new(key, Problem::WrongType { expected: "a number", found })),
    }
}

fn array<'a>(key: &str, value: &'a RawValue) -> Result<Vec<&'a RawValue>, Rejected> {
    let found = reading::kind(value.get());
    serde_json::from_str(value.get()).map_err(|_| Rejected::new(key, Problem::WrongType { expected: "an array", found }))
}
