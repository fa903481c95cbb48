//! What changes between two versions of a catalog, in words and percent: settings, models, aliases, prices, conditions and
//! overrides, in the order of their names. A price is told as what it was, what it is and from when; a part that comes or
//! goes as a whole is one change. Where two sources disagree at one moment is another question, which [`compare`] answers.

mod compare;
mod words;

pub use compare::{Comparison, Coverage, Disagreement, compare};
pub(in crate::catalog) use words::{in_words, quoted, unit};

use crate::catalog::sides::{CardChange, Listed, Side, card_changes, joined};
use crate::catalog::{Card, Ceiling, Conditional, List, Model, Override, Part, Pattern, Rates, Slice, label_of_kind};
use crate::money::{Currency, Rate};
use crate::time::Instant;
use crate::usage::{Meter, Text};
use std::collections::BTreeMap;
use std::fmt;
use words::{Step, Table, since};

/// One thing that is not as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub provider: Text,
    pub model: Option<Text>,
    pub kind: Kind,
    /// What changed, by the name that entries give it.
    pub subject: String,
    /// How it changed, with its rates and dates.
    pub what: String,
    pub meters: Vec<MeterChange>,
    pub from: Option<Instant>,
}

/// One meter's rate before and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterChange {
    pub meter: Meter,
    pub before: Option<Rate>,
    pub after: Option<Rate>,
    /// `-16.7 %`, where both are there, in one currency, and the first is not zero.
    pub percent: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    ListAdded,
    ListRemoved,
    Setting,
    ModelAdded,
    ModelDelisted,
    /// Listed again.
    ModelBack,
    ModelRemoved,
    AliasAdded,
    AliasRemoved,
    NewPrice,
    Corrected,
    CardRemoved,
    ConditionAdded,
    ConditionChanged,
    ConditionRemoved,
    /// The same prices, read elsewhere or at another time.
    Reread,
    OverrideAdded,
    OverrideChanged,
    OverrideRemoved,
    CeilingAdded,
    CeilingChanged,
    CeilingRemoved,
    RuleAdded,
    RuleRemoved,
}

/// Everything that changes, provider by provider.
pub fn diff(before: &[Part], after: &[Part]) -> Vec<Change> {
    let (before, after) = (Side::of(before), Side::of(after));
    let mut changes = Vec::new();
    for (_, was, is) in joined(before.lists, after.lists) {
        match (was, is) {
            (None, Some(is)) => changes.push(whole_list(Kind::ListAdded, "added", is.list)),
            (Some(was), None) => changes.push(whole_list(Kind::ListRemoved, "removed", was.list)),
            (Some(was), Some(is)) if was.list != is.list => list(&was, &is, &mut changes),
            _ => {}
        }
    }
    for (provider, was, is) in joined(before.overrides, after.overrides) {
        overrides(provider, &was.unwrap_or_default(), &is.unwrap_or_default(), &mut changes);
    }
    for (provider, was, is) in joined(before.ceilings, after.ceilings) {
        ceilings(provider, &was.unwrap_or_default(), &is.unwrap_or_default(), &mut changes);
    }
    rules(&before.rules, &after.rules, &mut changes);
    // The sort is stable: a provider's list stays before its overrides, and each in the order in which it was told.
    changes.sort_by(|a, b| a.provider.cmp(&b.provider));
    changes
}

/// What a change is about.
#[derive(Clone)]
struct Topic<'a> {
    provider: &'a Text,
    model: Option<&'a Text>,
    subject: String,
    from: Option<Instant>,
}

impl<'a> Topic<'a> {
    fn list(list: &'a List) -> Topic<'a> {
        Topic { provider: &list.provider, model: None, subject: list.provider.to_string(), from: None }
    }

    fn model(list: &'a List, model: &'a Model) -> Topic<'a> {
        let subject = format!("{}/{}", list.provider, model.name);
        Topic { provider: &list.provider, model: Some(&model.name), subject, from: None }
    }

