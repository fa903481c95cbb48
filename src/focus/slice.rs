//! Entries cut into slices: so much of one meter at one contracted and one listed rate, or an amount that has no rate. The
//! slices of an entry add up to it exactly, and at list price to its list amount. An entry keeps only the total at list
//! price; the rates behind it come from rating its quantities again without the override, and are believed only where
//! they come to that very total. Where they do not, what is missing is a slice of its own and is spread over nothing.

use crate::id::NameId;
use crate::ledger::items::Item;
use crate::ledger::{Entry, EntryKind};
use crate::money::{Amount, Rate};
use crate::rating::LineItem;
use crate::usage::{Meter, Quantities};
use std::sync::Arc;

/// What of a charge a slice is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Nature {
    /// Of a meter, at what it costs us and at what the list asks for one unit of it.
    Metered { meter: Meter, contracted: Rate, listed: Rate },
    /// Of a meter that was counted and has no money of its own: it was free, or its money is in a lump beside it.
    Counted { meter: Meter },
    /// An amount without a breakdown: its unit is the currency, and one of it costs one. The list may not have it.
    Lump { listed: bool },
    /// What lies between the price an owner bears and the one the provider is owed.
    Margin,
    /// Booked by decision.
    Decision,
    /// What a list would have asked beyond its other slices, where its rates are not known any more.
    ListDifference,
}

/// The card of a rate, by its number in the book or by its label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CardName {
    Booked(NameId),
    Labelled(Arc<str>),
}

/// One part of an entry, before it has a sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    pub nature: Nature,
    /// Units of the meter; of lumps, how many; none of what was not used.
    pub quantity: u64,
    /// What is booked, and what the list asks.
    pub amount: Amount,
    pub listed: Amount,
    /// Which card or override gave the contracted rate.
    pub card: Option<NameId>,
    pub listed_by: Option<CardName>,
}

/// What a list asks for an entry: each meter's rate, and by which card.
#[derive(Clone, Debug)]
pub struct AtList {
    pub card: Arc<str>,
    pub items: Vec<LineItem>,
}

/// What an entry counts, as its event counted it.
pub fn quantities(entry: &Entry) -> Quantities {
    let mut quantities = Quantities::NONE;
    for item in entry.items.iter().filter(|item| item.meter != Meter::Whole) {
        quantities.set(item.meter, quantities.get(item.meter).saturating_add(item.quantity));
    }
    quantities
}

/// Cuts an entry. Whether it is a margin's its accounts say, which are the caller's to know.
pub fn slices(entry: &Entry, of_margin: bool, at_list: Option<&AtList>) -> Vec<Slice> {
    let total = entry.posting.amount();
    if of_margin {
        // The provider is owed nothing of it, and no list asks for it.
        return vec![Slice { amount: total, ..Slice::bare(Nature::Margin) }];
    }
    if entry.kind == EntryKind::Adjustment {
        return vec![Slice { amount: total, listed: total, ..Slice::bare(Nature::Decision) }];
    }
    let listed = entry.list.unwrap_or(total);
    let known = at_list.filter(|at_list| entry.list.is_some() && sum(&at_list.items) == Some(listed));
    let mut slices = match known {
        Some(at_list) => beside_list(entry, at_list),
        None => entry.items.iter().map(|item| Slice::at_its_own_rate(item, entry.card)).collect(),
    };
    // Line items add up to their entry; what is booked without any is one amount, and so is a call that cost nothing.
    let rest = total - slices.iter().map(|slice| slice.amount).sum();
    if slices.is_empty() || !rest.is_zero() {
        slices.push(Slice { quantity: 1, amount: rest, listed: rest, ..Slice::bare(Nature::Lump { listed: true }) });
    }
    let missing = listed - slices.iter().map(|slice| slice.listed).sum();
    if !missing.is_zero() {
        slices.push(Slice { listed: missing, ..Slice::bare(Nature::ListDifference) });
    }
    slices
}

fn sum(items: &[LineItem]) -> Option<Amount> {
    items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.amount))
}

