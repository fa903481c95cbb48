//! The genai-prices data set as lists of ours, one per provider: the published feed (a list of providers) or its package's
//! data (`{units, providers}`). It is the one public table that knows dates: of a model's prices the last one whose
//! constraint holds is in force *as a whole*, so each becomes a card from its date, and a price for some hours of the day a
//! condition on the cards it interrupts. Variants (batch, flex, fast) are laid over those prices key by key and become
//! cards of their service tier. Only exact names are taken as aliases; its patterns would be guesses about models that do
//! not exist yet.
//!
//! Its rule for what is not priced: a specific unit with a price is subtracted from the unit that includes it, and one
//! without a price stays in there and costs what that costs. That is `absent: included`.

use crate::catalog::resolution::is_ordinary;
use crate::catalog::source::{Imported, Notes, note_on_card, printable, quoted, row, within_bounds};
use crate::catalog::{Absent, Card, Conditional, List, Model, Origin, Rates};
use crate::money::Rate;
use crate::time::{Instant, Window};
use crate::usage::reading::{self, Object, Problem, Rejected, string};
use crate::usage::{Meter, Text};
use serde_json::value::RawValue;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

const MILLION: u64 = 1_000_000;

/// A price key, the meter that means the same, the number of units its price is quoted for, and how many of the meter are
/// one such unit. The published feed carries no table of units; this is what that of the package says about these keys.
/// Where two keys mean one meter the first one counts.
const KEYS: [(&str, Meter, u64, u64); 19] = [
    ("input_mtok", Meter::Input, MILLION, 1),
    ("output_mtok", Meter::Output, MILLION, 1),
    ("cache_read_mtok", Meter::CacheRead, MILLION, 1),
    ("cache_write_mtok", Meter::CacheWrite, MILLION, 1),
    ("cache_write_1h_mtok", Meter::CacheWrite1h, MILLION, 1),
    ("output_reasoning_mtok", Meter::Reasoning, MILLION, 1),
    ("input_audio_mtok", Meter::AudioInput, MILLION, 1),
    ("cache_audio_read_mtok", Meter::AudioCacheRead, MILLION, 1),
    ("output_audio_mtok", Meter::AudioOutput, MILLION, 1),
    ("input_image_mtok", Meter::ImageInput, MILLION, 1),
    ("output_image_mtok", Meter::ImageOutput, MILLION, 1),
    ("input_video_mtok", Meter::VideoInput, MILLION, 1),
    ("requests_kcount", Meter::Request, 1_000, 1),
    ("web_searches_kcount", Meter::WebSearch, 1_000, 1),
    ("input_gpixels", Meter::Pixel, 1_000 * MILLION, 1),
    ("input_document_kpages", Meter::Page, 1_000, 1),
    ("audio_hours", Meter::Millisecond, 3_600, 1_000),
    ("input_audio_hours", Meter::Millisecond, 3_600, 1_000),
    ("input_mchars", Meter::Character, MILLION, 1),
];

/// Providers that our catalogs name otherwise.
const PROVIDERS: [(&str, &str); 2] = [("aws", "bedrock"), ("x-ai", "xai")];

/// Fields without a price: how usage is found in an answer, and what a model is.
const OF_A_PROVIDER: [&str; 6] = ["name", "description", "api_pattern", "extractors", "model_match", "provider_match"];
const OF_A_MODEL: [&str; 4] = ["name", "description", "context_window", "deprecated"];

