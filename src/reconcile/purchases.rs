//! The file of purchases: what went to and fro between the bank and the credits, which no interface of OpenRouter's tells. A
//! top-up is what was *paid*, with the fee and the tax that are on rows of their own, so that a month closes as top-ups minus
//! fees, taxes and refunds; every kind but a transfer is written without a sign.

use crate::money::{Amount, Currency};
use crate::reconcile::statement::{Table, Unreadable};
use crate::time::Instant;
use crate::usage::Text;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Purchases {
    /// blake3 of what was received, which is its identity.
    pub hash: [u8; 32],
    pub rows: Vec<Purchase>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purchase {
    pub line: u32,
    /// The first instant of its UTC day.
    pub on: Instant,
    pub kind: PurchaseKind,
    /// Negative only for credits that were transferred away.
    pub amount: Amount,
    pub currency: Currency,
    pub invoice_id: Option<Text>,
    pub note: Option<Text>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PurchaseKind {
    /// What was paid for credits, fee and tax included.
    TopUp,
    Fee,
    Tax,
    /// Credits that were given back for money.
    Refund,
    /// Credits that lapsed.
    Expiry,
    /// Credits from another account, or to one.
    Transfer,
    /// What is asked for usage in arrears.
    Invoice,
}

/// What a file of purchases did to the credits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Movement {
    pub top_ups: Amount,
    pub fees: Amount,
    pub taxes: Amount,
    pub refunds: Amount,
    pub expiries: Amount,
    pub transfers: Amount,
    pub invoices: Amount,
}

/// What is asked for a purchase on top of the credits, as a share of these in thousandths, and at least this much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeeRule {
    pub thousandths: u16,
    pub minimum: Amount,
}

/// A purchase whose fee is not what the rule asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoubtfulFee {
    pub invoice_id: Text,
    /// The lines of its top-up, fee and tax.
    pub lines: Vec<u32>,
    pub expected: Amount,
    pub observed: Amount,
}

/// A month's credits from one look at the balance to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    pub before: Amount,
    pub movement: Movement,
    pub usage: Amount,
    pub after: Amount,
}

const CENT: i128 = 10_i128.pow(22);

const COLUMNS: [&str; 6] = ["date", "kind", "amount", "currency", "invoice_id", "note"];

