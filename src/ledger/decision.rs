//! Decisions: what people write into a book and no event. An adjustment moves an amount between two accounts; a closing says
//! that a month is over and what it came to; a reopening takes that back. Each is a record of the book in canonical JSON,
//! with who decided and why, so the chain covers it like everything else.

use crate::id::{NameId, Sequence};
use crate::ledger::seal::State;
use crate::ledger::{self, Account};
use crate::money::{Amount, Currency};
use crate::signature::{Signature, Signer};
use crate::time::{Instant, Month};
use crate::usage::{Owner, OwnerDimension, Text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The source that decisions are recorded under: the book itself.
pub const SOURCE: &str = "farthing";

/// Moves an amount by decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adjustment {
    /// Once per id, whatever is retried.
    pub id: Text,
    pub amount: Amount,
    pub currency: Currency,
    pub debit: Account,
    pub credit: Account,
    pub reason: Text,
    pub author: Text,
    pub occurred_at: Instant,
    pub about: About,
}

/// What an adjustment is about, where that is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    pub model: Option<Text>,
    pub served_by: Option<Text>,
    /// The provider's own id of the call.
    pub call: Option<Text>,
    /// The entry whose amount it corrects.
    pub entry: Option<Sequence>,
}

/// One amount between two accounts, and whose cost it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub debit: String,
    pub credit: String,
    pub owner: Owner,
}

/// Why something cannot be an adjustment: the field, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub field: &'static str,
    pub why: String,
}

impl Adjustment {
    pub fn check(&self) -> Result<(), Wrong> {
        if self.amount.is_negative() || self.amount == Amount::ZERO {
            let why = format!("{} moves nothing forward; write what is more than 0 and turn the accounts around", self.amount);
            return Err(Wrong { field: "amount", why });
        }
        if self.debit == self.credit {
            return Err(Wrong { field: "credit", why: "it is the debit account too; an amount moves between two".to_owned() });
        }
        Ok(())
    }

    /// Whether its accounts of costs are made as the rules in force make them.
    pub fn fits(&self, cost: &[OwnerDimension]) -> Result<(), Wrong> {
        for (field, account) in [("debit", &self.debit), ("credit", &self.credit)] {
            if account.is_a_cost() && account.owner(cost).is_none() {
                let parts: Vec<&str> = cost.iter().map(|dimension| dimension.name()).collect();
                let how = format!("cost:{}, with - for what is not known", parts.join("/"));
                return Err(Wrong { field, why: format!("`{}` is nobody's cost; write {how}", account.as_str()) });
            }
        }
        Ok(())
    }

    /// From one owner to another it takes two steps, so that each sees its own in its own reports.
    pub fn parts(&self, cost: &[OwnerDimension]) -> Vec<Part> {
        let part = |debit: &str, credit: &str, owner: Option<Owner>| Part {
            debit: debit.to_owned(),
            credit: credit.to_owned(),
            owner: owner.unwrap_or_default(),
        };
        let (debit, credit) = (self.debit.as_str(), self.credit.as_str());
        match (self.debit.owner(cost), self.credit.owner(cost)) {
            (Some(to), Some(from)) => vec![part(debit, BETWEEN, Some(to)), part(BETWEEN, credit, Some(from))],
            (to, from) => vec![part(debit, credit, to.or(from))],
        }
    }

    /// Who is paid, where an account says so.
    pub fn provider(&self) -> Option<Text> {
        [&self.debit, &self.credit].into_iter().find_map(|account| account.provider())
    }

    /// What the book records.
    pub fn body(&self) -> String {
        let told = Told {
            adjustment: self.id.to_string(),
            amount: self.amount.to_string(),
            currency: self.currency.to_string(),
            debit: self.debit.as_str().to_owned(),
            credit: self.credit.as_str().to_owned(),
            reason: self.reason.to_string(),
            author: self.author.to_string(),
            occurred_at: self.occurred_at.to_string(),
            model: self.about.model.as_ref().map(Text::to_string),
            served_by: self.about.served_by.as_ref().map(Text::to_string),
            call: self.about.call.as_ref().map(Text::to_string),
            entry: self.about.entry.map(|entry| entry.0),
        };
        canonical(&told)
    }