/// Each meter cut wherever its contracted or its listed rate changes.
fn beside_list(entry: &Entry, at_list: &AtList) -> Vec<Slice> {
    let mut slices = Vec::with_capacity(entry.items.len());
    for meter in Meter::ALL {
        let mut listed = at_list.items.iter().filter(|item| item.meter == meter).map(|item| (item.quantity, item.rate));
        let mut ahead = listed.next();
        for item in entry.items.iter().filter(|item| item.meter == meter) {
            let Some(contracted) = item.rate else {
                slices.push(Slice { listed: Amount::ZERO, ..Slice::at_its_own_rate(item, entry.card) }.not_listed());
                continue;
            };
            let mut left = item.quantity;
            while left > 0 {
                // What the list does not ask for is free there.
                let (some, rate) = match &mut ahead {
                    Some((there, rate)) => (left.min(*there), rate.unwrap_or_default()),
                    None => (left, Rate::ZERO),
                };
                let of_both = Nature::Metered { meter, contracted, listed: rate };
                slices.push(Slice {
                    quantity: some,
                    amount: times(contracted, some),
                    listed: times(rate, some),
                    card: item.card.or(entry.card),
                    listed_by: Some(CardName::Labelled(at_list.card.clone())),
                    ..Slice::bare(of_both)
                });
                left -= some;
                if let Some((there, _)) = &mut ahead {
                    *there -= some;
                    if *there == 0 {
                        ahead = listed.next();
                    }
                }
            }
        }
    }
    slices
}

fn times(rate: Rate, quantity: u64) -> Amount {
    rate.times(quantity).expect("a part of a line item fits where the item did")
}

impl Nature {
    pub const fn name(self) -> &'static str {
        match self {
            Nature::Metered { .. } => "metered",
            Nature::Counted { .. } => "counted",
            Nature::Lump { .. } => "lump",
            Nature::Margin => "margin",
            Nature::Decision => "decision",
            Nature::ListDifference => "list difference",
        }
    }
}

impl Slice {
    fn bare(nature: Nature) -> Slice {
        Slice { nature, quantity: 0, amount: Amount::ZERO, listed: Amount::ZERO, card: None, listed_by: None }
    }

    /// Where nothing hides a list, its price is the one that was booked.
    fn at_its_own_rate(item: &Item, decided: Option<NameId>) -> Slice {
        let (nature, quantity) = match (item.rate, item.meter) {
            (Some(rate), meter) => (Nature::Metered { meter, contracted: rate, listed: rate }, item.quantity),
            (None, meter) if meter != Meter::Whole && item.amount.is_zero() => (Nature::Counted { meter }, item.quantity),
            (None, _) => (Nature::Lump { listed: true }, 1),
        };
        let card = item.card.or(decided).filter(|_| item.rate.is_some());
        let listed_by = card.map(CardName::Booked);
        Slice { nature, quantity, amount: item.amount, listed: item.amount, card, listed_by }
    }

