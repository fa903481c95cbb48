//! Our own catalog files: YAML, one provider a file, quoted decimals with the unit in the key's name. Reading collects
//! every mistake with its line instead of stopping at the first. Writing is canonical: the same part is always the same
//! text, and its hash is what a published version names the part by.

use crate::catalog::resolution::MAX_CONDITIONS;
use crate::catalog::{
    Absent, Card, Conditional, CostBasis, Insured, List, Model, Origin, Override, OverrideKind, Overrides, Part, Pattern, Rates,
    Scope, Slice,
};
use crate::money::{Currency, Rate};
use crate::time::{Instant, Weekdays, Window};
use crate::usage::{Meter, Text, reading};
use crate::yaml::{Key, Mistake, Node, Value, written};
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
    let provider = file.required_text("provider", mistakes);
    let cost_basis = file.word("cost_basis", &[("rated", CostBasis::Rated), ("reported", CostBasis::Reported)], mistakes);
    let absent = file.word("absent", &[("included", Absent::Included), ("unknown", Absent::Unknown)], mistakes);
    let pricing_provider_id = file.text("pricing_provider_id", mistakes);
    let insured = read_insured(&mut file, mistakes);
    let origin = read_origin(&mut file, mistakes);
    let currency = read_currency(&mut file, mistakes);
    let models = file.list("models", mistakes);
    let overrides = file.list("overrides", mistakes);
    let states_a_list = models.is_some() || cost_basis.is_some() || pricing_provider_id.is_some() || absent.is_some();
    let models = read_each(models, mistakes, |node, mistakes| read_model(node, currency, mistakes));
    let overrides = read_each(overrides, mistakes, |node, mistakes| read_override(node, currency, mistakes));
    file.nothing_else(mistakes);

    let provider = provider?;
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
    if !overrides.is_empty() {
        parts.push(Part::Overrides(Arc::new(Overrides { provider, overrides })));
    }
    if parts.is_empty() && mistakes.is_empty() {
        file.wrong(tree.line, "models", "the file states neither models nor overrides".to_owned(), mistakes);
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
        currency: read_currency(&mut fields, mistakes).or(currency).unwrap_or(Currency::USD),
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
    let scopes = [
        fields.text("team", mistakes).map(Scope::Team),
        fields.text("project", mistakes).map(Scope::Project),
        fields.text("key", mistakes).map(Scope::Key),
    ];
    let mut scopes = scopes.into_iter().flatten();
    let scope = scopes.next().unwrap_or(Scope::Org);
    if scopes.next().is_some() {
        fields.wrong(node.line, "", "an override has one scope: a team, a project or a key".to_owned(), mistakes);
    }
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
    let model = match fields.text("model", mistakes) {
        None => Pattern::Every,
        Some(name) => match name.strip_suffix('*') {
            Some("") => Pattern::Every,
            Some(prefix) => Pattern::Prefix(reading::text("model", prefix).ok()?),
            None => Pattern::Exact(name),
        },
    };
    let from = fields.instant("from", mistakes);
    let currency = read_currency(&mut fields, mistakes).or(currency).unwrap_or(Currency::USD);
    let when = read_when(&mut fields, mistakes);
    let origin = read_origin(&mut fields, mistakes);
    let rates = match fields.take("pricing") {
        Some((_, pricing)) => {
            let at = format!("{}.pricing", fields.at);
            fields.nothing_else(mistakes);
            Fields::of(pricing, &at, mistakes)?.rates(mistakes)
        }
        None => fields.rates(mistakes),
    };
    if rates.is_empty() {
        fields.wrong(node.line, "pricing", "missing; an override has rates".to_owned(), mistakes);
    }
    Some(Override { kind: kind?, scope, model, from, currency, rates, when, origin })
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
    }
}