    pub fn read(body: &[u8]) -> Result<Adjustment, String> {
        let told: Told = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let text = |what: &str, text: &str| Text::new(text).ok_or_else(|| format!("its {what} is no text"));
        Ok(Adjustment {
            id: text("id", &told.adjustment)?,
            amount: Amount::parse(&told.amount).map_err(|e| e.to_string())?,
            currency: told.currency.parse().map_err(|_| format!("{} is no currency", told.currency))?,
            debit: Account::parse(&told.debit)?,
            credit: Account::parse(&told.credit)?,
            reason: text("reason", &told.reason)?,
            author: text("author", &told.author)?,
            occurred_at: Instant::parse(&told.occurred_at).map_err(|e| e.to_string())?,
            about: About {
                model: told.model.as_deref().map(|model| text("model", model)).transpose()?,
                served_by: told.served_by.as_deref().map(|name| text("served_by", name)).transpose()?,
                call: told.call.as_deref().map(|call| text("call", call)).transpose()?,
                entry: told.entry.map(Sequence),
            },
        })
    }

    /// The fields in which another adjustment of the same id means something else. Who says it again, and when, does not matter.
    pub fn differs(&self, other: &Adjustment, with_time: bool) -> Vec<&'static str> {
        let same = [
            ("amount", self.amount == other.amount),
            ("currency", self.currency == other.currency),
            ("debit", self.debit == other.debit),
            ("credit", self.credit == other.credit),
            ("reason", self.reason == other.reason),
            ("occurred_at", !with_time || self.occurred_at == other.occurred_at),
            ("model", self.about == other.about),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
    }
}

/// The account that stands between two owners.
const BETWEEN: &str = "transfer:cost";

/// An adjustment as JSON: texts alone, in this order.
#[derive(Serialize, Deserialize)]
struct Told {
    adjustment: String,
    amount: String,
    currency: String,
    debit: String,
    credit: String,
    reason: String,
    author: String,
    occurred_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    served_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<i64>,
}

/// What a month came to, said when it was closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// The month, and which closing of it this is: a month that was reopened is closed again.
    pub closing: String,
    pub turn: u32,
    /// The book up to this block, whose hash is that, was proved.
    pub block: i64,
    pub hash: String,
    pub entries: i64,
    /// What was borne in it, by currency.
    pub amounts: BTreeMap<String, String>,
    /// Accounts, and the hash of the list of their balances in the month.
    pub accounts: u64,
    pub balances: String,
    /// Usage of this month or an earlier one that had no amount yet, by reason, and that it was accepted so.
    pub held: BTreeMap<String, i64>,
    pub note: String,
    pub author: String,
    pub closed_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// That a month is open again, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reopening {
    pub reopening: String,
    /// The closing that it takes back.
    pub turn: u32,
    pub reason: String,
    pub author: String,
    pub reopened_at: String,
}

/// Which months are closed, by what was decided so far.
#[derive(Clone, Default, Debug)]
pub struct Closed(BTreeSet<Month>);

impl Closed {
    /// Takes in a record of the book; most of them decide nothing about months.
    pub fn learn(&mut self, state: State, body: &[u8]) -> Result<(), String> {
        match state {
            State::Closed => drop(self.0.insert(Closing::read(body)?.month()?)),
            // With those after it: they close in order.
            State::Reopened => drop(self.0.split_off(&Reopening::read(body)?.month()?)),
            _ => {}
        }
        Ok(())
    }

    /// Where what occurred earlier lands. What came before the last closed month is closed too, also where nobody ever closed
    /// it because nothing was in it.
    pub fn first_open(&self) -> Month {
        self.0.last().map_or(Month::from_number(0), |month| month.next())
    }
}

/// What a decision of a state is called where it must happen once.
pub const fn what_was_decided(state: State) -> &'static str {
    match state {
        State::Adjusted => "adjustment",
        State::Closed => "closing",
        State::Reopened => "reopening",
        _ => "statement",
    }
}

/// The same thing is always the same bytes: fields have an order, and maps are sorted.
pub fn canonical(told: &impl Serialize) -> String {
    serde_json::to_string(told).expect("texts and numbers are always JSON")
}

impl Closing {
    pub fn read(body: &[u8]) -> Result<Closing, String> {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    }

    fn unsigned(&self) -> Vec<u8> {
        canonical(&Closing { signature: None, ..self.clone() }).into_bytes()
    }

    pub fn sign(&mut self, signer: &Signer) {
        self.signature = Some(signer.sign(&self.unsigned()));
    }

    /// Whether it is as whoever signed it left it; nothing where nobody did.
    pub fn is_as_signed(&self) -> Option<bool> {
        self.signature.as_ref().map(|signature| signature.is_of(&self.unsigned()))
    }

    pub fn month(&self) -> Result<Month, String> {
        self.closing.parse().map_err(|e: crate::time::TimeError| e.to_string())
    }
}

