//! OpenRouter's model list (the body of `GET /api/v1/models`) as one of our lists, and the endpoints of one model, the level
//! that is really billed (the body of `GET /api/v1/models/{author}/{slug}/endpoints`). Prices are decimal strings in USD per
//! unit and are taken over digit by digit. Three of its habits need care: a model whose price follows the clock shows at
//! the top level whatever holds *right now*, so the schedule is imported and not that; `-1` means the price of whichever
//! model answers; and a row of zeros is only free where its name says so. What is not understood is counted and named.

use crate::catalog::resolution::is_ordinary;
use crate::catalog::source::{Imported, Notes, printable, within_bounds};
use crate::catalog::{Absent, Card, Conditional, CostBasis, Insured, List, Model, Origin, Rates};
use crate::money::Rate;
use crate::time::{Weekdays, Window};
use crate::usage::reading::{self, Object, Problem, Rejected, string};
use crate::usage::{Meter, Text};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: [(&str, Meter); 13] = [
    ("prompt", Meter::Input),
    ("completion", Meter::Output),
    ("input_cache_read", Meter::CacheRead),
    ("input_cache_write", Meter::CacheWrite),
    ("input_cache_write_1h", Meter::CacheWrite1h),
    ("internal_reasoning", Meter::Reasoning),
    ("audio", Meter::AudioInput),
    ("input_audio_cache", Meter::AudioCacheRead),
    ("audio_output", Meter::AudioOutput),
    ("image_token", Meter::ImageInput),
    ("image_output", Meter::ImageOutput),
    ("web_search", Meter::WebSearch),
    ("request", Meter::Request),
];

