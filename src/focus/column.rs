//! The columns of each version, with where their values come from. Those of the specification stand first, by name, and ours
//! after them with the prefix that it keeps for others' columns. A column that we have nothing to say in is there all the
//! same and is null in every row: readers and validators ask for it.

use crate::focus::Version::{self, V1_2, V1_3, V1_4};
use crate::focus::row::{Cell, Row};
use crate::time::Instant;

pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    since: Version,
    until: Version,
    pub of: fn(&Row) -> Cell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Json,
    Decimal,
    Time,
}

/// The columns of a version, in their order.
pub fn of(version: Version) -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(move |column| column.since <= version && version <= column.until)
}

const fn text(name: &'static str, of: fn(&Row) -> Cell) -> Column {
    Column { name, kind: Kind::Text, since: V1_2, until: V1_4, of }
}

const fn json(name: &'static str, of: fn(&Row) -> Cell) -> Column {
    Column { kind: Kind::Json, ..text(name, of) }
}

const fn decimal(name: &'static str, of: fn(&Row) -> Cell) -> Column {
    Column { kind: Kind::Decimal, ..text(name, of) }
}

const fn time(name: &'static str, of: fn(&Row) -> Cell) -> Column {
    Column { kind: Kind::Time, ..text(name, of) }
}

impl Column {
    const fn since(self, since: Version) -> Column {
        Column { since, ..self }
    }

    const fn until(self, until: Version) -> Column {
        Column { until, ..self }
    }
}

fn null(_: &Row) -> Cell {
    Cell::None
}

fn at(instant: Instant) -> Cell {
    Cell::Time(instant)
}

fn currency(row: &Row) -> Cell {
    Cell::text(row.what.currency.as_str())
}

fn billed(row: &Row) -> Cell {
    Cell::money(row.sums.billed)
}

fn org(row: &Row) -> Cell {
    Cell::text(&*row.org)
}

fn team(row: &Row) -> Cell {
    Cell::maybe(row.owner.team.as_ref())
}

fn provider(row: &Row) -> Cell {
    Cell::text(&*row.product.provider)
}

fn region(row: &Row) -> Cell {
    Cell::maybe(row.product.region.as_ref())
}

fn kind_of_team(row: &Row) -> Cell {
    row.owner.team.as_ref().map_or(Cell::None, |_| Cell::text("Team"))
}

