//! Our own catalog files: YAML, one provider a file, quoted decimals with the unit in the key's name ([`notation`]). Reading
//! collects every mistake with its line instead of stopping at the first (`fields`). Writing is canonical:
//! the same part is always the same text, and its hash is what a published version names the part by.

use super::fields::{Fields, Literals};
use super::{notation, rules};
use crate::catalog::resolution::MAX_CONDITIONS;
use crate::catalog::{
    Absent, Card, Ceiling, Conditional, CostBasis, EVERYWHERE, Insured, List, Model, Origin, Override, OverrideKind, Overrides,
    Part, Pattern, Rates, Scope, Slice,
};
use crate::money::{Amount, Currency, Rate};
use crate::time::Instant;
use crate::usage::Meter;
use crate::yaml::{Mistake, Node, written};
use std::fmt::Write;
use std::sync::Arc;

/// Reads one file into its parts: a list, overrides, or both.
pub fn read(yaml: &str) -> Result<Vec<Part>, Vec<Mistake>> {
    let tree = Node::parse(yaml).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Vec::new();
    let parts = read_file(&tree, &mut mistakes);
    match parts {
        Some(parts) if mistakes.is_empty() => Ok(parts),
        _ => {
            mistakes.sort_by_key(|mistake| mistake.line);
            Err(mistakes)
        }
    }
}

