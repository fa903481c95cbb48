//! The book: accounts, postings and entries. An entry moves a non-negative amount from one account to another, so every
//! entry balances by itself. Entries are never changed; a wrong one is reversed and booked again, and both stay.
//!
//! One operation covers completion, acceptance of a conflict, re-rating and re-attribution: [`book_again`] reverses what
//! stands for an event and charges it anew in its next turn, and answers with nothing where nothing would change.

pub mod decision;
pub mod items;
pub mod seal;

use crate::catalog::resolution::Layer;
use crate::id::{EventNumber, NameId, OwnerId, ProductId, Sequence};
use crate::ledger::items::Item;
use crate::money::{Amount, Currency};
use crate::rating::{Charge, Party, Rated};
use crate::time::{Instant, Month};
use crate::usage::{Outcome, Owner, OwnerDimension, Product, Text, UsageEvent};
use std::collections::HashSet;
use std::fmt::Write;

/// Why an entry was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EntryKind {
    Charge = 1,
    Reversal = 2,
    /// Made by decision: a fee, a credit, a true-up.
    Adjustment = 3,
}

/// A non-negative amount that moves from the credit account to the debit account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posting {
    debit: NameId,
    credit: NameId,
    amount: Amount,
    currency: Currency,
}

/// What no posting can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPosting {
    #[error("{0} is negative; turn the accounts around instead")]
    Negative(Amount),
    #[error("debit and credit are the same account")]
    SameAccount,
    #[error("{0} is more than a book holds")]
    TooLarge(Amount),
}

/// A posting with its reason, instants and provenance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub sequence: Sequence,
    pub kind: EntryKind,
    /// The event it books; an adjustment may have none.
    pub event: Option<EventNumber>,
    /// 0 for the first booking of its event, n for the n-th correction.
    pub turn: u32,
    /// The entry that a reversal mirrors.
    pub reverses: Option<Sequence>,
    pub occurred_at: Instant,
    /// Where it counts: the month of `occurred_at`, or the earliest open one after it.
    pub period: Month,
    pub source: NameId,
    pub owner: OwnerId,
    pub product: ProductId,
    pub posting: Posting,
    pub outcome: Outcome,
    /// How many calls it stands for; further charges of the same event carry none, so that calls are counted once.
    pub calls: u64,
    pub estimated: bool,
    pub rated: Option<Amount>,
    pub reported: Option<Amount>,
    /// At list price, where an override hides a list.
    pub list: Option<Amount>,
    pub layer: Layer,
    pub card: Option<NameId>,
    /// The ceiling that its rates or its amount are above.
    pub above: Option<NameId>,
    /// Why it was booked again; a first booking has none.
    pub reason: Option<NameId>,
    pub items: Vec<Item>,
}

impl Posting {
    pub fn new(debit: NameId, credit: NameId, amount: Amount, currency: Currency) -> Result<Posting, NoPosting> {
        if amount.is_negative() {
            Err(NoPosting::Negative(amount))
        } else if debit == credit {
            Err(NoPosting::SameAccount)
        } else if !amount.fits() {
            Err(NoPosting::TooLarge(amount))
        } else {
            Ok(Posting { debit, credit, amount, currency })
        }
    }

    pub const fn debit(&self) -> NameId {
        self.debit
    }

    pub const fn credit(&self) -> NameId {
        self.credit
    }

    pub const fn amount(&self) -> Amount {
        self.amount
    }

    pub const fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The same amount back.
    const fn mirrored(self) -> Posting {
        Posting { debit: self.credit, credit: self.debit, ..self }
    }
}

/// How the accounts of owners' costs, of providers and of margins begin. What reports call an amount is what changes the
/// first of them.
pub const COST: &str = "cost:";
pub const PAYABLE: &str = "payable:";
pub const MARGIN: &str = "margin:";

/// The chart of accounts, as far as it decides what an entry does to the cost of its owner: the accounts that are no
/// owner's, and those of them that are margins.
#[derive(Clone, Default, Debug)]
pub struct Chart {
    elsewhere: HashSet<NameId>,
    margins: HashSet<NameId>,
    /// There are costs and payables and nothing else, and nobody decided anything, so an entry's kind says it all.
    is_plain: bool,
}