    fn card(list: &'a List, model: &'a Model, card: &Card) -> Topic<'a> {
        let subject = label_of_kind(&list.provider, &model.name, card.kind());
        Topic { subject, from: card.from, ..Topic::model(list, model) }
    }

    fn change(&self, kind: Kind, what: impl Into<String>) -> Change {
        Change {
            provider: self.provider.clone(),
            model: self.model.cloned(),
            kind,
            subject: self.subject.clone(),
            what: what.into(),
            meters: Vec::new(),
            from: self.from,
        }
    }
}

/// Rules stand in an order and decide by it, so one that moves is told as gone and come.
fn rules(was: &[String], is: &[String], changes: &mut Vec<Change>) {
    let kept = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let provider = Text::known("rules");
    let topic = |line: &String| Topic { provider: &provider, model: None, subject: line.clone(), from: None };
    changes.extend(was[kept..].iter().map(|line| topic(line).change(Kind::RuleRemoved, "removed")));
    changes.extend(is[kept..].iter().map(|line| topic(line).change(Kind::RuleAdded, "added")));
}

fn whole_list(kind: Kind, word: &str, list: &List) -> Change {
    let cards: usize = list.models.iter().map(|model| model.cards.len()).sum();
    Topic::list(list).change(kind, format!("list {word}, with {} models and {cards} cards", list.models.len()))
}

fn list(was: &Listed<'_>, is: &Listed<'_>, changes: &mut Vec<Change>) {
    settings(was.list, is.list, changes);
    let mut reread = 0;
    for (_, old, new) in joined(by_name(was), by_name(is)) {
        match (old, new) {
            (Some(old), Some(new)) if old != new => reread += model(is.list, old, new, changes),
            (Some(old), None) => changes.push(removed(is, old)),
            (None, Some(new)) => match was.earlier(new) {
                Some(old) => reread += renamed(is.list, old, new, changes),
                None => changes.push(added(is.list, new)),
            },
            _ => {}
        }
    }
    if reread > 0 {
        let what = format!("{reread} cards ask the same and name another source, date or note");
        changes.push(Topic::list(is.list).change(Kind::Reread, what));
    }
}

/// What holds for a list as a whole.
fn settings(was: &List, is: &List, changes: &mut Vec<Change>) {
    let or_none = |text: &Option<Text>| text.as_ref().map_or("none".to_owned(), |text| text.to_string());
    let of = |list: &List| {
        [
            ("cost_basis", list.cost_basis.name().to_owned()),
            ("absent", list.absent.name().to_owned()),
            ("pricing_provider_id", or_none(&list.pricing_provider_id)),
            ("insured", list.insured.name().to_owned()),
            ("source", or_none(&list.origin.source)),
            ("checked", or_none(&list.origin.checked)),
            ("note", or_none(&list.origin.note)),
        ]
    };
    for ((name, old), (_, new)) in of(was).into_iter().zip(of(is)).filter(|((_, old), (_, new))| old != new) {
        changes.push(Topic::list(is).change(Kind::Setting, format!("{name} {old} -> {new}")));
    }
}

fn added(list: &List, new: &Model) -> Change {
    let topic = Topic::model(list, new);
    let Some(card) = new.latest_ordinary().or(new.cards.last()) else {
        return topic.change(Kind::ModelAdded, "added without a card");
    };
    let others = match new.cards.len() - 1 {
        0 => String::new(),
        1 => ", and one other card".to_owned(),
        several => format!(", and {several} other cards"),
    };
    let meters = Step { was: None, is: Some(card.table()) }.meters();
    let what = format!("added: {}{}{others}", card.in_words(), since(card.from));
    Change { meters, from: card.from, ..topic.change(Kind::ModelAdded, what) }
}

fn renamed(list: &List, old: &Model, new: &Model, changes: &mut Vec<Change>) -> usize {
    changes.push(Topic::model(list, new).change(Kind::ModelAdded, format!("added; it was called {}", old.name)));
    model(list, old, new, changes)
}