/// Reads a list as it was served: one card without a date for each of its rows.
pub fn read(json: &str) -> Result<Imported, Rejected> {
    let mut body = Object::parse(json, "")?;
    let rows = body.array("data")?.ok_or_else(|| body.wrong("data", Problem::Missing))?;
    if rows.is_empty() {
        return Err(body.wrong("data", Problem::Empty));
    }

    let mut notes = Notes::default();
    let mut models = Vec::with_capacity(rows.len());
    let mut aliases = Aliases::default();
    for row in rows {
        let mut row = Object::parse(row.get(), "data")?;
        let id = row.required_text("id")?;
        if let Some(slug) = row.text("canonical_slug")? {
            aliases.offer(&slug_of_variant(&slug, &id), &id);
        }
        if let Some(mut target) = row.object("alias_target", "data.alias_target")? {
            aliases.offer(&id, &target.required_text("slug")?);
            aliases.redirects.insert(id);
            continue;
        }
        let mut pricing = row.object("pricing", "data.pricing")?.ok_or_else(|| row.wrong("pricing", Problem::Missing))?;
        if pricing.take("discount").is_some() {
            notes.add("discount", &id);
        }
        let cards = vec![read_card(pricing, &id, &mut notes)?];
        models.push(Model { name: id, aliases: Vec::new(), delisted: None, cards });
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    aliases.settle(&mut models, &mut notes);

    let list = list(Text::new("https://openrouter.ai/api/v1/models"), models);
    Ok(Imported { lists: vec![list], notes: notes.into_lines() })
}

/// Reads the endpoints of one model as they were served: a list of that model alone, with a card for each of its endpoints.
pub fn read_endpoints(json: &str) -> Result<Imported, Rejected> {
    let mut body = Object::parse(json, "")?;
    let mut data = body.object("data", "data")?.ok_or_else(|| body.wrong("data", Problem::Missing))?;
    let id = data.required_text("id")?;
    let rows = data.array("endpoints")?.ok_or_else(|| data.wrong("endpoints", Problem::Missing))?;

    let mut notes = Notes::default();
    let mut cards: Vec<Card> = Vec::with_capacity(rows.len());
    for row in rows {
        match read_endpoint(row, &id, &mut notes) {
            Err(rejected) => notes.left_out(&rejected, &id),
            Ok(card) if cards.iter().any(|other| other.is_same_kind(&card)) => {
                notes.add(&format!("a second row of {}, left out", card.route.as_deref().unwrap_or_default()), &id);
            }
            Ok(card) => cards.push(card),
        }
    }
    if cards.is_empty() {
        return Err(data.wrong("endpoints", Problem::Empty));
    }
    // Each model has an address of its own, so the endpoints of one say nothing about which other models are listed.
    let source = printable(&format!("https://openrouter.ai/api/v1/models/{id}/endpoints"));
    let model = Model { name: id, aliases: Vec::new(), delisted: None, cards };
    Ok(Imported { lists: vec![list(source, vec![model])], notes: notes.into_lines() })
}

fn list(source: Option<Text>, models: Vec<Model>) -> List {
    List {
        provider: Text::known("openrouter"),
        pricing_provider_id: None,
        cost_basis: CostBasis::Reported,
        absent: Absent::Included,
        insured: Insured { error: true, empty: true },
        origin: Origin {
            source,
            checked: None,
            note: Some(Text::known("per unit in USD, as listed; an image rate equal to the prompt rate is taken as per token")),
            remark: None,
        },
        models,
    }
}

fn read_endpoint(row: &RawValue, id: &Text, notes: &mut Notes) -> Result<Card, Rejected> {
    let mut row = Object::parse(row.get(), "data.endpoints")?;
    let (endpoint, route) = (row.required_text("provider_name")?, row.required_text("tag")?);
    let service_tier = row.text("service_tier")?.or_else(|| tier_of_route(&route)).filter(|tier| !is_ordinary(tier));
    let mut pricing = row.object("pricing", "data.endpoints.pricing")?.ok_or_else(|| row.wrong("pricing", Problem::Missing))?;
    // One page says that prices are to be multiplied by it, another that those shown already are. It is kept beside them.
    let discount = pricing.take("discount").map(|discount| format!("discount {} listed; not applied", discount.get()));
    let origin = Origin { remark: discount.as_deref().and_then(printable), ..Origin::default() };
    let card = read_card(pricing, id, notes)?;
    Ok(Card { endpoint: Some(endpoint), route: Some(route), service_tier, origin, ..card })
}

/// `flex` of `google-vertex/global/flex`: the row of a tier is another price, also where its field is not filled in.
fn tier_of_route(route: &str) -> Option<Text> {
    let (_, last) = route.rsplit_once('/')?;
    ["flex", "priority"].contains(&last).then(|| Text::new(last)).flatten()
}

fn read_card(mut pricing: Object<'_>, id: &Text, notes: &mut Notes) -> Result<Card, Rejected> {
    let overrides = pricing.array("overrides")?.unwrap_or_default();
    let Some(mut rates) = read_rates(&mut pricing, id, notes)? else {
        return Ok(Card { priced_as_answered: true, ..Card::of(Rates::default()) });
    };
    let mut when = Vec::with_capacity(overrides.len());
    for entry in overrides {
        when.extend(read_override(Object::parse(entry.get(), "data.pricing.overrides")?, id, notes)?);
    }
    settle_schedule(&mut rates, &when);
    let free = id.ends_with(":free") || &**id == "openrouter/free";
    within_bounds(Card { free, when, ..Card::of(Rates::new(rates)) })
}

/// The rates of a pricing object, or nothing where it says `-1`: the model that answers has the price.
fn read_rates(pricing: &mut Object<'_>, id: &Text, notes: &mut Notes) -> Result<Option<Vec<(Meter, Rate)>>, Rejected> {
    let mut rates = Vec::new();
    let mut routes = false;
    let mut take = |pricing: &mut Object<'_>, key: &str| -> Result<Option<Rate>, Rejected> {
        let Some(value) = pricing.take(key) else { return Ok(None) };
        let found = reading::kind(value.get());
        let literal =
            string(value).ok_or_else(|| pricing.wrong(key, Problem::WrongType { expected: "a decimal string", found }))?;
        if literal == "-1" {
            routes = true;
            return Ok(None);
        }
        Rate::parse(&literal).map(Some).map_err(|e| pricing.wrong(key, Problem::Money(e)))
    };
    for (key, meter) in KEYS {
        if let Some(rate) = take(pricing, key)? {
            rates.push((meter, rate));
        }
    }
    // Documented as "per input image", but it repeats the prompt's rate per token wherever it is listed today. A rate of
    // its own can only be meant per image.
    if let Some(rate) = take(pricing, "image")? {
        let per_token = rates.iter().any(|(meter, prompt)| *meter == Meter::Input && *prompt == rate);
        rates.push((if per_token { Meter::ImageInput } else { Meter::Image }, rate));
    }
    for key in pricing.names() {
        notes.add(key, id);
    }
    Ok((!routes).then_some(rates))
}