/// What an entry does to the cost of its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Adds,
    Takes,
    /// It moves something between accounts of which none is an owner's.
    Nothing,
}

impl Effect {
    pub fn on(self, amount: Amount) -> Amount {
        match self {
            Effect::Adds => amount,
            Effect::Takes => -amount,
            Effect::Nothing => Amount::ZERO,
        }
    }
}

impl Chart {
    /// Of the accounts that are no owner's cost.
    pub fn new<'t>(elsewhere: impl IntoIterator<Item = (NameId, &'t str)>) -> Chart {
        let mut chart = Chart { is_plain: true, ..Chart::default() };
        for (account, text) in elsewhere {
            chart.elsewhere.insert(account);
            chart.is_plain &= text.starts_with(PAYABLE);
            if text.starts_with(MARGIN) {
                chart.margins.insert(account);
            }
        }
        chart
    }

    /// The same in a book that has adjustments: a credit is an adjustment too, and takes away from a cost.
    pub fn with_adjustments(self) -> Chart {
        Chart { is_plain: false, ..self }
    }

    /// Whether an entry's kind is enough to know what it does.
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// A reversal takes away what it mirrors; and where an owner bears less than the provider is owed, the margin pays the
    /// rest: its account stands where otherwise the owner's does.
    pub fn effect(&self, kind: EntryKind, debit: NameId, credit: NameId) -> Effect {
        if self.is_plain {
            return if kind == EntryKind::Reversal { Effect::Takes } else { Effect::Adds };
        }
        match (self.elsewhere.contains(&debit), self.elsewhere.contains(&credit)) {
            (false, _) => Effect::Adds,
            (true, false) => Effect::Takes,
            (true, true) => Effect::Nothing,
        }
    }

    /// Whether a margin is at either end: what an owner bears beside what the provider is owed.
    pub fn of_margin(&self, debit: NameId, credit: NameId) -> bool {
        self.margin(debit, credit).is_some()
    }

    pub fn margin(&self, debit: NameId, credit: NameId) -> Option<NameId> {
        [debit, credit].into_iter().find(|account| self.margins.contains(account))
    }

    /// Whoever is not the owner.
    pub fn payee(&self, kind: EntryKind, debit: NameId, credit: NameId) -> NameId {
        if self.effect(kind, debit, credit) == Effect::Takes { debit } else { credit }
    }
}

impl Entry {
    /// What it does to the cost of its owner.
    pub fn effect(&self, chart: &Chart) -> Effect {
        chart.effect(self.kind, self.posting.debit, self.posting.credit)
    }

    /// What it adds to the cost of its owner.
    pub fn signed_amount(&self, chart: &Chart) -> Amount {
        self.effect(chart).on(self.posting.amount)
    }

    /// The entry that takes this one back, in a later turn of its event.
    pub fn reversal(&self, turn: u32, period: Month) -> Entry {
        Entry {
            sequence: Sequence(0),
            kind: EntryKind::Reversal,
            turn,
            reverses: Some(self.sequence),
            period,
            posting: self.posting.mirrored(),
            ..self.clone()
        }
    }

    /// Whether two charges say the same: the same money for the same things between the same accounts. When and in which
    /// turn they were booked, what the card was called and which ceiling they met makes no difference.
    fn same_charge(&self, other: &Entry) -> bool {
        let bare = |entry: &Entry| Entry {
            sequence: Sequence(0),
            turn: 0,
            period: Month::from_number(0),
            reverses: None,
            layer: Layer::Outcome,
            card: None,
            above: None,
            reason: None,
            items: entry.items.iter().map(|item| Item { card: None, inherited_from: None, ..*item }).collect(),
            ..entry.clone()
        };
        bare(self) == bare(other)
    }
}