fn removed(is: &Listed<'_>, old: &Model) -> Change {
    let now = is.model(&old.name).map_or(String::new(), |other| format!("; the name is an alias of {} now", other.name));
    Topic::model(is.list, old).change(Kind::ModelRemoved, format!("removed with its cards ({}){now}", old.cards.len()))
}

/// What changed of one model; how many of its cards were only read again.
fn model(list: &List, was: &Model, is: &Model, changes: &mut Vec<Change>) -> usize {
    let topic = Topic::model(list, is);
    changes.extend(delisted(&topic, was.delisted, is.delisted));
    for (alias, old, new) in joined(aliases(was), aliases(is)) {
        match (old, new) {
            (None, Some(())) => changes.push(topic.change(Kind::AliasAdded, format!("alias {alias} added"))),
            (Some(()), None) => changes.push(topic.change(Kind::AliasRemoved, format!("alias {alias} removed"))),
            _ => {}
        }
    }
    let mut reread = 0;
    for change in card_changes(&was.cards, &is.cards) {
        match change {
            CardChange::New { card, replaces } => price(&Topic::card(list, is, card), Kind::NewPrice, replaces, card, changes),
            CardChange::Corrected { card, was } => price(&Topic::card(list, is, card), Kind::Corrected, Some(was), card, changes),
            CardChange::Gone { was, instead } => changes.push(gone(&Topic::card(list, is, was), was, instead)),
            CardChange::Reread => reread += 1,
        }
    }
    reread
}

fn delisted(topic: &Topic<'_>, was: Option<Instant>, is: Option<Instant>) -> Option<Change> {
    let topic = Topic { from: is, ..topic.clone() };
    match (was, is) {
        (None, Some(_)) => Some(topic.change(Kind::ModelDelisted, format!("delisted{}; its cards stay", since(is)))),
        (Some(_), None) => Some(topic.change(Kind::ModelBack, format!("listed again; it was delisted{}", since(was)))),
        _ if was != is => Some(topic.change(Kind::ModelDelisted, format!("delisted{}, not{}", since(is), since(was)))),
        _ => None,
    }
}

/// One card that says something else than the one it takes over from, and what changed of its conditions.
fn price(topic: &Topic<'_>, kind: Kind, was: Option<&Card>, is: &Card, changes: &mut Vec<Change>) {
    let step = Step { was: was.map(Card::table), is: Some(is.table()) };
    let mut under_conditions = Vec::new();
    conditions(topic, was.map(Card::tables).unwrap_or_default(), is.tables(), &mut under_conditions);

    let mut words = vec![if was.is_none() { is.in_words() } else { step.in_words() }];
    words.extend(was.map_or_else(Vec::new, |was| flags(was, is)));
    words.retain(|words| !words.is_empty());
    let said = match words.is_empty() {
        false => words.join(", "),
        true if !under_conditions.is_empty() => "the same rates under other conditions".to_owned(),
        true if was.is_some_and(|was| was.when != is.when) => "the same conditions in another order".to_owned(),
        true => "the same price".to_owned(),
    };
    let corrected = if kind == Kind::Corrected { "corrected: " } else { "" };
    let what = format!("{corrected}{said}{}", since(is.from));
    changes.push(Change { meters: step.meters(), ..topic.change(kind, what) });
    changes.append(&mut under_conditions);
}

/// What is not a number on a card.
fn flags(was: &Card, is: &Card) -> Vec<String> {
    let turned = |was: bool, is: bool, on: &str, off: &str| (was != is).then(|| if is { on.to_owned() } else { off.to_owned() });
    let flags = [
        turned(was.free, is.free, "free now", "not free any longer"),
        turned(was.priced_as_answered, is.priced_as_answered, "priced as the model that answers", "priced by itself now"),
    ];
    flags.into_iter().flatten().collect()
}