fn read_currency(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Option<Currency> {
    let line = fields.line_of("currency");
    let code = fields.text("currency", mistakes)?;
    code.parse().map_err(|e| fields.wrong(line, "currency", format!("{e}"), mistakes)).ok()
}

fn read_each<T>(
    list: Option<&[Node]>,
    mistakes: &mut Vec<Mistake>,
    read: impl Fn(&Node, &mut Vec<Mistake>) -> Option<T>,
) -> Vec<T> {
    list.unwrap_or_default().iter().filter_map(|node| read(node, mistakes)).collect()
}

/// The fields of one map, taken out by name; what is left over is a mistake.
struct Fields<'a> {
    at: String,
    left: Vec<&'a (Key, Node)>,
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node, at: &str, mistakes: &mut Vec<Mistake>) -> Option<Fields<'a>> {
        match &node.value {
            Value::Map(pairs) => {
                Some(Fields { at: at.to_owned(), left: pairs.iter().filter(|(_, value)| !value.is_null()).collect() })
            }
            _ => {
                mistakes.push(Mistake {
                    line: node.line,
                    field: at.to_owned(),
                    what: format!("expected a map, found {}", node.kind()),
                });
                None
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<(&'a Key, &'a Node)> {
        let place = self.left.iter().position(|(key, _)| key.name == name)?;
        let (key, value) = self.left.remove(place);
        Some((key, value))
    }

    fn line_of(&self, name: &str) -> usize {
        self.left.iter().find(|(key, _)| key.name == name).map_or(0, |(key, _)| key.line)
    }

    fn wrong(&self, line: usize, name: &str, what: String, mistakes: &mut Vec<Mistake>) {
        let dot = if self.at.is_empty() || name.is_empty() { "" } else { "." };
        mistakes.push(Mistake { line, field: format!("{}{dot}{name}", self.at), what });
    }

    fn required<T>(
        &mut self,
        name: &str,
        mistakes: &mut Vec<Mistake>,
        read: impl FnOnce(&mut Self, &mut Vec<Mistake>) -> Option<T>,
    ) -> Option<T> {
        if !self.left.iter().any(|(key, _)| key.name == name) {
            let line = self.left.first().map_or(1, |(key, _)| key.line);
            self.wrong(line, name, "missing".to_owned(), mistakes);
            return None;
        }
        read(self, mistakes)
    }

    fn required_text(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Text> {
        self.required(name, mistakes, |fields, mistakes| fields.text(name, mistakes))
    }

    fn scalar(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<(usize, &'a str)> {
        let (key, node) = self.take(name)?;
        if node.scalar().is_none() {
            self.wrong(key.line, name, format!("expected one value, found {}", node.kind()), mistakes);
        }
        Some((key.line, node.scalar()?))
    }

    fn text(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Text> {
        let (line, text) = self.scalar(name, mistakes)?;
        reading::text(name, text).map_err(|e| self.wrong(line, name, e.problem.to_string(), mistakes)).ok()
    }

    fn word<T: Copy>(&mut self, name: &str, known: &[(&str, T)], mistakes: &mut Vec<Mistake>) -> Option<T> {
        let (line, text) = self.scalar(name, mistakes)?;
        let meaning = known.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if meaning.is_none() {
            let known: Vec<_> = known.iter().map(|(word, _)| *word).collect();
            self.wrong(line, name, format!("`{text}` is unknown; known are {}", known.join(", ")), mistakes);
        }
        meaning
    }

    fn flag(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        self.word(name, &[("true", true), ("false", false)], mistakes)
    }

    fn count(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<u64> {
        let (line, text) = self.scalar(name, mistakes)?;
        let digits: String = text.chars().filter(|c| *c != '_').collect();
        digits.parse().map_err(|_| self.wrong(line, name, format!("`{text}` is not a whole number"), mistakes)).ok()
    }

    fn instant(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Instant> {
        let (line, text) = self.scalar(name, mistakes)?;
        Instant::parse_date_or_instant(text).map_err(|e| self.wrong(line, name, e.to_string(), mistakes)).ok()
    }

    /// `16:30-00:30`
    fn window(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Window> {
        let (line, text) = self.scalar(name, mistakes)?;
        let window = Window::parse(text);
        if window.is_none() {
            self.wrong(line, name, format!("`{text}` is not a window of the UTC clock; write it like \"16:30-00:30\""), mistakes);
        }
        window
    }

    fn days(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Weekdays> {
        self.left.iter().find(|(key, _)| key.name == name)?;
        let mut days = Weekdays(0);
        for (line, word) in self.words(name, mistakes) {
            match Weekdays::named(&word) {
                Some(day) => days.0 |= day.0,
                None => {
                    self.wrong(line, name, format!("`{word}` is unknown; known are {}", Weekdays::NAMES.join(", ")), mistakes)
                }
            }
        }
        Some(days)
    }

    fn list(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<&'a [Node]> {
        let (key, node) = self.take(name)?;
        match &node.value {
            Value::List(nodes) => Some(nodes),
            _ => {
                self.wrong(key.line, name, format!("expected a list, found {}", node.kind()), mistakes);
                None
            }
        }
    }

    fn words(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Vec<(usize, String)> {
        let nodes = self.list(name, mistakes).unwrap_or_default();
        nodes.iter().filter_map(|node| Some((node.line, node.scalar()?.to_owned()))).collect()
    }

    fn texts(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Vec<Text> {
        let mut texts = Vec::new();
        for (line, word) in self.words(name, mistakes) {
            match reading::text(name, &word) {
                Ok(text) => texts.push(text),
                Err(e) => self.wrong(line, name, e.problem.to_string(), mistakes),
            }
        }
        texts
    }

    /// Everything that is left is a rate, or a mistake.
    fn rates(&mut self, mistakes: &mut Vec<Mistake>) -> Rates {
        let mut rates: Vec<(Meter, Rate)> = Vec::new();
        for (key, node) in std::mem::take(&mut self.left) {
            let Some((meter, power)) = unit(&key.name) else {
                let what = format!("unknown field; rates are <meter>{}", UNITS.map(|(unit, _)| unit).join("|"));
                self.wrong(key.line, &key.name, what, mistakes);
                continue;
            };
            match &node.value {
                Value::Scalar { text, quoted: true } => match Rate::parse_per(text, power) {
                    Ok(_) if rates.iter().any(|(other, _)| *other == meter) => {
                        self.wrong(key.line, &key.name, format!("{} has two rates here", meter.name()), mistakes);
                    }
                    Ok(rate) => rates.push((meter, rate)),
                    Err(e) => self.wrong(key.line, &key.name, e.to_string(), mistakes),
                },
                Value::Scalar { text, .. } => {
                    let what = format!("a rate is a quoted decimal, so that no reader rounds it; write {}: \"{text}\"", key.name);
                    self.wrong(key.line, &key.name, what, mistakes);
                }
                _ => self.wrong(key.line, &key.name, format!("expected a quoted decimal, found {}", node.kind()), mistakes),
            }
        }
        Rates::new(rates)
    }

    fn nothing_else(&mut self, mistakes: &mut Vec<Mistake>) {
        for (key, _) in std::mem::take(&mut self.left) {
            self.wrong(key.line, &key.name, "unknown field".to_owned(), mistakes);
        }
    }
}

/// The units a rate may be quoted in, with the power of ten of each.
const UNITS: [(&str, u32); 4] = [("_per_token", 0), ("_per_1k", 3), ("_per_1m", 6), ("_each", 0)];

/// The meter and the unit that a key names: ours, or as the gateways spell it.
fn unit(key: &str) -> Option<(Meter, u32)> {
    match key {
        "inputCostPer1K" => return Some((Meter::Input, 3)),
        "outputCostPer1K" => return Some((Meter::Output, 3)),
        "cachedCostPer1K" => return Some((Meter::CacheRead, 3)),
        _ => {}
    }
    UNITS.iter().find_map(|(unit, power)| {
        let meter = Meter::named(key.strip_suffix(unit)?)?;
        let fits = if *unit == "_per_token" { meter.is_token() } else { *unit != "_each" || !meter.is_token() };
        (fits && meter != Meter::Whole).then_some((meter, *power))
    })
}

/// The canonical text of a part.
pub fn write(part: &Part) -> String {
    let mut yaml = String::new();
    match part {
        Part::List(list) => write_list(list, &mut yaml),
        Part::Overrides(part) => {
            field(&mut yaml, "", "provider", Some(&part.provider));
            yaml.push_str("overrides:\n");
            for rates in &part.overrides {
                write_override(rates, &mut yaml);
            }
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
    match &rates.scope {
        Scope::Org => {}
        Scope::Team(team) => field(yaml, indent, "team", Some(team)),
        Scope::Project(project) => field(yaml, indent, "project", Some(project)),
        Scope::Key(key) => field(yaml, indent, "key", Some(key)),
    }
    if rates.model != Pattern::Every {
        field(yaml, indent, "model", Some(&rates.model.to_string()));
    }
    if let Some(from) = rates.from {
        let _ = writeln!(yaml, "{indent}from: {}", from.as_date_or_instant());
    }
    if rates.currency != Currency::USD {
        field(yaml, indent, "currency", Some(rates.currency.as_str()));
    }
    write_rates(&rates.rates, indent, yaml);
    write_when(&rates.when, indent, yaml);
    write_origin(&rates.origin, indent, yaml);
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
        let (unit, power) = if meter.is_token() { ("per_1m", 6) } else { ("each", 0) };
        let _ = writeln!(yaml, "{indent}{}_{unit}: \"{}\"", meter.name(), rate.quoted_per(power));
    }
}

fn write_origin(origin: &Origin, indent: &str, yaml: &mut String) {
    field(yaml, indent, "source", origin.source.as_deref());
    if let Some(checked) = &origin.checked {
        let _ = writeln!(yaml, "{indent}checked: {}", if is_date(checked) { checked.to_string() } else { written(checked) });
    }
    field(yaml, indent, "note", origin.note.as_deref());
}

fn is_date(text: &str) -> bool {
    Instant::parse_date_or_instant(text).is_ok_and(|instant| instant.as_date_or_instant() == text && text.len() == 10)
}

fn field(yaml: &mut String, indent: &str, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        let _ = writeln!(yaml, "{indent}{name}: {}", written(text));
    }
}
