//! Rows as the journal of beancount, ledger or hledger: what an entry moves from its credit to its debit account, each entry
//! by itself or all of a day between two accounts as one transaction. The journal ends with an assertion of every account's
//! balance, so that the program that reads it proves our totals with its own arithmetic. Accounts get one of the five roots
//! that such programs know, and otherwise say what they say in the book: no two of them become one, and each can be read back.

use crate::export::{Notation, Row, Texts, digits};
use crate::id::NameId;
use crate::ledger;
use crate::money::{Amount, Currency, PLACES};
use crate::report::Clock;
use crate::time::Instant;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Beancount,
    Ledger,
    Hledger,
}

/// What becomes one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    Entry,
    /// All entries of a day between the same two accounts.
    #[default]
    Day,
}

/// How a journal is written.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    pub grain: Grain,
    /// Whose instant is the date of a transaction.
    pub clock: Clock,
    /// A comment at the beginning.
    pub heading: String,
}

pub struct Journal {
    program: Program,
    manner: Manner,
    accounts: HashMap<NameId, Box<str>>,
    balances: HashMap<(NameId, Currency), Balance>,
    currencies: Vec<Currency>,
    days: BTreeMap<Day, (u64, Amount)>,
    last: Option<Instant>,
}

type Day = (i64, NameId, NameId, Currency);

/// What an account comes to, and what it takes to compute that.
#[derive(Clone, Copy, Default)]
struct Balance {
    sum: Amount,
    /// All that was added and all that was taken away.
    moved: Amount,
    /// Decimals of the finest posting.
    decimals: u32,
    postings: u32,
}

impl Program {
    pub const fn name(self) -> &'static str {
        match self {
            Program::Beancount => "beancount",
            Program::Ledger => "ledger",
            Program::Hledger => "hledger",
        }
    }
}