/// Reads either shape of the data set.
pub fn read(json: &str) -> Result<Imported, Rejected> {
    let (units, providers) = match reading::kind(json) {
        "an array" => {
            let syntax = |e: serde_json::Error| Rejected::new("providers", Problem::Syntax(e.to_string()));
            (Units::default(), serde_json::from_str::<Vec<&RawValue>>(json).map_err(syntax)?)
        }
        _ => {
            let mut body = Object::parse(json, "")?;
            let units = body.object("units", "units")?.map_or_else(|| Ok(Units::default()), Units::read)?;
            (units, body.array("providers")?.ok_or_else(|| body.wrong("providers", Problem::Missing))?)
        }
    };
    let mut notes = Notes::default();
    let mut lists: BTreeMap<Text, List> = BTreeMap::new();
    for (place, provider) in providers.into_iter().enumerate() {
        match read_provider(provider, &units, &mut notes) {
            Err(rejected) => notes.left_out(&rejected, &row("providers", &place.to_string())),
            Ok(list) if list.models.is_empty() => {}
            Ok(list) => match lists.entry(list.provider.clone()) {
                Entry::Vacant(place) => {
                    place.insert(list);
                }
                Entry::Occupied(first) => notes.add("a second list of one provider, left out", &row(first.key(), "*")),
            },
        }
    }
    if lists.is_empty() {
        return Err(Rejected::new("providers", Problem::Empty));
    }
    Ok(Imported { lists: lists.into_values().collect(), notes: notes.into_lines() })
}

/// How many units a price key is quoted for, as the file says.
#[derive(Default)]
struct Units(BTreeMap<String, u64>);

impl Units {
    fn read(table: Object<'_>) -> Result<Units, Rejected> {
        let mut per_key = BTreeMap::new();
        for (_, unit) in table.rest() {
            let mut unit = Object::parse(unit.get(), "units")?;
            let key = unit.required_text("price_key")?;
            match unit.count("per")? {
                None | Some(0) => return Err(unit.wrong("per", Problem::Missing)),
                Some(per) => per_key.insert(key.to_string(), per),
            };
        }
        Ok(Units(per_key))
    }

    fn per(&self, key: &str, built_in: u64) -> u64 {
        self.0.get(key).copied().unwrap_or(built_in)
    }
}

fn read_provider(json: &RawValue, units: &Units, notes: &mut Notes) -> Result<List, Rejected> {
    let mut provider = Object::parse(json.get(), "providers")?;
    let id = provider.required_text("id")?;
    let rows = provider.array("models")?.ok_or_else(|| provider.wrong("models", Problem::Missing))?;
    let note = comments(&mut provider);
    let pages = provider.array("pricing_urls")?.unwrap_or_default();
    let page = pages.first().and_then(|page| printable(&string(page)?));
    for key in provider.names().filter(|key| !OF_A_PROVIDER.contains(key)) {
        notes.add(key, &row(&id, "*"));
    }

    let mut models: BTreeMap<Text, Model> = BTreeMap::new();
    for (place, json) in rows.into_iter().enumerate() {
        let (name, object) = match named(json) {
            Ok(named) => named,
            Err(rejected) => {
                notes.left_out(&rejected, &row(&id, &place.to_string()));
                continue;
            }
        };
        let row = row(&id, &name);
        // A row without a price stays until the end, so that no other model's alias takes its name.
        let model = Model { name: name.clone(), aliases: Vec::new(), delisted: None, cards: Vec::new() };
        match models.entry(name) {
            Entry::Occupied(_) => notes.add("a second row of one model, left out", &row),
            Entry::Vacant(place) => {
                let model = place.insert(model);
                if let Err(rejected) = read_model(model, object, units, page.as_ref(), &row, notes) {
                    notes.left_out(&rejected, &row);
                }
            }
        }
    }
    settle_aliases(&mut models, &id, notes);
    models.retain(|_, model| !model.cards.is_empty());

    let ours = PROVIDERS.iter().find(|(theirs, _)| *theirs == &*id).map(|(_, ours)| Text::known(ours));
    Ok(List {
        absent: Absent::Included,
        origin: Origin { source: Some(Text::known("genai-prices by pydantic")), checked: None, note, remark: None },
        models: models.into_values().collect(),
        ..List::empty(ours.unwrap_or(id))
    })
}

fn named(json: &RawValue) -> Result<(Text, Object<'_>), Rejected> {
    let mut model = Object::parse(json.get(), "models")?;
    Ok((model.required_text("id")?, model))
}

fn comments(object: &mut Object<'_>) -> Option<Text> {
    printable(&string(object.take("price_comments")?)?)
}