/// Books an event anew: `standing` are the charges that hold today, `charges` what should hold. The answer reverses the
/// former and makes the latter in the next turn, or is empty where they already say the same. Numbers are given later.
pub fn book_again(standing: &[Entry], charges: Vec<Entry>, turn: u32, first_open: Month, reason: NameId) -> Vec<Entry> {
    let unchanged = standing.len() == charges.len() && standing.iter().zip(&charges).all(|(old, new)| old.same_charge(new));
    if unchanged {
        return Vec::new();
    }
    let reversals = standing.iter().map(|entry| entry.reversal(turn, landing(entry.occurred_at, first_open)));
    let charges = charges.into_iter().map(|charge| Entry { turn, ..charge });
    reversals.chain(charges).map(|entry| Entry { reason: Some(reason), ..entry }).collect()
}

/// Whether the charges that stand for an event are what a rating says, before any of its names have numbers. Who bears them is
/// for the caller to compare: an entry knows its owner by a number.
pub fn says_the_same(standing: &[Entry], event: &UsageEvent, rated: &Rated) -> bool {
    let portions = rated.portions(event);
    let mut left = standing;
    for portion in &portions {
        let Some((these, others)) = left.split_at_checked(portion.rated.charges.len()) else { return false };
        if !portion_says_the_same(these, &portion.rated) {
            return false;
        }
        left = others;
    }
    left.is_empty()
}

fn portion_says_the_same(standing: &[Entry], rated: &Rated) -> bool {
    let same = |(entry, charge): (&Entry, &Charge)| {
        let items = entry.items.iter().map(|item| (item.meter, item.quantity, item.rate, item.amount));
        entry.posting.amount == charge.amount
            && entry.posting.currency == rated.currency
            // A margin may turn round without another amount.
            && (entry.posting.debit == standing[0].posting.debit) == (charge.debit == rated.charges[0].debit)
            && items.eq(charge.items.iter().map(|item| (item.meter, item.quantity, item.rate, item.amount)))
    };
    standing.iter().zip(&rated.charges).all(same)
        && standing
            .first()
            .is_none_or(|first| (first.rated, first.reported, first.list) == (rated.rated, rated.reported, rated.list))
}

/// Where a fact lands: in its own month, or in the earliest open one after it if that is closed.
pub fn landing(occurred_at: Instant, first_open: Month) -> Month {
    occurred_at.month().max(first_open)
}

/// The account of a party to an event's charge: `cost:search/alice` from `payable:openrouter`. Parts are
/// percent-encoded and a missing one is `-`, so no name can pretend to be another account.
pub fn account(party: Party, cost: &[OwnerDimension], owner: &Owner, product: &Product) -> String {
    let part = |text: Option<&Text>| text.map_or_else(|| "-".to_owned(), |text| encoded(text));
    match party {
        Party::Owner => {
            let parts: Vec<String> = cost.iter().map(|dimension| part(owner.get(*dimension))).collect();
            format!("{COST}{}", parts.join("/"))
        }
        Party::Provider => format!("{PAYABLE}{}", part(Some(&product.provider))),
        Party::Upstream => format!("{PAYABLE}{}", part(product.served_by.as_ref())),
        Party::Margin => format!("{MARGIN}{}", part(Some(&product.provider))),
    }
}

/// An account by its name, in its one spelling: a root, a colon, and parts that are percent-encoded. What an owner bears is
/// `cost:<team>/<user>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Account(String);

/// The roots there are: one that is mistyped would take an amount out of every report.
const ROOTS: [&str; 10] =
    ["cash", "cost", "equity", "expense", "income", "margin", "payable", "prepaid", "receivable", "transfer"];