impl Grain {
    pub const fn name(self) -> &'static str {
        match self {
            Grain::Day => "day",
            Grain::Entry => "entry",
        }
    }

    pub fn named(name: &str) -> Result<Grain, String> {
        match name {
            "day" => Ok(Grain::Day),
            "entry" => Ok(Grain::Entry),
            other => Err(format!("`{other}` is no grain of a journal; known are day and entry")),
        }
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Journal {
    pub fn new(program: Program, manner: Manner) -> Journal {
        Journal {
            program,
            manner,
            accounts: HashMap::new(),
            balances: HashMap::new(),
            currencies: Vec::new(),
            days: BTreeMap::new(),
            last: None,
        }
    }

    /// Makes sure that an account and its currency are declared before they are used.
    fn declare(&mut self, account: NameId, currency: Currency, texts: &Texts, to: &mut Vec<u8>) {
        if self.balances.contains_key(&(account, currency)) {
            return;
        }
        self.balances.insert((account, currency), Balance::default());
        let program = self.program;
        if program != Program::Beancount && !self.currencies.contains(&currency) {
            self.currencies.push(currency);
            line(to, format_args!("commodity {currency}"));
        }
        self.accounts.entry(account).or_insert_with(|| {
            let name = written(texts.name(account).map_or("", |text| text), account, program);
            match program {
                // Nothing that a book holds is older.
                Program::Beancount => line(to, format_args!("{} open {name}", digits::date(Instant::EARLIEST_USAGE).as_str())),
                Program::Ledger | Program::Hledger => line(to, format_args!("account {name}")),
            }
            name.into_boxed_str()
        });
    }

    /// One transaction, and what it does to its accounts.
    fn transaction(&mut self, day: Day, what: &str, amount: Amount, to: &mut Vec<u8>) -> Result<(), String> {
        let (number, debit, credit, currency) = day;
        let at = Instant::from_micros(number * MICROS_PER_DAY);
        let date = digits::date(at);
        line(to, format_args!("\n{} * {what}", date.as_str()));
        for (account, amount) in [(debit, amount), (credit, -amount)] {
            line(to, format_args!("  {}  {}", self.accounts[&account], self.money(amount, currency)));
            self.balances.entry((account, currency)).or_default().add(amount)?;
        }
        self.last = self.last.max(Some(at));
        Ok(())
    }

    fn money(&self, amount: Amount, currency: Currency) -> String {
        match self.program {
            Program::Beancount => format!("{amount} {currency}"),
            Program::Ledger | Program::Hledger => format!("{currency} {amount}"),
        }
    }

    /// On the day after the last one every account has its balance.
    fn assertions(&self, to: &mut Vec<u8>) {
        let Some(last) = self.last else { return };
        let date = digits::date(Instant::from_micros(last.micros() + MICROS_PER_DAY));
        let date = date.as_str();
        let balances =
            self.balances.iter().map(|((account, currency), balance)| ((&*self.accounts[account], *currency), balance));
        let balances: BTreeMap<(&str, Currency), &Balance> = balances.collect();
        if self.program == Program::Beancount {
            to.push(b'\n');
            for ((account, currency), balance) in balances {
                let (sum, tolerance, digits) = (balance.sum, balance.tolerance(), balance.digits());
                if !tolerance.is_zero() {
                    line(to, format_args!("; beancount computes in {BEANCOUNT_DIGITS} digits; this account takes {digits}"));
                }
                line(to, format_args!("{date} balance {account}  {sum} ~ {tolerance} {currency}"));
            }
            return;
        }
        line(to, format_args!("\n{date} * balances"));
        for ((account, currency), balance) in balances {
            line(to, format_args!("  {account}  {currency} 0 = {currency} {}", balance.sum));
        }
    }
}

impl Notation for Journal {
    fn begin(&mut self, to: &mut Vec<u8>) -> Result<(), String> {
        for text in self.manner.heading.lines() {
            line(to, format_args!("; {text}"));
        }
        if self.program == Program::Hledger {
            line(to, format_args!("decimal-mark ."));
        }
        Ok(())
    }

    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        for row in rows {
            let at = if self.manner.clock == Clock::Recorded { row.sealed.recorded_at } else { row.occurred_at };
            let day = (at.micros().div_euclid(MICROS_PER_DAY), row.debit, row.credit, row.currency);
            let amount = row.posted;
            self.declare(row.debit, row.currency, texts, to);
            self.declare(row.credit, row.currency, texts, to);
            match self.manner.grain {
                Grain::Day => {
                    let (entries, sum) = self.days.entry(day).or_default();
                    *entries += 1;
                    *sum = sum.checked_add(amount).ok_or("a day's sum is beyond what an amount holds")?;
                }
                Grain::Entry => {
                    let what = described(row, texts, self.program);
                    self.transaction(day, &what, amount, to)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, _: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        for (day, (entries, sum)) in std::mem::take(&mut self.days) {
            let what = format!("{entries} {}", if entries == 1 { "entry" } else { "entries" });
            let what = if self.program == Program::Beancount { format!("\"{what}\"") } else { what };
            self.transaction(day, &what, sum, to)?;
        }
        self.assertions(to);
        Ok(())
    }
}

fn line(to: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    writeln!(to, "{text}").expect("a buffer takes what is written to it");
}

/// What an entry's transaction is called: its kind, its place in the book, and what was bought.
fn described(row: &Row, texts: &Texts, program: Program) -> String {
    let product = texts.product(row.product).map_or([0; 2], |parts| [parts[0], parts[1]]);
    let [provider, model] = product.map(|name| texts.name(NameId(name)).map(|text| plain(text)).unwrap_or_default());
    let (kind, sequence) = (row.kind.name(), row.sequence);
    match program {
        Program::Beancount => format!("\"{kind} {sequence}\" \"{provider} {model}\""),
        Program::Ledger | Program::Hledger => format!("({sequence}) {kind} {provider} {model}"),
    }
}

/// Without what any of the programs could take for something else than text.
fn plain(text: &str) -> String {
    let safe = |letter: char| if letter.is_alphanumeric() || "_.~@-/+:".contains(letter) { letter } else { '_' };
    text.chars().map(safe).collect()
}

/// An account as a program has to see it.
fn written(account: &str, number: NameId, program: Program) -> String {
    // An account whose name was erased is still one of its own.
    let erased = format!("erased:{number}");
    let (kind, rest) = account.split_once(':').unwrap_or_else(|| erased.split_once(':').expect("it was written with one"));
    let root = match kind {
        "cost" | "expense" => "Expenses",
        "payable" => "Liabilities",
        "prepaid" => "Assets",
        "margin" => "Income",
        _ => "Equity",
    };
    let parts = std::iter::once(kind).chain(rest.split('/'));
    let parts = parts.map(|part| match program {
        Program::Beancount => component(part),
        // Percent-encoded they are fine as they are.
        Program::Ledger | Program::Hledger => part.to_owned(),
    });
    parts.fold(root.to_owned(), |account, part| account + ":" + &part)
}

/// A part of an account in the letters, digits and dashes that beancount allows, beginning with a capital or a digit. A name
/// that begins with a small letter gets a capital; any other that does not begin with 1 to 9 gets a 0 before it, and a part
/// that is missing is the 0 alone. A byte that is not allowed is a dash and two hexadecimal digits; so is a dash that would
/// otherwise look like the beginning of one.
fn component(part: &str) -> String {
    if part == "-" {
        return "0".to_owned();
    }
    let bytes = ledger::decoded(part);
    let is_digit = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte));
    let mut component = String::with_capacity(bytes.len() + 1);
    for (place, byte) in bytes.iter().copied().enumerate() {
        if place == 0 && !matches!(byte, b'a'..=b'z' | b'1'..=b'9') {
            component.push('0');
        }
        let looks_encoded = is_digit(bytes.get(place + 1)) && is_digit(bytes.get(place + 2));
        match byte {
            b'a'..=b'z' if place == 0 => component.push(char::from(byte.to_ascii_uppercase())),
            b'-' if !looks_encoded => component.push('-'),
            byte if byte.is_ascii_alphanumeric() => component.push(char::from(byte)),
            byte => component += &format!("-{byte:02X}"),
        }
    }
    component
}

/// What beancount computes in; what takes more digits it rounds in silence.
const BEANCOUNT_DIGITS: u32 = 28;

impl Balance {
    fn add(&mut self, amount: Amount) -> Result<(), String> {
        let sum = self.sum.checked_add(amount).zip(self.moved.checked_add(amount.abs()));
        (self.sum, self.moved) = sum.ok_or("the balance of an account is beyond what an amount holds")?;
        self.decimals = self.decimals.max(decimals(amount));
        self.postings += 1;
        Ok(())
    }

    /// As many as no sum of some of the postings can need more.
    fn digits(&self) -> u32 {
        self.whole_digits() + self.decimals
    }

    fn whole_digits(&self) -> u32 {
        (self.moved.units() / 10_i128.pow(PLACES)).checked_ilog10().map_or(1, |digits| digits + 1)
    }

    /// By how much beancount may be off: not at all, or by one in the last of its digits for each posting and the balance.
    fn tolerance(&self) -> Amount {
        if self.digits() <= BEANCOUNT_DIGITS {
            return Amount::ZERO;
        }
        let last_digit = 10_i128.pow((self.whole_digits() + PLACES).saturating_sub(BEANCOUNT_DIGITS));
        Amount::from_units(last_digit.saturating_mul(i128::from(self.postings) + 1))
    }
}

fn decimals(amount: Amount) -> u32 {
    let (mut units, mut decimals) = (amount.units(), PLACES);
    while decimals > 0 && units % 10 == 0 {
        (units, decimals) = (units / 10, decimals - 1);
    }
    decimals
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A component of beancount's back as the part it was made of.
    fn part(component: &str) -> Vec<u8> {
        if component == "0" {
            return b"-".to_vec();
        }
        let (first, rest) = component.split_at(1);
        let text = match first {
            "0" => rest.to_owned(),
            first => first.to_lowercase() + rest,
        };
        let (mut bytes, mut left) = (Vec::new(), text.as_bytes());
        while let Some((byte, after)) = left.split_first() {
            let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
            let code = code.filter(|code| code.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')));
            match code {
                Some(code) if *byte == b'-' => {
                    bytes.push(u8::from_str_radix(code, 16).unwrap());
                    left = &after[2..];
                }
                _ => {
                    bytes.push(*byte);
                    left = after;
                }
            }
        }
        bytes
    }

    fn encoded(text: &str) -> String {
        text.bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    }

    proptest! {
        #[test]
        fn a_component_can_be_read_back(text in "[ -~]{1,6}|[-A-Fa-f0-9]{1,6}|\\PC{1,6}") {
            let component = component(&encoded(&text));
            prop_assert_eq!(part(&component), text.as_bytes());
            let mut bytes = component.bytes();
            prop_assert!(bytes.next().is_some_and(|first| first.is_ascii_uppercase() || first.is_ascii_digit()));
            prop_assert!(bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        }
    }

    #[test]
    fn accounts_read_well() {
        let beancount = |account: &str| written(account, NameId(7), Program::Beancount);
        assert_eq!(beancount("cost:search/ann"), "Expenses:Cost:Search:Ann");
        assert_eq!(beancount("cost:-/claude-code"), "Expenses:Cost:0:Claude-code");
        assert_eq!(beancount("cost:R%26D/ann%40x.org"), "Expenses:Cost:0R-26D:Ann-40x-2Eorg");
        assert_eq!(beancount("payable:openrouter"), "Liabilities:Payable:Openrouter");
        assert_eq!(beancount("(erased)"), "Equity:Erased:7");
        let ledger = |account: &str| written(account, NameId(7), Program::Ledger);
        assert_eq!(ledger("cost:search/ann%40x.org"), "Expenses:cost:search:ann%40x.org");
        assert_eq!(ledger("margin:openai"), "Income:margin:openai");
    }

    #[test]
    fn a_balance_that_beancount_can_hold_is_asserted_to_the_last_digit() {
        let balance = |amounts: &[&str]| {
            let mut balance = Balance::default();
            amounts.iter().for_each(|amount| balance.add(Amount::parse(amount).unwrap()).unwrap());
            (balance.digits(), balance.tolerance().to_string())
        };
        assert_eq!(balance(&["9999", "0.000000000000000000000001"]), (28, "0".to_owned()));
        // With five digits before the point the last of 28 is the 23rd after it.
        let off_by = "0.00000000000000000000004".to_owned();
        assert_eq!(balance(&["-9999", "-1", "0.000000000000000000000001"]), (29, off_by));
        assert_eq!(balance(&["123456789.5"]), (10, "0".to_owned()));
    }
}