/// Fills in a model's names and cards.
fn read_model(
    model: &mut Model,
    mut object: Object<'_>,
    units: &Units,
    page: Option<&Text>,
    row: &Text,
    notes: &mut Notes,
) -> Result<(), Rejected> {
    let names = exact_names(&mut object, row, notes)?;
    let stated = read_stated(&mut object, units, row, notes)?;
    let variants = read_variants(&mut object, units, row, notes)?;
    let about = About { free: model.name.ends_with(":free"), page, said: comments(&mut object) };
    for key in object.names().filter(|key| !OF_A_MODEL.contains(key)) {
        notes.add(key, row);
    }

    let phases = phases_of(&stated);
    let tiers: BTreeSet<&Text> = variants.iter().map(|variant| &variant.tier).collect();
    let mut cards = cards_of(&phases, None, &about)?;
    for tier in tiers {
        cards.extend(cards_of(&laid_over(&phases, &variants, tier), Some(tier), &about)?);
    }
    if cards.is_empty() {
        notes.add("no price", row);
    }
    cards.sort_by_key(|card| card.from);
    model.cards = cards;
    model.aliases = names.into_iter().filter(|name| *name != model.name).collect();
    Ok(())
}

/// The names that a match rule spells out.
fn exact_names(model: &mut Object<'_>, row: &Text, notes: &mut Notes) -> Result<BTreeSet<Text>, Rejected> {
    let mut names = BTreeSet::new();
    let mut rules: Vec<&RawValue> = model.take("match").into_iter().collect();
    while let Some(rule) = rules.pop() {
        let mut rule = Object::parse(rule.get(), "match")?;
        names.extend(rule.text("equals")?);
        rules.extend(rule.array("or")?.unwrap_or_default());
        if rule.names().next().is_some() {
            notes.add("match by a pattern", row);
        }
    }
    Ok(names)
}

/// An alias leads to one model, and never to another one than the model of that name.
fn settle_aliases(models: &mut BTreeMap<Text, Model>, provider: &str, notes: &mut Notes) {
    let mut claims: BTreeMap<Text, u32> = models.keys().map(|name| (name.clone(), 1)).collect();
    for alias in models.values().flat_map(|model| &model.aliases) {
        *claims.entry(alias.clone()).or_default() += 1;
    }
    for model in models.values_mut() {
        let row = row(provider, &model.name);
        model.aliases.retain(|alias| {
            let is_sole = claims[alias] == 1;
            if !is_sole {
                notes.add("an alias of several models, dropped", &row);
            }
            is_sole
        });
    }
}

/// What a key costs: so much, and beyond a number of prompt tokens so much for all of them.
#[derive(Clone, PartialEq)]
struct Price {
    base: Rate,
    tiers: BTreeMap<u64, Rate>,
    /// The key, where one of these had to be rounded.
    rounded: Option<&'static str>,
}

type Prices = BTreeMap<Meter, Price>;

/// One entry of a model's prices: in force from a date on, at some hours of the day, or both.
struct Stated {
    from: Option<Instant>,
    window: Option<Window>,
    prices: Prices,
}

/// `prices` is one object, or a list of them with constraints.
fn read_stated(model: &mut Object<'_>, units: &Units, row: &Text, notes: &mut Notes) -> Result<Vec<Stated>, Rejected> {
    let json = model.take("prices").ok_or_else(|| model.wrong("prices", Problem::Missing))?;
    if reading::kind(json.get()) == "an object" {
        let prices = read_prices(Object::parse(json.get(), "prices")?, units, row, notes)?;
        return Ok(vec![Stated { from: None, window: None, prices }]);
    }
    let entries: Vec<&RawValue> = serde_json::from_str(json.get()).map_err(|_| {
        let found = reading::kind(json.get());
        model.wrong("prices", Problem::WrongType { expected: "an object or an array", found })
    })?;
    let mut stated = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = Object::parse(entry.get(), "prices")?;
        let (from, window) = read_constraint(&mut entry)?;
        let prices = entry.object("prices", "prices")?.ok_or_else(|| entry.wrong("prices", Problem::Missing))?;
        let prices = read_prices(prices, units, row, notes)?;
        nothing_else(&entry)?;
        stated.push(Stated { from, window, prices });
    }
    Ok(stated)
}