impl Account {
    pub fn parse(text: &str) -> Result<Account, String> {
        let shown: String = text.chars().take(80).collect();
        let Some((root, parts)) = text.split_once(':') else {
            return Err(format!("`{shown}` is no account; write one as payable:openrouter or cost:team/user"));
        };
        if !ROOTS.contains(&root) {
            return Err(format!("`{root}` is no root of an account; known are {}", ROOTS.join(", ")));
        }
        let parts: Vec<&str> = parts.split('/').collect();
        let is_spelled =
            |part: &&str| *part == "-" || String::from_utf8(decoded(part)).is_ok_and(|text| encoded(&text) == **part);
        if let Some(part) = parts.iter().find(|part| part.is_empty() || part.len() > 600 || !is_spelled(part)) {
            let meant = String::from_utf8_lossy(&decoded(part)).into_owned();
            let meant = if meant.is_empty() { "-".to_owned() } else { encoded(&meant) };
            return Err(format!("`{part}` in `{shown}` is not how a part is spelled; write {meant}"));
        }
        Ok(Account(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose cost it is, where accounts of costs are made of these dimensions; of none where it has other parts than they.
    pub fn owner(&self, cost: &[OwnerDimension]) -> Option<Owner> {
        let parts: Vec<&str> = self.0.strip_prefix(COST)?.split('/').collect();
        let mut owner = Owner::default();
        cost.iter().zip(&parts).for_each(|(dimension, part)| owner.set(*dimension, named(part)));
        (parts.len() == cost.len()).then_some(owner)
    }

    pub fn is_a_cost(&self) -> bool {
        self.0.starts_with(COST)
    }

    /// Whose account it is, where it is with somebody outside.
    pub fn provider(&self) -> Option<Text> {
        let (root, parts) = self.0.split_once(':')?;
        let outside = ["payable", "prepaid", "margin", "receivable"].contains(&root);
        named(parts).filter(|_| outside)
    }
}

/// What a part of an account stands for.
fn named(part: &str) -> Option<Text> {
    Text::new(String::from_utf8_lossy(&decoded(part))).filter(|_| part != "-")
}

/// Who is owed by an account, where it is a provider's: `openrouter` of `payable:openrouter`.
pub fn payee_of(account: &str) -> Option<String> {
    let part = account.strip_prefix(PAYABLE).filter(|part| *part != "-")?;
    Some(String::from_utf8_lossy(&decoded(part)).into_owned())
}

/// Whom an account of costs names: its parts as they were before they were encoded.
pub fn bearers_of(account: &str) -> Option<Vec<String>> {
    let parts = account.strip_prefix(COST)?.split('/');
    let named = |part: &str| if part == "-" { String::new() } else { String::from_utf8_lossy(&decoded(part)).into_owned() };
    Some(parts.map(named).collect())
}

/// The bytes that `encoded` made this of.
pub fn decoded(part: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]),
            None => (bytes.push(first), rest = after),
        };
    }
    bytes
}

/// Percent-encodes everything but letters, digits and `_.~`; a lone `-` too, because that stands for nothing.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"_.~@".contains(&byte) || (byte == b'-' && text != "-");
        if plain {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes what is written to it");
        }
    }
    encoded
}

