//! A PromptKit pricing descriptor: items of a unit and what *one* of it costs, or `per_1m_<unit>` for a million. Its rates are
//! bare numbers; they are read from their text, digit by digit. A dimension narrows an item to some calls: a service tier
//! and a region are conditions here too, any other is refused, because an item without it would price calls it is not for.

use super::{About, Stated, contract};
use crate::catalog::source::fields::{Fields, Literals};
use crate::catalog::source::notation::{self, PROMPTKIT};
use crate::catalog::{Conditional, Origin, Override, Rates};
use crate::money::{Currency, Rate};
use crate::usage::{Meter, Text};
use crate::yaml::{Mistake, Node};

pub fn read(descriptor: &Node, about: &About, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut fields) = Fields::of(descriptor, "", mistakes) else { return };
    let source_at = fields.line_of("source");
    if fields.word("source", &[("inline", true), ("remote", false)], mistakes) == Some(false) {
        let what = "`remote` names a price that stands elsewhere; write the items here";
        fields.wrong(source_at, "source", what.to_owned(), mistakes);
    }
    let origin = Origin {
        source: Some(Text::known("PromptKit pricing descriptor")),
        checked: fields.text("correct_at", mistakes),
        remark: None,
        note: None,
    };
    let currency = currency(&mut fields, mistakes);
    let mut tables = Tables::default();
    for item in fields.list("items", mistakes).unwrap_or_default() {
        if let Some(item) = Fields::of(item, "items", mistakes) {
            read_item(item, &mut tables, mistakes);
        }
    }
    let convenient = per_million(&mut fields, mistakes);
    tables.add(Conditional::default(), convenient, &fields, mistakes);

    let named =
        |of: &str| format!("missing; a PromptKit descriptor does not say which {of} it prices, so name it beside the file");
    let (provider, model) = (about.provider.clone(), about.model.clone());
    if provider.is_none() {
        fields.wrong(fields.line, "provider", named("provider"), mistakes);
    }
    if model.is_none() {
        fields.wrong(fields.line, "model", named("model"), mistakes);
    }
    let (Some(provider), Some(model), false) = (provider, model, tables.is_empty()) else { return };
    let (rates, when) = tables.into_rates();
    let priced = Override { currency, when, origin, ..contract(model, rates, "") };
    stated.contract(provider, priced, &fields, mistakes);
}

fn currency(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Currency {
    let Some((line, code)) = fields.scalar("currency", mistakes) else { return Currency::USD };
    code.to_ascii_uppercase().parse().unwrap_or_else(|e| {
        fields.wrong(line, "currency", format!("{e}"), mistakes);
        Currency::USD
    })
}

fn read_item(mut item: Fields<'_>, tables: &mut Tables, mistakes: &mut Vec<Mistake>) {
    let for_calls = read_dimensions(&mut item, mistakes);
    let rates = if item.has("unit") {
        let unit = item.word("unit", PROMPTKIT, mistakes);
        let rate = item.required("rate", mistakes, |item, mistakes| {
            let (key, node) = item.take("rate")?;
            item.rate(key, node, 0, Literals::Any, mistakes)
        });
        item.nothing_else(mistakes);
        Rates::new(unit.zip(rate).into_iter().collect())
    } else {
        per_million(&mut item, mistakes)
    };
    if let Some(for_calls) = for_calls {
        tables.add(for_calls, rates, &item, mistakes);
    }
}

/// The calls that an item is for, or nothing where that cannot be said here.
fn read_dimensions(item: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Option<Conditional> {
    if !item.has("dimensions") {
        return Some(Conditional::default());
    }
    let mut dimensions = item.inside("dimensions", mistakes)?;
    let for_calls = Conditional {
        service_tier: dimensions.text("service_tier", mistakes),
        region: dimensions.text("region", mistakes),
        ..Conditional::default()
    };
    let unknown: Vec<_> = dimensions.names().collect();
    for name in &unknown {
        let what = "no rate here depends on this dimension; known are service_tier, region".to_owned();
        dimensions.wrong(dimensions.line, name, what, mistakes);
    }
    unknown.is_empty().then_some(for_calls)
}

fn per_million(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Rates {
    let units: Vec<_> = PROMPTKIT.iter().map(|(unit, _)| *unit).collect();
    fields.rates_by(notation::promptkit, &format!("per_1m_<{}>", units.join("|")), Literals::Any, mistakes)
}

/// Rates by the calls they are for; those for every call have no condition.
#[derive(Default)]
struct Tables(Vec<(Conditional, Vec<(Meter, Rate)>)>);

impl Tables {
    fn add(&mut self, for_calls: Conditional, rates: Rates, at: &Fields<'_>, mistakes: &mut Vec<Mistake>) {
        let place = self.0.iter().position(|(other, _)| *other == for_calls).unwrap_or_else(|| {
            self.0.push((for_calls, Vec::new()));
            self.0.len() - 1
        });
        let table = &mut self.0[place].1;
        for (meter, rate) in rates.iter() {
            if table.iter().any(|(other, _)| *other == meter) {
                at.wrong(at.line, "", format!("{} has two rates for the same calls", meter.name()), mistakes);
            }
            table.push((meter, rate));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, rates)| rates.is_empty())
    }

    /// The rates for every call, and the conditional ones: the later wins, so those of more dimensions come later.
    fn into_rates(self) -> (Rates, Vec<Conditional>) {
        let (mut always, mut when) = (Rates::default(), Vec::new());
        for (for_calls, rates) in self.0 {
            let rates = Rates::new(rates);
            match dimensions(&for_calls) {
                0 => always = rates,
                _ => when.push(Conditional { rates, ..for_calls }),
            }
        }
        when.sort_by_key(dimensions);
        (always, when)
    }
}

fn dimensions(for_calls: &Conditional) -> usize {
    usize::from(for_calls.service_tier.is_some()) + usize::from(for_calls.region.is_some())
}