/// When a price holds. What is not understood here would be a price at the wrong time, so it costs the row.
fn read_constraint(entry: &mut Object<'_>) -> Result<(Option<Instant>, Option<Window>), Rejected> {
    let Some(mut constraint) = entry.object("constraint", "prices.constraint")? else { return Ok((None, None)) };
    let date = constraint.text("start_date")?;
    let from = date
        .map(|date| Instant::parse_date_or_instant(&date))
        .transpose()
        .map_err(|e| constraint.wrong("start_date", Problem::Date(e)))?;
    let window = match (read_clock(&mut constraint, "start_time")?, read_clock(&mut constraint, "end_time")?) {
        (Some(from_minute), Some(until_minute)) => Some(Window { from_minute, until_minute }),
        (None, None) => None,
        (None, _) => return Err(constraint.wrong("start_time", Problem::Missing)),
        (_, None) => return Err(constraint.wrong("end_time", Problem::Missing)),
    };
    nothing_else(&constraint)?;
    Ok((from, window))
}

/// `00:30:00Z` or `00:30:00+00:00`, as a minute of the UTC day.
fn read_clock(constraint: &mut Object<'_>, name: &str) -> Result<Option<u16>, Rejected> {
    let Some(clock) = constraint.text(name)? else { return Ok(None) };
    // On a date of its own a time with an offset is an instant, and that knows its minute in UTC.
    let instant = Instant::parse(&format!("1970-01-02T{clock}")).map_err(|e| constraint.wrong(name, Problem::Date(e)))?;
    match instant.micros() % 60_000_000 {
        0 => Ok(Some(instant.minute_of_day())),
        _ => Err(constraint.wrong(name, Problem::Contradiction(format!("{clock} is not a whole minute")))),
    }
}

fn nothing_else(object: &Object<'_>) -> Result<(), Rejected> {
    object.names().next().map_or(Ok(()), |name| Err(object.wrong(name, Problem::UnknownField)))
}

fn read_prices(mut object: Object<'_>, units: &Units, row: &Text, notes: &mut Notes) -> Result<Prices, Rejected> {
    let mut prices = Prices::new();
    for (key, meter, per, pieces) in KEYS {
        let Some(json) = object.take(key) else { continue };
        let price = read_price(json, key, units.per(key, per) * pieces)?;
        match prices.entry(meter) {
            Entry::Vacant(place) => {
                place.insert(price);
            }
            Entry::Occupied(first) if (first.get().base, &first.get().tiers) == (price.base, &price.tiers) => {}
            Entry::Occupied(_) => notes.add(key, row),
        }
    }
    for key in object.names() {
        notes.add(key, row);
    }
    Ok(prices)
}

fn read_price(json: &RawValue, key: &'static str, per: u64) -> Result<Price, Rejected> {
    let mut rounded = None;
    let mut rate = |json: &RawValue, field: &str| -> Result<Rate, Rejected> {
        let (rate, was_rounded) = quoted(json, per).map_err(|problem| Rejected::new(format!("prices.{field}"), problem))?;
        rounded = rounded.or(was_rounded.then_some(key));
        Ok(rate)
    };
    if reading::kind(json.get()) != "an object" {
        return Ok(Price { base: rate(json, key)?, tiers: BTreeMap::new(), rounded });
    }
    let mut object = Object::parse(json.get(), key)?;
    let base = rate(object.take("base").ok_or_else(|| object.wrong("base", Problem::Missing))?, key)?;
    let mut tiers = BTreeMap::new();
    for tier in object.array("tiers")?.unwrap_or_default() {
        let mut tier = Object::parse(tier.get(), "tiers")?;
        let start = tier.count("start")?.ok_or_else(|| tier.wrong("start", Problem::Missing))?;
        let price = rate(tier.take("price").ok_or_else(|| tier.wrong("price", Problem::Missing))?, key)?;
        if tiers.insert(start, price).is_some() {
            return Err(tier.wrong("start", Problem::Twice));
        }
        nothing_else(&tier)?;
    }
    nothing_else(&object)?;
    Ok(Price { base, tiers, rounded })
}