impl EntryKind {
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::Charge => "charge",
            EntryKind::Reversal => "reversal",
            EntryKind::Adjustment => "adjustment",
        }
    }

    pub const ALL: [EntryKind; 3] = [EntryKind::Charge, EntryKind::Reversal, EntryKind::Adjustment];

    pub fn named(name: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn from_number(number: u8) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(amount: &str) -> Entry {
        let posting = Posting::new(NameId(1), NameId(2), Amount::parse(amount).unwrap(), Currency::USD).unwrap();
        let occurred_at = Instant::parse("2026-02-03T10:00:00Z").unwrap();
        Entry {
            sequence: Sequence(7),
            kind: EntryKind::Charge,
            event: Some(EventNumber(3)),
            turn: 0,
            reverses: None,
            occurred_at,
            period: occurred_at.month(),
            source: NameId(3),
            owner: OwnerId(1),
            product: ProductId(1),
            posting,
            outcome: Outcome::Succeeded,
            calls: 1,
            estimated: false,
            rated: None,
            reported: None,
            list: None,
            layer: Layer::List,
            card: None,
            above: None,
            reason: None,
            items: Vec::new(),
        }
    }

    #[test]
    fn a_posting_cannot_be_negative_or_lead_back_to_itself() {
        let one = Amount::parse("1").unwrap();
        assert_eq!(Posting::new(NameId(1), NameId(2), -one, Currency::USD), Err(NoPosting::Negative(-one)));
        assert_eq!(Posting::new(NameId(1), NameId(1), one, Currency::USD), Err(NoPosting::SameAccount));
    }

    #[test]
    fn an_entry_and_its_reversal_leave_every_balance_as_it_was() {
        let charge = entry("0.5");
        let reversal = charge.reversal(1, charge.period);
        let chart = Chart::new([(NameId(2), "payable:acme")]);
        assert_eq!(charge.signed_amount(&chart) + reversal.signed_amount(&chart), Amount::ZERO);
        assert_eq!((charge.posting.debit(), charge.posting.credit()), (reversal.posting.credit(), reversal.posting.debit()));
        assert_eq!(reversal.reverses, Some(charge.sequence));
    }

    #[test]
    fn booking_again_without_a_change_posts_nothing() {
        let first_open = Month::from_number(0);
        assert!(book_again(&[entry("0.5")], vec![entry("0.5")], 1, first_open, NameId(9)).is_empty());
        let corrected = book_again(&[entry("0.5")], vec![entry("0.7")], 1, first_open, NameId(9));
        let kinds: Vec<_> = corrected.iter().map(|entry| (entry.kind, entry.turn)).collect();
        assert_eq!(kinds, [(EntryKind::Reversal, 1), (EntryKind::Charge, 1)]);
        assert!(corrected.iter().all(|entry| entry.reason == Some(NameId(9))));
        // Another name for the same price is no reason to write into the book.
        let renamed = Entry { card: Some(NameId(5)), layer: Layer::PricingProvider, ..entry("0.5") };
        assert!(book_again(&[entry("0.5")], vec![renamed], 1, first_open, NameId(9)).is_empty());
    }

    #[test]
    fn a_late_fact_lands_in_the_earliest_open_month() {
        let occurred_at = Instant::parse("2026-02-03T10:00:00Z").unwrap();
        assert_eq!(landing(occurred_at, "2026-01".parse().unwrap()).to_string(), "2026-02");
        assert_eq!(landing(occurred_at, "2026-05".parse().unwrap()).to_string(), "2026-05");
    }

    const TEAM_USER: &[OwnerDimension] = &[OwnerDimension::Team, OwnerDimension::User];

    #[test]
    fn an_account_has_one_spelling() {
        for good in ["cost:search/ann", "cost:-/-", "cost:a%2Fb/%2D", "payable:openrouter", "expense:fees", "prepaid:a"] {
            assert_eq!(Account::parse(good).unwrap().as_str(), good);
        }
        let said = |bad: &str| Account::parse(bad).unwrap_err();
        assert!(said("fees").contains("is no account; write one as"));
        assert!(said("costs:a/b").starts_with("`costs` is no root of an account; known are cash, cost,"));
        assert!(said("payable:a b").ends_with("write a%20b"));
        assert!(said("payable:%61").ends_with("write a"));
        assert!(said("payable:").ends_with("write -"));
        assert_eq!(Account::parse("cost:-/a%20b").unwrap().owner(TEAM_USER).unwrap().user, Text::new("a b"));
        assert_eq!(Account::parse("cost:ann").unwrap().owner(TEAM_USER), None);
    }

    #[test]
    fn an_account_says_who_is_owed() {
        for name in ["openrouter", "a/b:c d", "-", "é", "100%", "%41"] {
            assert_eq!(payee_of(&format!("payable:{}", encoded(name))).as_deref(), Some(name));
        }
        assert_eq!((payee_of("margin:openai"), payee_of("payable:-")), (None, None));
    }

    #[test]
    fn no_name_can_pretend_to_be_another_account() {
        assert_eq!(encoded("a/b:c d"), "a%2Fb%3Ac%20d");
        assert_eq!(encoded("-"), "%2D");
        assert_eq!(encoded("a-b"), "a-b");
        assert_eq!(encoded("é"), "%C3%A9");
    }
}