fn read_file(tree: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<Part>> {
    let mut file = Fields::of(tree, "", mistakes)?;
    if rules::is_one(&file) {
        return Some(vec![Part::Rules(Arc::new(rules::read(file, mistakes)))]);
    }
    let provider = file.required_text("provider", mistakes);
    let cost_basis = file.word("cost_basis", &[("rated", CostBasis::Rated), ("reported", CostBasis::Reported)], mistakes);
    let absent = file.word("absent", &[("included", Absent::Included), ("unknown", Absent::Unknown)], mistakes);
    let pricing_provider_id = file.text("pricing_provider_id", mistakes);
    let insured = read_insured(&mut file, mistakes);
    let origin = read_origin(&mut file, mistakes);
    let currency = file.currency(mistakes);
    let models = file.list("models", mistakes);
    let overrides = file.list("overrides", mistakes);
    let ceilings = file.list("ceilings", mistakes);
    let states_a_list = models.is_some() || cost_basis.is_some() || pricing_provider_id.is_some() || absent.is_some();
    let models = read_each(models, mistakes, |node, mistakes| read_model(node, currency, mistakes));
    let overrides = read_each(overrides, mistakes, |node, mistakes| read_override(node, currency, mistakes));
    let ceilings = read_each(ceilings, mistakes, |node, mistakes| read_ceiling(node, currency, mistakes));
    file.nothing_else(mistakes);

    let provider = provider?;
    if &*provider == EVERYWHERE && (states_a_list || !overrides.is_empty()) {
        let what = "`*` stands for every provider and has ceilings only; rates name their provider";
        file.wrong(tree.line, "provider", what.to_owned(), mistakes);
    }
    let mut parts = Vec::new();
    if states_a_list {
        parts.push(Part::List(Arc::new(List {
            provider: provider.clone(),
            pricing_provider_id,
            cost_basis: cost_basis.unwrap_or(CostBasis::Rated),
            absent: absent.unwrap_or(Absent::Unknown),
            insured,
            origin,
            models,
        })));
    }
    if !overrides.is_empty() || !ceilings.is_empty() {
        parts.push(Part::Overrides(Arc::new(Overrides { provider, overrides, ceilings })));
    }
    if parts.is_empty() && mistakes.is_empty() {
        file.wrong(tree.line, "models", "the file states neither models nor overrides nor ceilings".to_owned(), mistakes);
    }
    Some(parts)
}

fn read_model(node: &Node, currency: Option<Currency>, mistakes: &mut Vec<Mistake>) -> Option<Model> {
    let mut fields = Fields::of(node, "models", mistakes)?;
    let name = fields.required_text("model", mistakes);
    fields.at = format!("models.{}", name.as_deref().unwrap_or("?"));
    let aliases = fields.texts("aliases", mistakes);
    let delisted = fields.instant("delisted", mistakes);
    let cards = fields.list("cards", mistakes);
    if cards.is_none() {
        fields.wrong(node.line, "cards", "missing; a model has at least one card".to_owned(), mistakes);
    }
    let at = format!("{}.cards", fields.at);
    let mut cards = read_each(cards, mistakes, |node, mistakes| read_card(node, &at, currency, mistakes));
    cards.sort_by_key(|card| card.from);
    fields.nothing_else(mistakes);
    Some(Model { name: name?, aliases, delisted, cards })
}

fn read_card(node: &Node, at: &str, currency: Option<Currency>, mistakes: &mut Vec<Mistake>) -> Option<Card> {
    let mut fields = Fields::of(node, at, mistakes)?;
    let mistakes_before = mistakes.len();
    let card = Card {
        from: fields.instant("from", mistakes),
        seen_after: fields.instant("seen_after", mistakes),
        endpoint: fields.text("endpoint", mistakes),
        route: fields.text("route", mistakes),
        variant: fields.text("variant", mistakes),
        service_tier: fields.text("service_tier", mistakes),
        priced_as_answered: fields.word("priced_as", &[("the_model_that_answered", true)], mistakes).unwrap_or(false),
        currency: fields.currency(mistakes).or(currency).unwrap_or(Currency::USD),
        free: fields.flag("free", mistakes).unwrap_or(false),
        when: read_when(&mut fields, mistakes),
        graduated: read_graduated(&mut fields, mistakes),
        origin: read_origin(&mut fields, mistakes),
        rates: fields.rates(mistakes),
    };
    if card.priced_as_answered && !card.rates.is_empty() {
        let what = "a card that is priced as the model that answered has no rates of its own";
        fields.wrong(node.line, "priced_as", what.to_owned(), mistakes);
    }
    if card.rates.is_empty() && !card.free && !card.priced_as_answered && mistakes.len() == mistakes_before {
        fields.wrong(node.line, "", "a card has rates, such as input_per_1m: \"3\"".to_owned(), mistakes);
    }
    Some(card)
}

fn read_override(node: &Node, currency: Option<Currency>, mistakes: &mut Vec<Mistake>) -> Option<Override> {
    let mut fields = Fields::of(node, "overrides", mistakes)?;
    let kinds = [("contract", OverrideKind::Contract), ("chargeback", OverrideKind::Chargeback)];
    let kind = fields.required("kind", mistakes, |fields, mistakes| fields.word("kind", &kinds, mistakes));
    let scope = read_scope(&mut fields, mistakes);
    match (kind, &scope) {
        (Some(OverrideKind::Contract), Scope::Team(_) | Scope::Project(_) | Scope::Key(_)) => {
            let what = "a contract is what the provider charges the whole org; for one owner write `kind: chargeback`";
            fields.wrong(node.line, "kind", what.to_owned(), mistakes);
        }
        (Some(OverrideKind::Chargeback), Scope::Org) => {
            let what = "a chargeback names whom it is for: team, project or key";
            fields.wrong(node.line, "kind", what.to_owned(), mistakes);
        }
        _ => {}
    }
    let model = fields.text("model", mistakes).map_or(Pattern::Every, Pattern::of);
    let from = fields.instant("from", mistakes);
    let currency = fields.currency(mistakes).or(currency).unwrap_or(Currency::USD);
    let when = read_when(&mut fields, mistakes);
    let origin = read_origin(&mut fields, mistakes);
    let mistakes_before = mistakes.len();
    let rates = match fields.inside("pricing", mistakes) {
        Some(mut pricing) => {
            fields.nothing_else(mistakes);
            pricing.rates(mistakes)
        }
        None => fields.rates(mistakes),
    };
    if rates.is_empty() && when.is_empty() && mistakes.len() == mistakes_before {
        fields.wrong(node.line, "pricing", "missing; an override has rates".to_owned(), mistakes);
    }
    Some(Override { kind: kind?, scope, model, from, currency, rates, when, origin })
}

fn read_ceiling(node: &Node, currency: Option<Currency>, mistakes: &mut Vec<Mistake>) -> Option<Ceiling> {
    let mut fields = Fields::of(node, "ceilings", mistakes)?;
    let scope = read_scope(&mut fields, mistakes);
    let model = fields.text("model", mistakes).map_or(Pattern::Every, Pattern::of);
    let from = fields.instant("from", mistakes);
    let currency_at = fields.line_of("currency").max(node.line);
    let currency = fields.currency(mistakes).or(currency).unwrap_or(Currency::USD);
    let origin = read_origin(&mut fields, mistakes);
    let mistakes_before = mistakes.len();
    let bounds = match fields.inside("max_price", mistakes) {
        Some(max_price) => {
            fields.nothing_else(mistakes);
            if currency != Currency::USD {
                let what = "a max_price is in USD; for another currency write the unit, such as input_per_1m";
                fields.wrong(currency_at, "currency", what.to_owned(), mistakes);
            }
            read_max_price(max_price, mistakes)
        }
        None => {
            let known = format!("{} and amount_per_request", notation::OURS);
            fields.rates_by(notation::of_ceiling, &known, Literals::Quoted, mistakes)
        }
    };
    if bounds.is_empty() && mistakes.len() == mistakes_before {
        let what = "a ceiling bounds something, such as output_per_1m: \"20\" or amount_per_request: \"0.50\"";
        fields.wrong(node.line, "", what.to_owned(), mistakes);
    }
    Some(Ceiling {
        scope,
        model,
        from,
        currency,
        rates: Rates::new(bounds.iter().filter(|(meter, _)| *meter != Meter::Whole).collect()),
        per_request: bounds.get(Meter::Whole).map(|rate| Amount::from_units(rate.units())),
        origin,
    })
}

/// The unit of a `max_price` is in nobody's key, so the file says whose notation it is.
fn read_max_price(mut max_price: Fields<'_>, mistakes: &mut Vec<Mistake>) -> Rates {
    if !max_price.has("notation") {
        let what = "three systems mean three things by it: openrouter USD per million prompt and completion tokens, \
                    keeptrusts USD per million input and output tokens, cost-guard USD per request; \
                    say whose it is with `notation`, or write the unit instead: input_per_1m, amount_per_request";
        max_price.wrong(max_price.line, "", what.to_owned(), mistakes);
        return Rates::default();
    }
    match max_price.word("notation", notation::MAX_PRICE, mistakes) {
        Some(spellings) => max_price.rates_spelled(spellings, Literals::Quoted, mistakes),
        None => Rates::default(),
    }
}

/// Whom a rule is for: one owner or everybody.
fn read_scope(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Scope {
    let scopes = [
        fields.text("team", mistakes).map(Scope::Team),
        fields.text("project", mistakes).map(Scope::Project),
        fields.text("key", mistakes).map(Scope::Key),
    ];
    let mut scopes = scopes.into_iter().flatten();
    let scope = scopes.next().unwrap_or(Scope::Org);
    if scopes.next().is_some() {
        fields.wrong(fields.line, "", "there is one scope: a team, a project or a key".to_owned(), mistakes);
    }
    scope
}

fn read_when(card: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Conditional> {
    let list = card.list("when", mistakes);
    if let Some(list) = list.filter(|list| list.len() > MAX_CONDITIONS) {
        card.wrong(list[0].line, "when", format!("more than {MAX_CONDITIONS} conditions"), mistakes);
    }
    let at = format!("{}.when", card.at);
    read_each(list, mistakes, |node, mistakes| {
        let mut fields = Fields::of(node, &at, mistakes)?;
        let conditional = Conditional {
            prompt_tokens_over: fields.count("prompt_tokens_over", mistakes),
            window: fields.window("utc", mistakes),
            days: fields.days("days", mistakes),
            service_tier: fields.text("service_tier", mistakes),
            region: fields.text("region", mistakes),
            rates: fields.rates(mistakes),
        };
        if conditional == (Conditional { rates: conditional.rates.clone(), ..Conditional::default() }) {
            let what = "a condition is missing: prompt_tokens_over, utc, days, service_tier or region";
            fields.wrong(node.line, "", what.to_owned(), mistakes);
        }
        if conditional.rates.is_empty() {
            fields.wrong(node.line, "", "has no rates of its own".to_owned(), mistakes);
        }
        Some(conditional)
    })
}

fn read_graduated(card: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Slice> {
    let list = card.list("graduated", mistakes);
    let at = format!("{}.graduated", card.at);
    let mut slices = read_each(list, mistakes, |node, mistakes| {
        let mut fields = Fields::of(node, &at, mistakes)?;
        let over = fields.required("over", mistakes, |fields, mistakes| fields.count("over", mistakes));
        Some(Slice { rates: fields.rates(mistakes), over: over? })
    });
    slices.sort_by_key(|slice| slice.over);
    slices
}

fn read_insured(file: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Insured {
    let mut insured = Insured::default();
    for (line, word) in file.words("insured", mistakes) {
        match word.as_str() {
            "error" => insured.error = true,
            "empty" => insured.empty = true,
            other => file.wrong(line, "insured", format!("`{other}` is unknown; known are error, empty"), mistakes),
        }
    }
    insured
}

fn read_origin(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Origin {
    Origin {
        source: fields.text("source", mistakes),
        checked: fields.text("checked", mistakes),
        note: fields.text("note", mistakes),
        remark: fields.text("remark", mistakes),
    }
}

fn read_each<T>(
    list: Option<&[Node]>,
    mistakes: &mut Vec<Mistake>,
    read: impl Fn(&Node, &mut Vec<Mistake>) -> Option<T>,
) -> Vec<T> {
    list.unwrap_or_default().iter().filter_map(|node| read(node, mistakes)).collect()
}

/// The canonical text of a part.
pub fn write(part: &Part) -> String {
    let mut yaml = String::new();
    match part {
        Part::List(list) => write_list(list, &mut yaml),
        Part::Rules(part) => rules::write(part, &mut yaml),
        Part::Overrides(part) => {
            field(&mut yaml, "", "provider", Some(&part.provider));
            yaml.push_str(if part.overrides.is_empty() { "" } else { "overrides:\n" });
            part.overrides.iter().for_each(|rates| write_override(rates, &mut yaml));
            yaml.push_str(if part.ceilings.is_empty() { "" } else { "ceilings:\n" });
            part.ceilings.iter().for_each(|ceiling| write_ceiling(ceiling, &mut yaml));
        }
    }
    yaml
}

fn write_list(list: &List, yaml: &mut String) {
    field(yaml, "", "provider", Some(&list.provider));
    field(yaml, "", "pricing_provider_id", list.pricing_provider_id.as_deref());
    if list.cost_basis == CostBasis::Reported {
        yaml.push_str("cost_basis: reported\n");
    }
    let absent = match list.absent {
        Absent::Included => "included",
        Absent::Unknown => "unknown",
    };
    let _ = writeln!(yaml, "absent: {absent}");
    let insured: Vec<_> = [("error", list.insured.error), ("empty", list.insured.empty)]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(word, _)| word)
        .collect();
    if !insured.is_empty() {
        let _ = writeln!(yaml, "insured: [{}]", insured.join(", "));
    }
    write_origin(&list.origin, "", yaml);
    yaml.push_str(if list.models.is_empty() { "models: []\n" } else { "models:\n" });
    for model in &list.models {
        let _ = writeln!(yaml, "  - model: {}", written(&model.name));
        if !model.aliases.is_empty() {
            let aliases: Vec<_> = model.aliases.iter().map(|alias| written(alias)).collect();
            let _ = writeln!(yaml, "    aliases: [{}]", aliases.join(", "));
        }
        if let Some(delisted) = model.delisted {
            let _ = writeln!(yaml, "    delisted: {}", delisted.as_date_or_instant());
        }
        if !model.cards.is_empty() {
            yaml.push_str("    cards:\n");
        }
        for card in &model.cards {
            write_card(card, yaml);
        }
    }
}

fn write_card(card: &Card, yaml: &mut String) {
    let start = yaml.len();
    let indent = "        ";
    for (name, instant) in [("from", card.from), ("seen_after", card.seen_after)] {
        if let Some(instant) = instant {
            let _ = writeln!(yaml, "{indent}{name}: {}", instant.as_date_or_instant());
        }
    }
    field(yaml, indent, "endpoint", card.endpoint.as_deref());
    field(yaml, indent, "route", card.route.as_deref());
    field(yaml, indent, "variant", card.variant.as_deref());
    field(yaml, indent, "service_tier", card.service_tier.as_deref());
    if card.currency != Currency::USD {
        field(yaml, indent, "currency", Some(card.currency.as_str()));
    }
    if card.priced_as_answered {
        let _ = writeln!(yaml, "{indent}priced_as: the_model_that_answered");
    }
    if card.free {
        let _ = writeln!(yaml, "{indent}free: true");
    }
    write_rates(&card.rates, indent, yaml);
    write_when(&card.when, indent, yaml);
    if !card.graduated.is_empty() {
        let _ = writeln!(yaml, "{indent}graduated:");
        for slice in &card.graduated {
            let _ = writeln!(yaml, "{indent}  - over: {}", slice.over);
            write_rates(&slice.rates, "            ", yaml);
        }
    }
    write_origin(&card.origin, indent, yaml);
    // The first line of an item carries its dash.
    yaml.replace_range(start..start + indent.len(), "      - ");
}

fn write_override(rates: &Override, yaml: &mut String) {
    let kind = match rates.kind {
        OverrideKind::Contract => "contract",
        OverrideKind::Chargeback => "chargeback",
    };
    let _ = writeln!(yaml, "  - kind: {kind}");
    let indent = "    ";
    write_reach(&rates.scope, &rates.model, rates.from, rates.currency, indent, yaml);
    write_rates(&rates.rates, indent, yaml);
    write_when(&rates.when, indent, yaml);
    write_origin(&rates.origin, indent, yaml);
}

fn write_ceiling(ceiling: &Ceiling, yaml: &mut String) {
    let start = yaml.len();
    let indent = "    ";
    write_reach(&ceiling.scope, &ceiling.model, ceiling.from, ceiling.currency, indent, yaml);
    write_rates(&ceiling.rates, indent, yaml);
    field(yaml, indent, "amount_per_request", ceiling.per_request.map(|amount| amount.to_string()).as_deref());
    write_origin(&ceiling.origin, indent, yaml);
    // The first line of an item carries its dash.
    yaml.replace_range(start..start + indent.len(), "  - ");
}

/// Whom and what a rule is about, and from when.
fn write_reach(scope: &Scope, model: &Pattern, from: Option<Instant>, currency: Currency, indent: &str, yaml: &mut String) {
    match scope {
        Scope::Org => {}
        Scope::Team(team) => field(yaml, indent, "team", Some(team)),
        Scope::Project(project) => field(yaml, indent, "project", Some(project)),
        Scope::Key(key) => field(yaml, indent, "key", Some(key)),
    }
    if *model != Pattern::Every {
        field(yaml, indent, "model", Some(&model.to_string()));
    }
    if let Some(from) = from {
        let _ = writeln!(yaml, "{indent}from: {}", from.as_date_or_instant());
    }
    if currency != Currency::USD {
        field(yaml, indent, "currency", Some(currency.as_str()));
    }
}

fn write_when(when: &[Conditional], indent: &str, yaml: &mut String) {
    if when.is_empty() {
        return;
    }
    let _ = writeln!(yaml, "{indent}when:");
    let inner = format!("{indent}    ");
    for conditional in when {
        let start = yaml.len();
        if let Some(over) = conditional.prompt_tokens_over {
            let _ = writeln!(yaml, "{inner}prompt_tokens_over: {over}");
        }
        if let Some(window) = conditional.window {
            let _ = writeln!(yaml, "{inner}utc: \"{window}\"");
        }
        if let Some(days) = conditional.days {
            let _ = writeln!(yaml, "{inner}days: [{}]", days.names().collect::<Vec<_>>().join(", "));
        }
        field(yaml, &inner, "service_tier", conditional.service_tier.as_deref());
        field(yaml, &inner, "region", conditional.region.as_deref());
        write_rates(&conditional.rates, &inner, yaml);
        yaml.replace_range(start..start + inner.len(), &format!("{indent}  - "));
    }
}

fn write_rates(rates: &Rates, indent: &str, yaml: &mut String) {
    for (meter, rate) in rates.iter() {
        let (name, rate) = quoted(meter, rate);
        let _ = writeln!(yaml, "{indent}{name}: \"{rate}\"");
    }
}

/// A rate as files quote it: tokens by the million, the rest one by one.
pub fn quoted(meter: Meter, rate: Rate) -> (String, String) {
    let (unit, power) = if meter.is_token() { ("per_1m", 6) } else { ("each", 0) };
    (format!("{}_{unit}", meter.name()), rate.quoted_per(power))
}

fn write_origin(origin: &Origin, indent: &str, yaml: &mut String) {
    field(yaml, indent, "source", origin.source.as_deref());
    if let Some(checked) = &origin.checked {
        let _ = writeln!(yaml, "{indent}checked: {}", if is_date(checked) { checked.to_string() } else { written(checked) });
    }
    field(yaml, indent, "note", origin.note.as_deref());
    field(yaml, indent, "remark", origin.remark.as_deref());
}

fn is_date(text: &str) -> bool {
    Instant::parse_date_or_instant(text).is_ok_and(|instant| instant.as_date_or_instant() == text && text.len() == 10)
}

fn field(yaml: &mut String, indent: &str, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        let _ = writeln!(yaml, "{indent}{name}: {}", written(text));
    }
}