/// Prices that are asked for by a word of the request.
struct Variant {
    /// What the word is about: how it is processed, its service tier or its speed. For us each is a service tier.
    about: String,
    tier: Text,
    from: Option<Instant>,
    prices: Prices,
}

fn read_variants(model: &mut Object<'_>, units: &Units, row: &Text, notes: &mut Notes) -> Result<Vec<Variant>, Rejected> {
    let mut variants: Vec<Variant> = Vec::new();
    for json in model.array("price_variants")?.unwrap_or_default() {
        let mut object = Object::parse(json.get(), "price_variants")?;
        let when = object.take("when").ok_or_else(|| object.wrong("when", Problem::Missing))?;
        let (from, window) = read_constraint(&mut object)?;
        let prices = object.object("prices", "price_variants.prices")?;
        let prices = prices.ok_or_else(|| object.wrong("prices", Problem::Missing))?;
        let prices = read_prices(prices, units, row, notes)?;
        nothing_else(&object)?;
        let ours = service_tier(when).filter(|(about, tier)| {
            // Two different wishes that share a word would be one card.
            window.is_none() && !variants.iter().any(|other| other.tier == *tier && other.about != *about)
        });
        match ours {
            Some((_, tier)) if is_ordinary(&tier) && prices.is_empty() => {}
            Some((about, tier)) if !is_ordinary(&tier) => variants.push(Variant { about, tier, from, prices }),
            _ => notes.add(&format!("price_variants {}", when.get()), row),
        }
    }
    Ok(variants)
}

/// The service tier that a wish such as `{"processing":"batch"}` is for us. A route is none: whoever picked it also picked
/// the upstream, which this data set does not name.
fn service_tier(when: &RawValue) -> Option<(String, Text)> {
    let wishes = Object::parse(when.get(), "when").ok()?.rest();
    let [(about, word)] = wishes.as_slice() else { return None };
    let word = string(word)?;
    let known = matches!((&**about, &*word), ("processing", "batch") | ("service_tier" | "speed", _));
    known.then(|| Some((about.to_string(), Text::new(&*word)?))).flatten()
}

/// What is in force from an instant on: around the clock, and instead of that at some hours.
#[derive(Clone, PartialEq)]
struct Phase {
    from: Option<Instant>,
    always: Prices,
    clock: Vec<(Window, Prices)>,
}

/// The last entry that holds wins as a whole; the first one is the default and holds whatever its constraint says.
fn phases_of(stated: &[Stated]) -> Vec<Phase> {
    let starts: BTreeSet<Option<Instant>> = stated.iter().map(|entry| entry.from).chain([None]).collect();
    let in_force_from = |from: Option<Instant>| {
        let mut phase = Phase { from, always: Prices::new(), clock: Vec::new() };
        for (place, entry) in stated.iter().enumerate().filter(|(place, entry)| *place == 0 || entry.from <= from) {
            match entry.window.filter(|_| place > 0) {
                Some(window) => phase.clock.push((window, entry.prices.clone())),
                None => phase = Phase { from, always: entry.prices.clone(), clock: Vec::new() },
            }
        }
        phase
    };
    without_repetition(starts.into_iter().map(in_force_from).collect())
}

/// A variant's prices replace those of their keys from its date on, whatever the others do; of several variants of one
/// word the first has the say. Before the first date nothing is stated of the variant, so there is no card.
fn laid_over(phases: &[Phase], variants: &[Variant], tier: &Text) -> Vec<Phase> {
    let variants: Vec<_> = variants.iter().filter(|variant| variant.tier == *tier).collect();
    let first = variants.iter().map(|variant| variant.from).min().flatten();
    let starts: BTreeSet<Option<Instant>> =
        phases.iter().map(|phase| phase.from).chain(variants.iter().map(|variant| variant.from)).collect();
    let in_force_from = |from: Option<Instant>| {
        let below = phases.iter().rfind(|phase| phase.from <= from).expect("the first phase has no date");
        let mut phase = Phase { from, ..below.clone() };
        for variant in variants.iter().rev().filter(|variant| variant.from <= from) {
            for prices in phase.clock.iter_mut().map(|(_, prices)| prices).chain([&mut phase.always]) {
                prices.extend(variant.prices.clone());
            }
        }
        phase
    };
    without_repetition(starts.into_iter().filter(|from| *from >= first).map(in_force_from).collect())
}