/// A conditional price. One whose conditions are not all understood would hold too often: it is left out and named.
fn read_override(mut entry: Object<'_>, id: &Text, notes: &mut Notes) -> Result<Option<Conditional>, Rejected> {
    let prompt_tokens_over = entry.count("min_prompt_tokens")?;
    let window = match (entry.count("utc_start")?, entry.count("utc_end")?) {
        (None, None) => None,
        (Some(from), Some(until)) => {
            let no_window =
                || entry.wrong("utc_start", Problem::Contradiction(format!("{from}-{until} is not a window of the clock")));
            let window = minute(from).zip(minute(until)).ok_or_else(no_window)?;
            Some(Window { from_minute: window.0, until_minute: window.1 })
        }
        _ => {
            return Err(
                entry.wrong("utc_start", Problem::Contradiction("a window has two ends, utc_start and utc_end".to_owned()))
            );
        }
    };
    let days = entry.take("utc_days").map(|days| {
        days_of(days.get())
            .ok_or_else(|| entry.wrong("utc_days", Problem::Contradiction(format!("{} are not days of the week", days.get()))))
    });
    let days = days.transpose()?;
    let rates = read_rates(&mut entry, id, notes)?.unwrap_or_default();
    let conditional = Conditional { prompt_tokens_over, window, days, rates: Rates::new(rates), ..Conditional::default() };
    let has_condition = prompt_tokens_over.is_some() || window.is_some() || days.is_some();
    // What is left has just been noted: a condition or a price that nobody here knows.
    if entry.names().next().is_some() || !has_condition || conditional.rates.is_empty() {
        notes.add("conditional price left out", id);
        return Ok(None);
    }
    Ok(Some(conditional))
}

/// `1630` is half past four.
fn minute(clock: u64) -> Option<u16> {
    (clock <= 2400 && clock % 100 < 60).then_some((clock / 100 % 24 * 60 + clock % 100) as u16)
}

fn days_of(json: &str) -> Option<Weekdays> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    let days = names.iter().map(|name| Weekdays::named(name)).collect::<Option<Vec<_>>>()?;
    Some(Weekdays(days.iter().fold(0, |bits, day| bits | day.0))).filter(|days| days.0 != 0)
}

/// Where windows of the clock cover every minute of the week, the top level is only the price of the minute it was
/// fetched in. The first window's rates stand there instead, so that fetching at another hour changes nothing.
fn settle_schedule(rates: &mut [(Meter, Rate)], when: &[Conditional]) {
    let Some(first) =
        when.iter().filter(|when| when.window.is_some()).min_by_key(|when| when.window.map(|window| window.from_minute))
    else {
        return;
    };
    for (meter, rate) in rates {
        let covers = |day: Weekdays, minute: u16| {
            when.iter().any(|when| {
                when.rates.get(*meter).is_some()
                    && when.prompt_tokens_over.is_none()
                    && when.days.is_none_or(|days| days.has(day))
                    && when.window.is_some_and(|window| window.has(minute))
            })
        };
        let always = (0..7).all(|day| (0..1440).all(|minute| covers(Weekdays(1 << day), minute)));
        if let Some(scheduled) = first.rates.get(*meter).filter(|_| always) {
            *rate = scheduled;
        }
    }
}

/// `openai/gpt-5-20260101:batch` for the row `openai/gpt-5:batch`: the dated name is the same for all variants of a model.
fn slug_of_variant(slug: &str, id: &str) -> String {
    match id.split_once(':') {
        Some((_, variant)) if !slug.contains(':') => format!("{slug}:{variant}"),
        _ => slug.to_owned(),
    }
}

/// Other names of models, kept only where they lead to exactly one.
#[derive(Default)]
struct Aliases {
    /// Every name that was offered, with the models it would lead to.
    offered: BTreeMap<String, BTreeSet<String>>,
    /// Rows that are nothing but a name for another.
    redirects: BTreeSet<Text>,
}

impl Aliases {
    fn offer(&mut self, alias: &str, model: &str) {
        if alias != model {
            self.offered.entry(alias.to_owned()).or_default().insert(model.to_owned());
        }
    }

    fn settle(self, models: &mut [Model], notes: &mut Notes) {
        let names: BTreeSet<String> = models.iter().map(|model| model.name.to_string()).collect();
        for (alias, mut leads_to) in self.offered {
            // A row that only redirects shares the dated name of the model it leads to.
            leads_to.retain(|model| !self.redirects.iter().any(|redirect| **redirect == **model));
            let Ok(text) = reading::text("alias", &alias) else { continue };
            match leads_to.first() {
                Some(only) if leads_to.len() == 1 && names.contains(only) && !names.contains(&alias) => {
                    let model = models.iter_mut().find(|model| *model.name == **only).expect("its name is in the set of names");
                    model.aliases.push(text);
                }
                Some(_) if !names.contains(&alias) => notes.add("ambiguous alias", &text),
                _ => {}
            }
        }
    }
}