fn gone(topic: &Topic<'_>, was: &Card, instead: Option<&Card>) -> Change {
    let step = Step { was: Some(was.table()), is: instead.map(Card::table) };
    let now = match instead {
        None => format!("it asked {}", was.in_words()),
        Some(instead) if instead.is_same_price(was) => "the card before it asks the same".to_owned(),
        Some(_) if step.meters().is_empty() => "the card before it has other conditions".to_owned(),
        Some(_) => format!("the card before it holds, {}", step.in_words()),
    };
    let what = format!("card{} removed; {now}", since(was.from));
    Change { meters: step.meters(), ..topic.change(Kind::CardRemoved, what) }
}

/// The rates that apply besides the ordinary ones, by when they do.
type Tables<'a> = BTreeMap<String, Table<'a>>;

fn conditions(topic: &Topic<'_>, was: Tables<'_>, is: Tables<'_>, changes: &mut Vec<Change>) {
    for (condition, was, is) in joined(was, is) {
        let step = Step { was, is };
        let (kind, word) = match (was, is) {
            (None, _) => (Kind::ConditionAdded, "condition added: "),
            (_, None) => (Kind::ConditionRemoved, "condition removed: "),
            _ if step.meters().is_empty() => continue,
            _ => (Kind::ConditionChanged, ""),
        };
        let topic = Topic { subject: format!("{} {condition}", topic.subject), ..topic.clone() };
        let what = format!("{word}{}{}", step.in_words(), since(topic.from));
        changes.push(Change { meters: step.meters(), ..topic.change(kind, what) });
    }
}

/// Overrides of one provider, each by whom, what and from when it is for.
fn overrides(provider: &Text, was: &[&Override], is: &[&Override], changes: &mut Vec<Change>) {
    for (label, old, new) in joined(by_label(provider, was), by_label(provider, is)) {
        let Some(it) = new.or(old).filter(|_| old != new) else { continue };
        let model = match &it.model {
            Pattern::Exact(model) => Some(model),
            Pattern::Prefix(_) | Pattern::Every => None,
        };
        let topic = Topic { provider, model, subject: label, from: it.from };
        let step = Step { was: old.map(Override::table), is: new.map(Override::table) };
        let words = step.in_words();
        let (kind, what) = match (old, new) {
            (None, _) => (Kind::OverrideAdded, format!("override added: {words}")),
            (_, None) => (Kind::OverrideRemoved, format!("override removed: {words}")),
            _ if words.is_empty() => (Kind::OverrideChanged, "the same rates, and other conditions, source or note".to_owned()),
            _ => (Kind::OverrideChanged, words),
        };
        changes.push(Change { meters: step.meters(), ..topic.change(kind, what) });
        conditions(&topic, old.map(Override::tables).unwrap_or_default(), new.map(Override::tables).unwrap_or_default(), changes);
    }
}

/// Ceilings of one provider; they charge nothing, so they are told without percents.
fn ceilings(provider: &Text, was: &[&Ceiling], is: &[&Ceiling], changes: &mut Vec<Change>) {
    let by_label = |ceilings: &[&'_ Ceiling]| -> BTreeMap<String, Ceiling> {
        ceilings.iter().map(|it| (it.label(provider), (*it).clone())).collect()
    };
    for (label, old, new) in joined(by_label(was), by_label(is)) {
        let Some(it) = new.as_ref().or(old.as_ref()).filter(|_| old != new) else { continue };
        let (kind, word) = match (&old, &new) {
            (None, _) => (Kind::CeilingAdded, "ceiling added"),
            (_, None) => (Kind::CeilingRemoved, "ceiling removed"),
            _ => (Kind::CeilingChanged, "ceiling changed to"),
        };
        let topic = Topic { provider, model: None, subject: label, from: it.from };
        changes.push(topic.change(kind, format!("{word}: {}", it.in_words())));
    }
}

fn by_name<'a>(listed: &Listed<'a>) -> BTreeMap<&'a str, &'a Model> {
    listed.list.models.iter().map(|model| (&*model.name, model)).collect()
}