const COLUMNS: [Column; 87] = [
    json("AllocatedMethodDetails", null).since(V1_3),
    text("AllocatedMethodId", null).since(V1_3),
    text("AllocatedResourceId", null).since(V1_3),
    text("AllocatedResourceName", null).since(V1_3),
    json("AllocatedTags", null).since(V1_3),
    text("AvailabilityZone", null),
    decimal("BilledCost", billed),
    text("BillingAccountId", org),
    text("BillingAccountName", org),
    text("BillingAccountType", |_| Cell::text("Organization")),
    text("BillingCurrency", currency),
    time("BillingPeriodEnd", |row| at(row.billing_period().until)),
    time("BillingPeriodStart", |row| at(row.billing_period().from)),
    text("CapacityReservationId", null),
    text("CapacityReservationStatus", null),
    text("ChargeCategory", Row::category),
    text("ChargeClass", Row::class),
    text("ChargeDescription", Row::description),
    text("ChargeFrequency", Row::frequency),
    time("ChargePeriodEnd", |row| at(row.charge_period().until)),
    time("ChargePeriodStart", |row| at(row.charge_period().from)),
    text("CommitmentDiscountCategory", null),
    text("CommitmentDiscountId", null),
    text("CommitmentDiscountName", null),
    decimal("CommitmentDiscountQuantity", null),
    text("CommitmentDiscountStatus", null),
    text("CommitmentDiscountType", null),
    text("CommitmentDiscountUnit", null),
    json("CommitmentProgramEligibilityDetails", null).since(V1_4),
    decimal("ConsumedQuantity", Row::consumed_quantity),
    text("ConsumedUnit", Row::consumed_unit),
    json("ContractApplied", null).since(V1_3),
    decimal("ContractedCost", |row| Cell::money(row.sums.contracted)),
    decimal("ContractedUnitPrice", Row::contracted_price),
    decimal("EffectiveCost", billed),
    text("HostProviderName", Row::host).since(V1_3),
    text("InvoiceDetailId", null).since(V1_4),
    text("InvoiceId", null),
    text("InvoiceIssuerName", Row::seller),
    decimal("ListCost", |row| Cell::money(row.sums.listed)),
    decimal("ListUnitPrice", Row::list_price),
    text("PricingCategory", Row::pricing_category),
    text("PricingCurrency", currency),
    decimal("PricingCurrencyContractedUnitPrice", Row::contracted_price),
    decimal("PricingCurrencyEffectiveCost", billed),
    decimal("PricingCurrencyListUnitPrice", Row::list_price),
    decimal("PricingQuantity", Row::pricing_quantity),
    text("PricingUnit", Row::pricing_unit),
    text("ProviderName", Row::seller).until(V1_3),
    text("PublisherName", Row::host).until(V1_3),
    text("RegionId", region),
    text("RegionName", region),
    text("ResourceId", null),
    text("ResourceName", null),
    text("ResourceType", null),
    text("ServiceCategory", |_| Cell::text("AI and Machine Learning")),
    text("ServiceName", provider),
    text("ServiceProviderName", Row::seller).since(V1_3),
    text("ServiceSubcategory", |_| Cell::text("Generative AI")),
    text("SkuId", Row::sku),
    text("SkuMeter", Row::sku_meter),
    json("SkuPriceDetails", Row::sku_details),
    text("SkuPriceId", Row::sku_price),
    text("SubAccountId", team),
    text("SubAccountName", team),
    text("SubAccountType", kind_of_team),
    json("Tags", Row::tags),
    text("x_Agent", |row| Cell::maybe(row.owner.agent.as_ref())),
    text("x_App", |row| Cell::maybe(row.owner.app.as_ref())),
    decimal("x_Calls", |row| Cell::Decimal { units: i128::from(row.sums.calls), places: 0 }),
    text("x_Card", |row| row.card.as_ref().map_or(Cell::None, |card| Cell::text(&**card))),
    text("x_EntryKind", |row| Cell::text(row.what.kind.name())),
    text("x_Environment", |row| Cell::maybe(row.owner.environment.as_ref())),
    text("x_Estimated", |row| Cell::text(row.what.estimated.to_string())),
    text("x_Key", |row| Cell::maybe(row.owner.key.as_ref())),
    text("x_Layer", |row| Cell::text(row.what.layer.name())),
    text("x_Meter", |row| row.meter().map_or(Cell::None, |meter| Cell::text(meter.name()))),
    text("x_Model", |row| Cell::text(&*row.product.model)),
    text("x_Nature", |row| Cell::text(row.what.nature.name())),
    text("x_Payee", |row| Cell::text(&*row.payee)),
    text("x_Project", |row| Cell::maybe(row.owner.project.as_ref())),
    text("x_RequestedModel", |row| Cell::maybe(row.product.requested_model.as_ref())),
    text("x_ServedBy", |row| Cell::maybe(row.product.served_by.as_ref())),
    text("x_ServiceTier", |row| Cell::maybe(row.product.service_tier.as_ref())),
    text("x_Team", team),
    text("x_User", |row| Cell::maybe(row.owner.user.as_ref())),
    text("x_Variant", |row| Cell::maybe(row.product.variant.as_ref())),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: Version) -> Vec<&'static str> {
        of(version).map(|column| column.name).collect()
    }

    #[test]
    fn each_version_has_as_many_columns_as_its_specification() {
        let own = |version| names(version).into_iter().filter(|name| !name.starts_with("x_")).count();
        assert_eq!([V1_2, V1_3, V1_4].map(own), [57, 65, 65]);
    }

    #[test]
    fn columns_are_in_order_and_ours_come_last() {
        for version in [V1_2, V1_3, V1_4] {
            let names = names(version);
            assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
        }
    }

    #[test]
    fn what_a_version_took_out_is_out() {
        assert!(names(V1_3).contains(&"ProviderName") && !names(V1_4).contains(&"ProviderName"));
        assert!(!names(V1_2).contains(&"ServiceProviderName") && names(V1_3).contains(&"ServiceProviderName"));
    }
}