fn without_repetition(mut phases: Vec<Phase>) -> Vec<Phase> {
    phases.dedup_by(|later, earlier| later.always == earlier.always && later.clock == earlier.clock);
    phases
}

/// What all cards of a model share.
struct About<'a> {
    free: bool,
    page: Option<&'a Text>,
    said: Option<Text>,
}

fn cards_of(phases: &[Phase], tier: Option<&Text>, about: &About<'_>) -> Result<Vec<Card>, Rejected> {
    let mut cards = Vec::with_capacity(phases.len());
    for phase in phases {
        let card = card_of(phase, tier, about)?;
        if !card.rates.is_empty() || card.free {
            cards.push(card);
        } else if !cards.is_empty() {
            // Without a card for it the price before would go on.
            let ends = "a price ends and none follows".to_owned();
            return Err(Rejected::new("prices", Problem::Contradiction(ends)));
        }
    }
    Ok(cards)
}

fn card_of(phase: &Phase, tier: Option<&Text>, about: &About<'_>) -> Result<Card, Rejected> {
    let always = with_cached_audio(phase.always.clone());
    let mut when = tiers_of(&always, None);
    let mut rounded: BTreeSet<&str> = always.values().filter_map(|price| price.rounded).collect();
    for (window, prices) in &phase.clock {
        let prices = with_cached_audio(prices.clone());
        // A condition leaves alone what it does not name, but these prices replace all.
        if !prices.keys().eq(always.keys()) {
            let other = format!("the price of {window} has other keys than the one it interrupts");
            return Err(Rejected::new("prices", Problem::Contradiction(other)));
        }
        when.push(Conditional { window: Some(*window), rates: base_of(&prices), ..Conditional::default() });
        when.extend(tiers_of(&prices, Some(*window)));
        rounded.extend(prices.values().filter_map(|price| price.rounded));
    }
    let mut card = Card {
        from: phase.from,
        service_tier: tier.cloned(),
        when,
        origin: Origin {
            source: about.page.cloned(),
            checked: None,
            note: None,
            remark: note_on_card(&rounded, about.said.as_deref()),
        },
        ..Card::of(base_of(&always))
    };
    // Nothing to pay is what the name says, too.
    card.free = about.free && card.is_doubtful_zero();
    within_bounds(card)
}

/// Cached audio is in two units there, cached and audio. With a price for the one and none for the other it costs that; our
/// own rule knows only what to do where audio has a price.
fn with_cached_audio(mut prices: Prices) -> Prices {
    if let Some(cached) = prices.get(&Meter::CacheRead).filter(|_| !prices.contains_key(&Meter::AudioInput)).cloned() {
        prices.entry(Meter::AudioCacheRead).or_insert(cached);
    }
    prices
}

fn base_of(prices: &Prices) -> Rates {
    Rates::new(prices.iter().map(|(meter, price)| (*meter, price.base)).collect())
}

/// One condition for each threshold, with all that changes there; the highest one that is passed holds.
fn tiers_of(prices: &Prices, window: Option<Window>) -> Vec<Conditional> {
    let mut by_start: BTreeMap<u64, Vec<(Meter, Rate)>> = BTreeMap::new();
    for (meter, price) in prices {
        for (start, rate) in &price.tiers {
            by_start.entry(*start).or_default().push((*meter, *rate));
        }
    }
    let condition = |(start, rates)| Conditional {
        prompt_tokens_over: Some(start),
        window,
        rates: Rates::new(rates),
        ..Conditional::default()
    };
    by_start.into_iter().map(condition).collect()
}