fn aliases(model: &Model) -> BTreeMap<&str, ()> {
    model.aliases.iter().map(|alias| (&**alias, ())).collect()
}

fn by_label<'a>(provider: &str, overrides: &[&'a Override]) -> BTreeMap<String, &'a Override> {
    overrides.iter().map(|it| (it.label(provider), *it)).collect()
}

impl Card {
    fn table(&self) -> Table<'_> {
        Table { rates: &self.rates, currency: self.currency }
    }

    fn tables(&self) -> Tables<'_> {
        tables(&self.when, &self.graduated, self.currency)
    }
}

impl Override {
    fn table(&self) -> Table<'_> {
        Table { rates: &self.rates, currency: self.currency }
    }

    fn tables(&self) -> Tables<'_> {
        tables(&self.when, &[], self.currency)
    }
}

fn tables<'a>(when: &'a [Conditional], graduated: &'a [Slice], currency: Currency) -> Tables<'a> {
    let table = |rates: &'a Rates| Table { rates, currency };
    let when = when.iter().map(|when| (format!("when {when}"), table(&when.rates)));
    when.chain(graduated.iter().map(|slice| (format!("beyond {}", slice.over), table(&slice.rates)))).collect()
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::ListAdded => "list-added",
            Kind::ListRemoved => "list-removed",
            Kind::Setting => "setting",
            Kind::ModelAdded => "model-added",
            Kind::ModelDelisted => "model-delisted",
            Kind::ModelBack => "model-back",
            Kind::ModelRemoved => "model-removed",
            Kind::AliasAdded => "alias-added",
            Kind::AliasRemoved => "alias-removed",
            Kind::NewPrice => "new-price",
            Kind::Corrected => "corrected",
            Kind::CardRemoved => "card-removed",
            Kind::ConditionAdded => "condition-added",
            Kind::ConditionChanged => "condition-changed",
            Kind::ConditionRemoved => "condition-removed",
            Kind::Reread => "reread",
            Kind::OverrideAdded => "override-added",
            Kind::OverrideChanged => "override-changed",
            Kind::OverrideRemoved => "override-removed",
            Kind::CeilingAdded => "ceiling-added",
            Kind::CeilingChanged => "ceiling-changed",
            Kind::CeilingRemoved => "ceiling-removed",
            Kind::RuleAdded => "rule-added",
            Kind::RuleRemoved => "rule-removed",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::source::own;

    fn told(before: &[&str], after: &[&str]) -> String {
        let parts = |files: &[&str]| -> Vec<Part> { files.iter().flat_map(|file| own::read(file).unwrap()).collect() };
        let changes: Vec<String> = diff(&parts(before), &parts(after)).iter().map(Change::to_string).collect();
        changes.join("\n")
    }

    fn list(models: &str) -> String {
        format!("provider: openrouter\nsource: s\nmodels:\n{models}")
    }

    fn model(cards: &[&str]) -> String {
        let cards: String = cards.iter().map(|card| format!("      - {{{card}}}\n")).collect();
        list(&format!("  - model: x/y\n    cards:\n{cards}"))
    }

    const FIRST: &str = "from: 2026-01-01, input_per_1m: \"3\", output_per_1m: \"15\", web_search_each: \"0.01\"";

    #[test]
    fn a_new_price_is_told_with_both_rates_the_percentage_and_its_day() {
        let second = "from: 2026-10-01, input_per_1m: \"2.5\", output_per_1m: \"15\", web_search_each: \"0.0125\"";
        insta::assert_snapshot!(
            told(&[&model(&[FIRST])], &[&model(&[FIRST, second])]),
            @"openrouter/x/y: input 3 -> 2.5 USD per 1M (-16.7 %), web_search 0.01 -> 0.0125 USD each (+25.0 %) from 2026-10-01"
        );
    }

    #[test]
    fn a_change_carries_its_meters_as_numbers() {
        let parts = |file: &str| own::read(file).unwrap();
        let changes = diff(&parts(&model(&[FIRST])), &parts(&model(&[FIRST, "from: 2026-10-01, input_per_1m: \"2.5\""])));
        let [change] = <[Change; 1]>::try_from(changes).unwrap();
        assert_eq!((change.kind.name(), change.model.as_deref()), ("new-price", Some("x/y")));
        assert_eq!(change.from, Some(Instant::parse_date_or_instant("2026-10-01").unwrap()));
        let rate = |text: &str| Some(Rate::parse_per(text, 6).unwrap());
        let input =
            MeterChange { meter: Meter::Input, before: rate("3"), after: rate("2.5"), percent: Some("-16.7 %".to_owned()) };
        let output = MeterChange { meter: Meter::Output, before: rate("15"), after: None, percent: None };
        assert_eq!(change.meters[..2], [input, output]);
    }

    #[test]
    fn a_correction_says_so_and_rates_may_come_and_go() {
        let corrected = "from: 2026-01-01, input_per_1m: \"3\", output_per_1m: \"12\", cache_read_per_1m: \"0.3\"";
        insta::assert_snapshot!(
            told(&[&model(&[FIRST])], &[&model(&[corrected])]),
            @"openrouter/x/y: corrected: cache_read none -> 0.3 USD per 1M, output 15 -> 12 USD per 1M (-20.0 %), web_search 0.01 USD each -> none from 2026-01-01"
        );
        insta::assert_snapshot!(
            told(&[&model(&["input_per_1m: \"3\""])], &[&model(&["input_per_1m: \"2.5\", currency: EUR, free: true"])]),
            @"openrouter/x/y: corrected: input 3 USD -> 2.5 EUR per 1M, free now from the beginning"
        );
    }

    #[test]
    fn each_kind_of_card_has_a_history_of_its_own() {
        insta::assert_snapshot!(
            told(&[&model(&[FIRST])], &[&model(&[FIRST, "from: 2026-03-01, service_tier: flex, input_per_1m: \"1.5\""])]),
            @"openrouter/x/y tier flex: input 1.5 USD per 1M from 2026-03-01"
        );
        insta::assert_snapshot!(
            told(&[&model(&[FIRST, "from: 2026-02-01, input_per_1m: \"4\""])], &[&model(&[FIRST])]),
            @"openrouter/x/y: card from 2026-02-01 removed; the card before it holds, input 4 -> 3 USD per 1M (-25.0 %), output none -> 15 USD per 1M, web_search none -> 0.01 USD each"
        );
        insta::assert_snapshot!(
            told(&[&model(&[FIRST, "variant: batch, input_per_1m: \"1.5\""])], &[&model(&[FIRST])]),
            @"openrouter/x/y:batch: card from the beginning removed; it asked input 1.5 USD per 1M"
        );
    }

    #[test]
    fn conditions_are_told_one_by_one() {
        let card = |more: &str| model(&[&format!("input_per_1m: \"3\"{more}")]);
        let over = "{prompt_tokens_over: 200000, input_per_1m: \"6\"}";
        let region = "{region: eu, input_per_1m: \"3.3\"}";
        insta::assert_snapshot!(
            told(&[&card("")], &[&card(&format!(", when: [{over}], graduated: [{{over: 1000, input_per_1m: \"2\"}}]"))]),
            @r"
        openrouter/x/y: corrected: the same rates under other conditions from the beginning
        openrouter/x/y beyond 1000: condition added: input 2 USD per 1M from the beginning
        openrouter/x/y when prompt tokens over 200000: condition added: input 6 USD per 1M from the beginning
        "
        );
        insta::assert_snapshot!(
            told(&[&card(&format!(", when: [{over}, {region}]"))], &[&card(&format!(", when: [{}]", over.replace('6', "7.5")))]),
            @r"
        openrouter/x/y: corrected: the same rates under other conditions from the beginning
        openrouter/x/y when prompt tokens over 200000: input 6 -> 7.5 USD per 1M (+25.0 %) from the beginning
        openrouter/x/y when region eu: condition removed: input 3.3 USD per 1M from the beginning
        "
        );
        insta::assert_snapshot!(
            told(&[&card(&format!(", when: [{over}, {region}]"))], &[&card(&format!(", when: [{region}, {over}]"))]),
            @"openrouter/x/y: corrected: the same conditions in another order from the beginning"
        );
    }

    #[test]
    fn models_and_aliases_come_and_go() {
        let one = |name: &str, more: &str| format!("  - model: {name}\n{more}    cards: [{{input_per_1m: \"3\"}}]\n");
        let before =
            [one("back", "    delisted: 2026-01-01\n"), one("gone", ""), one("kept", "    aliases: [k1, k2]\n"), one("old", "")];
        let after = [
            one("back", ""),
            one("kept", "    aliases: [k2, k3]\n    delisted: 2026-02-01\n"),
            one("new", "    aliases: [old]\n"),
            one("other", ""),
        ];
        insta::assert_snapshot!(told(&[&list(&before.concat())], &[&list(&after.concat())]), @r"
        openrouter/back: listed again; it was delisted from 2026-01-01
        openrouter/gone: removed with its cards (1)
        openrouter/kept: delisted from 2026-02-01; its cards stay
        openrouter/kept: alias k1 removed
        openrouter/kept: alias k3 added
        openrouter/new: added; it was called old
        openrouter/new: alias old added
        openrouter/old: removed with its cards (1); the name is an alias of new now
        openrouter/other: added: input 3 USD per 1M from the beginning
        ");
    }

    #[test]
    fn settings_of_a_list_are_told_and_prices_that_were_only_read_again_are_counted() {
        let before = model(&[FIRST]);
        let after = model(&[&format!("{FIRST}, note: looked again")]).replace(
            "source: s",
            "source: t\npricing_provider_id: openai\ncost_basis: reported\nabsent: included\ninsured: [error]",
        );
        insta::assert_snapshot!(told(&[&before], &[&after]), @r"
        openrouter: cost_basis rated -> reported
        openrouter: absent unknown -> included
        openrouter: pricing_provider_id none -> openai
        openrouter: insured none -> error
        openrouter: source s -> t
        openrouter: 1 cards ask the same and name another source, date or note
        ");
    }

    #[test]
    fn parts_come_and_go_as_a_whole_and_overrides_one_by_one() {
        let overrides = |rate: &str, more: &str| {
            format!(
                "provider: openrouter\noverrides:\n  - {{kind: contract, model: x/y, from: 2026-02-01, input_per_1m: \"{rate}\"{more}}}\n"
            )
        };
        insta::assert_snapshot!(told(&[], &[&model(&[FIRST]), &overrides("2", "")]), @r"
        openrouter: list added, with 1 models and 1 cards
        openrouter/x/y@2026-02-01 (contract for the org): override added: input 2 USD per 1M
        ");
        insta::assert_snapshot!(told(&[&model(&[FIRST]), &overrides("2", "")], &[&overrides("2.2", "")]), @r"
        openrouter: list removed, with 1 models and 1 cards
        openrouter/x/y@2026-02-01 (contract for the org): input 2 -> 2.2 USD per 1M (+10.0 %)
        ");
        insta::assert_snapshot!(told(&[&overrides("2", "")], &[&overrides("2", ", note: n, when: [{region: eu, input_per_1m: \"4\"}]")]), @r"
        openrouter/x/y@2026-02-01 (contract for the org): the same rates, and other conditions, source or note
        openrouter/x/y@2026-02-01 (contract for the org) when region eu: condition added: input 4 USD per 1M from 2026-02-01
        ");
        insta::assert_snapshot!(
            told(&[&overrides("2", "")], &[]),
            @"openrouter/x/y@2026-02-01 (contract for the org): override removed: input 2 USD per 1M"
        );
    }

    #[test]
    fn what_is_the_same_is_not_told() {
        assert_eq!(told(&[&model(&[FIRST])], &[&model(&[FIRST])]), "");
    }
}