impl PurchaseKind {
    pub const ALL: [PurchaseKind; 7] = [
        PurchaseKind::TopUp,
        PurchaseKind::Fee,
        PurchaseKind::Tax,
        PurchaseKind::Refund,
        PurchaseKind::Expiry,
        PurchaseKind::Transfer,
        PurchaseKind::Invoice,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            PurchaseKind::TopUp => "top_up",
            PurchaseKind::Fee => "fee",
            PurchaseKind::Tax => "tax",
            PurchaseKind::Refund => "refund",
            PurchaseKind::Expiry => "expiry",
            PurchaseKind::Transfer => "transfer",
            PurchaseKind::Invoice => "invoice",
        }
    }

    pub fn named(name: &str) -> Option<PurchaseKind> {
        PurchaseKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Purchases {
    pub fn read(text: &str) -> Result<Purchases, Unreadable> {
        let mut table = Table::new(text.as_bytes())?;
        let [date, kind, amount, currency] = ["date", "kind", "amount", "currency"].map(|name| table.column(name));
        let places = [date?, kind?, amount?, currency?];
        let notes = [table.optional("invoice_id"), table.optional("note")];
        // A column nobody reads may be one that changes what the others mean.
        if let Some(unknown) = table.unread(&COLUMNS).first() {
            return Err(Unreadable::Line { line: table.line(), why: format!("the column {unknown} is unknown; remove it") });
        }
        let (mut rows, mut size) = (Vec::new(), Amount::ZERO);
        while table.advance()? {
            let row = purchase(&table, places, notes)?;
            let too_large = || Unreadable::Whole("the rows add up to more than a book holds; look for a wrong unit".to_owned());
            size = size.checked_add(row.amount.abs()).filter(|size| size.fits()).ok_or_else(too_large)?;
            rows.push(row);
        }
        Ok(Purchases { hash: *blake3::hash(text.as_bytes()).as_bytes(), rows })
    }

    /// The sums of one currency.
    pub fn movement(&self, currency: Currency) -> Movement {
        let mut movement = Movement::default();
        for row in self.rows.iter().filter(|row| row.currency == currency) {
            *match row.kind {
                PurchaseKind::TopUp => &mut movement.top_ups,
                PurchaseKind::Fee => &mut movement.fees,
                PurchaseKind::Tax => &mut movement.taxes,
                PurchaseKind::Refund => &mut movement.refunds,
                PurchaseKind::Expiry => &mut movement.expiries,
                PurchaseKind::Transfer => &mut movement.transfers,
                PurchaseKind::Invoice => &mut movement.invoices,
            } += row.amount;
        }
        movement
    }
}

impl Default for FeeRule {
    /// By card: 5.5%, at least 0.80.
    fn default() -> FeeRule {
        FeeRule { thousandths: 55, minimum: Amount::from_units(80 * CENT) }
    }
}

impl FeeRule {
    /// The fee within what was paid without tax, to the nearest cent: the share is one of the credits, and these are what is
    /// left of the payment.
    pub fn fee_within(&self, paid: Amount) -> Amount {
        let (share, whole) = (i128::from(self.thousandths), 1_000 + i128::from(self.thousandths));
        // Cents first: a payment is a whole number of them, and the product stays small.
        let cents = (paid.units() / CENT * share * 2 + whole).div_euclid(2 * whole);
        Amount::from_units(cents * CENT).max(self.minimum)
    }
}

impl Purchases {
    /// The purchases of one currency whose fees are others than the rule asks. Only what has an invoice's id can be told
    /// apart.
    pub fn doubtful_fees(&self, rule: &FeeRule, currency: Currency) -> Vec<DoubtfulFee> {
        let parts = [PurchaseKind::TopUp, PurchaseKind::Fee, PurchaseKind::Tax];
        let mut invoices: BTreeMap<&Text, Vec<&Purchase>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.currency == currency && parts.contains(&row.kind)) {
            if let Some(id) = &row.invoice_id {
                invoices.entry(id).or_default().push(row);
            }
        }
        let doubtful = invoices.into_iter().filter_map(|(id, rows)| {
            let [paid, observed, tax] =
                parts.map(|kind| rows.iter().filter(|row| row.kind == kind).map(|row| row.amount).sum::<Amount>());
            let expected = rule.fee_within(paid - tax);
            let lines = rows.iter().map(|row| row.line).collect();
            (!paid.is_zero() && expected != observed).then(|| DoubtfulFee { invoice_id: id.clone(), lines, expected, observed })
        });
        doubtful.collect()
    }
}

impl Closing {
    /// The change of the balance that neither purchases nor usage explain: zero where nothing was forgotten.
    pub fn unexplained(&self) -> Amount {
        (self.after - self.before) - (self.movement.credits() - self.usage)
    }
}

impl Movement {
    /// What was added to the credits, by which they and the usage of the same time must have changed. An invoice in arrears
    /// adds none: it is paid for usage directly.
    pub fn credits(&self) -> Amount {
        self.top_ups - self.fees - self.taxes - self.refunds - self.expiries + self.transfers
    }
}

fn purchase(
    table: &Table<'_>,
    [date, kind, amount, currency]: [usize; 4],
    notes: [Option<usize>; 2],
) -> Result<Purchase, Unreadable> {
    let on = Instant::parse_date_or_instant(table.required(date)?).map_err(|e| table.wrong(date, e.to_string()))?;
    let name = table.required(kind)?;
    let unknown = || {
        let known: Vec<_> = PurchaseKind::ALL.iter().map(|kind| kind.name()).collect();
        table.wrong(kind, format!("`{}` is none of {}", name.chars().take(40).collect::<String>(), known.join(", ")))
    };
    let kind = PurchaseKind::named(name).ok_or_else(unknown)?;
    let moved = table.required_amount(amount)?;
    if moved.is_negative() && kind != PurchaseKind::Transfer {
        return Err(table.wrong(amount, format!("{moved} is negative; a {name} is written without a sign")));
    }
    let in_currency =
        table.required(currency)?.parse().map_err(|e: crate::money::MoneyError| table.wrong(currency, e.to_string()))?;
    let note = |place: Option<usize>| match place.filter(|place| !table.cell(*place).is_empty()) {
        Some(place) => {
            let text = crate::usage::reading::text("note", table.cell(place));
            text.map(Some).map_err(|e| table.wrong(place, e.problem.to_string()))
        }
        None => Ok(None),
    };
    Ok(Purchase {
        line: table.line(),
        on,
        kind,
        amount: moved,
        currency: in_currency,
        invoice_id: note(notes[0])?,
        note: note(notes[1])?,
    })
}