    fn not_listed(self) -> Slice {
        match self.nature {
            Nature::Lump { .. } => Slice { nature: Nature::Lump { listed: false }, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::resolution::Layer;
    use crate::id::{OwnerId, ProductId, Sequence};
    use crate::ledger::Posting;
    use crate::money::Currency;
    use crate::time::Instant;
    use crate::usage::Outcome;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    fn item(meter: Meter, quantity: u64, at: &str) -> Item {
        let rate = rate(at);
        Item { meter, quantity, rate: Some(rate), amount: rate.times(quantity).unwrap(), inherited_from: None, card: None }
    }

    fn lump(amount: &str) -> Item {
        let amount = Amount::parse(amount).unwrap();
        Item { meter: Meter::Whole, quantity: 1, rate: None, amount, inherited_from: None, card: None }
    }

    fn entry(items: Vec<Item>, list: Option<&str>) -> Entry {
        let amount = items.iter().map(|item| item.amount).sum();
        let occurred_at = Instant::parse("2026-02-03T10:00:00Z").unwrap();
        Entry {
            sequence: Sequence(1),
            kind: EntryKind::Charge,
            event: None,
            turn: 0,
            reverses: None,
            occurred_at,
            period: occurred_at.month(),
            source: NameId(1),
            owner: OwnerId(1),
            product: ProductId(1),
            posting: Posting::new(NameId(1), NameId(2), amount, Currency::USD).unwrap(),
            outcome: Outcome::Succeeded,
            calls: 1,
            estimated: false,
            rated: None,
            reported: None,
            list: list.map(|list| Amount::parse(list).unwrap()),
            layer: Layer::Override,
            card: Some(NameId(5)),
            above: None,
            reason: None,
            items,
        }
    }

    fn at_list(items: &[(Meter, u64, &str)]) -> AtList {
        let items = items.iter().map(|&(meter, quantity, at)| {
            let rate = rate(at);
            let amount = rate.times(quantity).unwrap();
            LineItem { meter, quantity, rate: Some(rate), amount, inherited_from: None, card: None }
        });
        AtList { card: "a list".into(), items: items.collect() }
    }

    /// Quantity, contracted and listed rate of each metered slice.
    fn rates(slices: &[Slice]) -> Vec<(u64, String, String)> {
        let metered = slices.iter().filter_map(|slice| match slice.nature {
            Nature::Metered { contracted, listed, .. } => Some((slice.quantity, contracted.to_string(), listed.to_string())),
            _ => None,
        });
        metered.collect()
    }

    #[test]
    fn a_meter_is_cut_where_either_rate_changes() {
        // The contract has one rate, the list two slices of 60 and 40; 60 x 3 + 40 x 2 = 260.
        let contract = entry(vec![item(Meter::Input, 100, "1")], Some("260"));
        let cut = slices(&contract, false, Some(&at_list(&[(Meter::Input, 60, "3"), (Meter::Input, 40, "2")])));
        let text = |quantity, contracted: &str, listed: &str| (quantity, contracted.to_owned(), listed.to_owned());
        assert_eq!(rates(&cut), [text(60, "1", "3"), text(40, "1", "2")]);
    }

    #[test]
    fn what_no_list_asks_for_is_free_there() {
        // The contract asks for each request, the list does not; what was charged beyond the rates is in no list either.
        let contract = entry(vec![item(Meter::Input, 10, "1"), item(Meter::Request, 1, "7"), lump("0.5")], Some("30"));
        let cut = slices(&contract, false, Some(&at_list(&[(Meter::Input, 10, "3")])));
        assert_eq!(rates(&cut)[1], (1, "7".to_owned(), "0".to_owned()));
        assert_eq!(cut[2].nature, Nature::Lump { listed: false });
        assert_eq!(cut.iter().map(|slice| slice.listed).sum::<Amount>(), Amount::parse("30").unwrap());
    }

    #[test]
    fn a_list_that_comes_to_another_total_is_not_believed() {
        let contract = entry(vec![item(Meter::Input, 10, "1")], Some("30"));
        for wrong in [None, Some(at_list(&[(Meter::Input, 10, "4")]))] {
            let cut = slices(&contract, false, wrong.as_ref());
            assert_eq!(rates(&cut), [(10, "1".to_owned(), "1".to_owned())]);
            assert_eq!((cut[1].nature, cut[1].amount), (Nature::ListDifference, Amount::ZERO));
            assert_eq!(cut[1].listed, Amount::parse("20").unwrap());
        }
    }

    #[test]
    fn no_list_asks_for_a_margin_and_an_adjustment_is_what_it_is() {
        let margin = slices(&entry(vec![lump("0.5")], None), true, None);
        assert_eq!((margin.len(), margin[0].nature, margin[0].listed), (1, Nature::Margin, Amount::ZERO));
        let fee = Entry { kind: EntryKind::Adjustment, ..entry(vec![lump("0.5")], None) };
        let fee = slices(&fee, false, None);
        assert_eq!((fee.len(), fee[0].nature, fee[0].listed), (1, Nature::Decision, Amount::parse("0.5").unwrap()));
    }

    #[test]
    fn what_has_no_rate_is_counted_beside_the_amount_it_is_in() {
        let unrated = Item { rate: None, amount: Amount::ZERO, ..item(Meter::Output, 70, "1") };
        let cut = slices(&entry(vec![unrated, lump("0.0123")], None), false, None);
        let natures: Vec<Nature> = cut.iter().map(|slice| slice.nature).collect();
        assert_eq!(natures, [Nature::Counted { meter: Meter::Output }, Nature::Lump { listed: true }]);
        assert_eq!((cut[0].quantity, cut[0].listed_by.as_ref()), (70, None), "no card is named that did not price it");
    }

    #[test]
    fn an_entry_without_items_is_one_slice() {
        let refused = slices(&entry(Vec::new(), None), false, None);
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].nature, refused[0].amount), (Nature::Lump { listed: true }, Amount::ZERO));
    }
}