impl Reopening {
    pub fn read(body: &[u8]) -> Result<Reopening, String> {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    }

    pub fn month(&self) -> Result<Month, String> {
        self.reopening.parse().map_err(|e: crate::time::TimeError| e.to_string())
    }
}

/// Debits and credits of an account in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Balance {
    pub debit: Amount,
    pub credit: Amount,
}

impl Balance {
    pub fn amount(&self) -> Amount {
        self.debit - self.credit
    }
}

/// What has moved to and from accounts, by account and currency.
pub type Balances = BTreeMap<(String, Currency), Balance>;

/// The same by the numbers of accounts, which stay when the name of one is erased.
pub type Numbered = BTreeMap<(NameId, Currency), Balance>;

/// The hash of balances as text, a line each.
pub fn hash_of_balances(balances: &Numbered) -> String {
    let mut hasher = blake3::Hasher::new();
    for ((account, currency), balance) in balances {
        hasher.update(format!("{account} {currency} {} {}\n", balance.debit, balance.credit).as_bytes());
    }
    hasher.finalize().to_string()
}

/// Debits and credits of all accounts, by currency: they are the same, or something is wrong with the book.
pub fn trial(balances: &Balances) -> Result<BTreeMap<Currency, Balance>, ledger::NoPosting> {
    let mut sums: BTreeMap<Currency, Balance> = BTreeMap::new();
    for ((_, currency), balance) in balances {
        let sum = sums.entry(*currency).or_default();
        let too_large = ledger::NoPosting::TooLarge(balance.debit);
        let both = sum.debit.checked_add(balance.debit).zip(sum.credit.checked_add(balance.credit));
        (sum.debit, sum.credit) = both.ok_or(too_large)?;
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM_USER: &[OwnerDimension] = &[OwnerDimension::Team, OwnerDimension::User];

    fn adjustment(debit: &str, credit: &str) -> Adjustment {
        Adjustment {
            id: Text::known("fee-1"),
            amount: Amount::parse("1.25").unwrap(),
            currency: Currency::USD,
            debit: Account::parse(debit).unwrap(),
            credit: Account::parse(credit).unwrap(),
            reason: Text::known("an agreed fee"),
            author: Text::known("ann"),
            occurred_at: Instant::parse("2026-02-03T10:00:00Z").unwrap(),
            about: About { model: Text::new("m"), call: Text::new("gen-1"), entry: Some(Sequence(7)), served_by: None },
        }
    }

    #[test]
    fn what_is_recorded_is_read_back_as_it_was() {
        let said = adjustment("cost:search/ann", "payable:openrouter");
        assert_eq!(Adjustment::read(said.body().as_bytes()), Ok(said.clone()));
        assert_eq!(said.differs(&said, true), [""; 0]);
        let other = Adjustment { amount: Amount::parse("1.26").unwrap(), author: Text::known("bo"), ..said.clone() };
        assert_eq!(said.differs(&other, true), ["amount"]);
    }

    #[test]
    fn between_two_owners_each_sees_its_own_part() {
        let moved = adjustment("cost:search/ann", "cost:labs/-");
        let parts = moved.parts(TEAM_USER);
        let told: Vec<_> = parts.iter().map(|part| (part.debit.as_str(), part.credit.as_str())).collect();
        assert_eq!(told, [("cost:search/ann", "transfer:cost"), ("transfer:cost", "cost:labs/-")]);
        assert_eq!(parts[0].owner.user, Text::new("ann"));
        assert_eq!((parts[1].owner.team.clone(), parts[1].owner.user.clone()), (Text::new("labs"), None));
        assert_eq!(adjustment("cost:search/ann", "payable:openrouter").parts(TEAM_USER).len(), 1);
        assert_eq!(adjustment("expense:fees", "prepaid:openrouter").provider(), Text::new("openrouter"));
    }

    #[test]
    fn nothing_and_less_than_nothing_is_no_adjustment() {
        let wrong = |amount: &str| {
            let amount = Amount::parse(amount).unwrap();
            Adjustment { amount, ..adjustment("cost:-/-", "payable:x") }.check().unwrap_err().field
        };
        assert_eq!((wrong("0"), wrong("-1")), ("amount", "amount"));
        assert_eq!(adjustment("cost:-/-", "cost:-/-").check().unwrap_err().field, "credit");
        let said = adjustment("expense:fees", "cost:ann").fits(TEAM_USER).unwrap_err();
        assert_eq!(
            (said.field, said.why.as_str()),
            ("credit", "`cost:ann` is nobody's cost; write cost:team/user, with - for what is not known")
        );
    }
}
