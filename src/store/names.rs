//! Interned texts, and the combinations of them that make an owner or a product. A number is given once and stands in
//! every entry after that; the text beside it is hashed into its block under a salt, so that it can be erased.

use crate::id::{NameId, Org, OwnerId, ProductId};
use crate::ledger::Chart;
use crate::ledger::seal::{Dimensions, State, name_hash};
use crate::store::packed::{columns_of, many_in};
use crate::store::sql::{Columns, Table, Value, big, bytes, exactly, in_list, int, lists, narrow, on, small, text};
use crate::store::{Doing, Store, StoreError, Write};
use crate::usage::{Owner, Product, Text, reading};
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};

/// What a name is a name of; the same text may be a user and a team. The numbers are sealed into blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum NameKind {
    Source = 1,
    Provider = 2,
    Model = 3,
    ServedBy = 4,
    Variant = 5,
    ServiceTier = 6,
    Region = 7,
    User = 8,
    Team = 9,
    Project = 10,
    Key = 11,
    App = 12,
    Agent = 13,
    Environment = 14,
    Account = 15,
    Card = 16,
    Ceiling = 17,
    Reason = 18,
}

/// The kinds of an owner's dimensions, in their order.
pub const OWNER_KINDS: [NameKind; 7] =
    [NameKind::User, NameKind::Team, NameKind::Project, NameKind::Key, NameKind::App, NameKind::Agent, NameKind::Environment];

/// The kinds of a product's dimensions, in their order; what was asked for is a model too.
pub const PRODUCT_KINDS: [NameKind; 7] = [
    NameKind::Provider,
    NameKind::Model,
    NameKind::Model,
    NameKind::ServedBy,
    NameKind::Variant,
    NameKind::ServiceTier,
    NameKind::Region,
];

/// A name that a commit adds.
pub struct NewName {
    pub name: NameId,
    pub kind: NameKind,
    pub text: String,
    pub salt: [u8; 16],
}

/// A name as a block covers it; the text is gone where it was erased.
pub struct StoredName {
    pub name: NameId,
    pub kind: u8,
    pub text: Option<String>,
    pub salt: [u8; 16],
    pub hash: [u8; 32],
}

impl NameKind {
    /// The kinds under which a person may be named, as they are called at the doors.
    pub const OF_PERSONS: [(&'static str, NameKind); 8] = [
        ("user", NameKind::User),
        ("team", NameKind::Team),
        ("project", NameKind::Project),
        ("key", NameKind::Key),
        ("app", NameKind::App),
        ("agent", NameKind::Agent),
        ("environment", NameKind::Environment),
        ("source", NameKind::Source),
    ];

    /// The kind under which a person may be named.
    pub fn of_person(name: &str) -> Option<NameKind> {
        NameKind::OF_PERSONS.into_iter().find(|(other, _)| *other == name).map(|(_, kind)| kind)
    }
}

pub(super) const NAMES: Table<6> =
    Table { name: "names", columns: [int("org"), big("name"), small("kind"), text("text"), bytes("salt"), bytes("hash")] };

impl NewName {
    pub fn hash(&self) -> [u8; 32] {
        name_hash(&self.salt, self.kind as u8, &self.text)
    }
}

impl Write {
    /// The numbers of those names that exist.
    pub async fn find_names(
        &mut self,
        org: Org,
        kind: NameKind,
        texts: &[String],
    ) -> Result<HashMap<String, NameId>, StoreError> {
        let mut found = HashMap::new();
        for list in lists(texts) {
            let text =
                format!("SELECT text, name FROM names WHERE org = $1 AND kind = $2 AND text IN ({})", in_list(3, list.len()));
            on!(self.db().await?, db => {
                let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(kind as i64);
                let rows = list.iter().fold(query, |query, text| query.bind(text)).fetch_all(&mut *db).await.doing("look for names")?;
                for row in rows {
                    found.insert(row.text(0).doing("look for names")?, NameId(row.int(1).doing("look for names")?));
                }
            });
        }
        Ok(found)
    }

    pub async fn insert_names(&mut self, org: Org, names: &[NewName]) -> Result<(), StoreError> {
        let hashes: Vec<[u8; 32]> = names.iter().map(NewName::hash).collect();
        let rows = names.iter().zip(&hashes).map(|(name, hash)| {
            let (number, kind) = (Value::Int(name.name.0), Value::Int(name.kind as i64));
            [Value::Int(org.0), number, kind, Value::Text(&name.text), Value::Blob(&name.salt), Value::Blob(hash)]
        });
        self.insert(&NAMES, rows, "write names").await
    }

    pub async fn find_owner(&mut self, org: Org, dimensions: &Dimensions) -> Result<Option<OwnerId>, StoreError> {
        let text = "SELECT owner FROM owners
                     WHERE org = $1 AND user_name = $2 AND team = $3 AND project = $4 AND key_name = $5 AND app = $6
                       AND agent = $7 AND environment = $8";
        self.find_dimensions(text, org, dimensions).await.map(|owner| owner.map(OwnerId))
    }

    pub async fn find_product(&mut self, org: Org, dimensions: &Dimensions) -> Result<Option<ProductId>, StoreError> {
        let text = "SELECT product FROM products
                     WHERE org = $1 AND provider = $2 AND model = $3 AND requested_model = $4 AND served_by = $5 AND variant = $6
                       AND service_tier = $7 AND region = $8";
        self.find_dimensions(text, org, dimensions).await.map(|product| product.map(ProductId))
    }

    async fn find_dimensions(
        &mut self,
        text: &'static str,
        org: Org,
        dimensions: &Dimensions,
    ) -> Result<Option<i64>, StoreError> {
        on!(self.db().await?, db => {
            let query = dimensions.iter().fold(sqlx::query(text).bind(org.0), |query, dimension| query.bind(*dimension));
            let row = query.fetch_optional(&mut *db).await.doing("look for dimensions")?;
            row.map(|row| row.int(0)).transpose().doing("look for dimensions")
        })
    }

    pub async fn insert_owners(&mut self, org: Org, owners: &[(OwnerId, Dimensions)]) -> Result<(), StoreError> {
        const OWNERS: Table<9> = Table {
            name: "owners",
            columns: [
                int("org"),
                big("owner"),
                big("user_name"),
                big("team"),
                big("project"),
                big("key_name"),
                big("app"),
                big("agent"),
                big("environment"),
            ],
        };
        self.insert(&OWNERS, owners.iter().map(|(owner, dimensions)| row_of(org, owner.0, dimensions)), "write owners").await
    }

    pub async fn insert_products(&mut self, org: Org, products: &[(ProductId, Dimensions)]) -> Result<(), StoreError> {
        const PRODUCTS: Table<9> = Table {
            name: "products",
            columns: [
                int("org"),
                big("product"),
                big("provider"),
                big("model"),
                big("requested_model"),
                big("served_by"),
                big("variant"),
                big("service_tier"),
                big("region"),
            ],
        };
        let rows = products.iter().map(|(product, dimensions)| row_of(org, product.0, dimensions));
        self.insert(&PRODUCTS, rows, "write products").await
    }
}

/// What stands for a name that was erased, before its number.
const ERASED: &str = "erased #";

fn text_of(row: &impl Columns) -> Result<(i64, Option<String>), sqlx::Error> {
    Ok((row.int(0)?, row.maybe_text(1)?))
}

fn row_of(org: Org, number: i64, dimensions: &Dimensions) -> [Value<'static>; 9] {
    let [a, b, c, d, e, f, g] = dimensions.map(Value::Int);
    [Value::Int(org.0), Value::Int(number), a, b, c, d, e, f, g]
}

const TEXTS: &str = "SELECT name, text FROM names WHERE org = $1 AND name IN (..)";
const OWNERS: &str =
    "SELECT owner, user_name, team, project, key_name, app, agent, environment FROM owners WHERE org = $1 AND owner";
const PRODUCTS: &str = "SELECT product, provider, model, requested_model, served_by, variant, service_tier, region FROM products WHERE org = $1 AND product";
#[cfg(test)]
pub(super) fn looked_up() -> [String; 3] {
    [TEXTS.to_owned(), format!("{OWNERS} IN (..)"), format!("{PRODUCTS} IN (..)")]
}

/// Names, owners and products by number, as far as a reader has asked for them. Numbers never change their meaning, so
/// whatever is in here stays right.
#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: HashMap<i64, String>,
    erased: HashSet<i64>,
    owners: HashMap<i64, Dimensions>,
    products: HashMap<i64, Dimensions>,
}

impl Names {
    /// Reads what is not known yet of these owners, products and names, and the names of the former two.
    pub async fn learn(
        &mut self,
        store: &Store,
        org: Org,
        owners: &[OwnerId],
        products: &[ProductId],
        names: &[NameId],
    ) -> Result<(), StoreError> {
        let unknown =
            |known: &HashMap<i64, Dimensions>, numbers: Vec<i64>| sorted(numbers.into_iter().filter(|n| !known.contains_key(n)));
        let owners = unknown(&self.owners, owners.iter().map(|owner| owner.0).collect());
        self.owners.extend(store.dimensions(OWNERS, org, &owners).await?);
        let products = unknown(&self.products, products.iter().map(|product| product.0).collect());
        self.products.extend(store.dimensions(PRODUCTS, org, &products).await?);

        let of_owners = owners.iter().filter_map(|owner| self.owners.get(owner));
        let of_products = products.iter().filter_map(|product| self.products.get(product));
        let parts = of_owners.chain(of_products).flatten().copied();
        let wanted = parts.chain(names.iter().map(|name| name.0)).filter(|name| *name != 0 && !self.texts.contains_key(name));
        let wanted = sorted(wanted);
        for (name, text) in store.texts(org, &wanted).await? {
            if text.is_none() {
                self.erased.insert(name);
            }
            self.texts.insert(name, text.unwrap_or_else(|| format!("{ERASED}{name}")));
        }
        Ok(())
    }

    /// Starts afresh where more than this many are known, for whoever reads a whole book.
    pub fn forget_beyond(&mut self, most: usize) {
        if self.texts.len() > most {
            *self = Names::default();
        }
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a name is known and its text is gone.
    pub fn is_erased(&self, name: NameId) -> bool {
        self.erased.contains(&name.0)
    }

    /// Whether a text may stand for a name that was erased.
    pub fn stands_for_erased(text: &str) -> bool {
        text.strip_prefix(ERASED).is_some_and(|number| number.parse::<i64>().is_ok())
    }

    /// A name's text; one that was erased shows as such, and as the one it was.
    pub fn text(&self, name: NameId) -> Result<&str, StoreError> {
        match self.texts.get(&name.0) {
            Some(text) => Ok(text),
            None => Err(StoreError::damaged(format!("name {name}"), "it is used and does not exist")),
        }
    }

    /// The names that an owner is made of, in the order of [`OWNER_KINDS`]; 0 where there is none.
    pub fn of_owner(&self, owner: OwnerId) -> Result<&Dimensions, StoreError> {
        self.owners.get(&owner.0).ok_or_else(|| StoreError::damaged(format!("owner {owner}"), "it is used and does not exist"))
    }

    /// The names that a product is made of, in the order of [`PRODUCT_KINDS`]; 0 where there is none.
    pub fn of_product(&self, product: ProductId) -> Result<&Dimensions, StoreError> {
        self.products
            .get(&product.0)
            .ok_or_else(|| StoreError::damaged(format!("product {product}"), "it is used and does not exist"))
    }

    fn part(&self, name: i64) -> Result<Option<Text>, StoreError> {
        if name == 0 {
            return Ok(None);
        }
        let text = self.text(NameId(name))?;
        reading::text("name", text).map(Some).map_err(|e| StoreError::damaged(format!("name {name}"), e))
    }

    pub fn owner(&self, owner: OwnerId) -> Result<Owner, StoreError> {
        let parts = self.of_owner(owner)?;
        let [user, team, project, key, app, agent, environment] = parts.map(|name| self.part(name));
        let (user, team, project, key) = (user?, team?, project?, key?);
        Ok(Owner { user, team, project, key, app: app?, agent: agent?, environment: environment? })
    }

    pub fn product(&self, product: ProductId) -> Result<Product, StoreError> {
        let parts = self.of_product(product)?;
        let [provider, model, requested_model, served_by, variant, service_tier, region] = parts.map(|name| self.part(name));
        Ok(Product {
            // An adjustment may be about neither.
            provider: provider?.unwrap_or_else(|| Text::known("-")),
            model: model?.unwrap_or_else(|| Text::known("-")),
            requested_model: requested_model?,
            served_by: served_by?,
            variant: variant?,
            service_tier: service_tier?,
            region: region?,
        })
    }
}

fn sorted(numbers: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut numbers: Vec<i64> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

impl Store {
    async fn texts(&self, org: Org, names: &[i64]) -> Result<Vec<(i64, Option<String>)>, StoreError> {
        many_in!(self.reader(), columns_of(TEXTS).0, TEXTS, org, names, text_of, "read names").await
    }

    async fn dimensions(&self, select: &str, org: Org, numbers: &[i64]) -> Result<Vec<(i64, Dimensions)>, StoreError> {
        let select = format!("{select} IN (..)");
        many_in!(self.reader(), columns_of(&select).0, &select, org, numbers, dimensions_of, "read dimensions").await
    }

    /// The accounts that are no owner's cost: a few, whatever the number of owners.
    pub async fn chart(&self, org: Org) -> Result<Chart, StoreError> {
        // Neither collations nor letters' cases have a say in this.
        let text = "SELECT name, text FROM names WHERE org = $1 AND kind = $2 AND substr(text, 1, 5) <> 'cost:'";
        let accounts: Vec<(i64, Option<String>)> = on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(NameKind::Account as i64).fetch_all(db).await.doing("list accounts")?;
            rows.iter().map(text_of).collect::<Result<_, sqlx::Error>>().doing("list accounts")?
        });
        let chart = Chart::new(accounts.iter().filter_map(|(name, text)| Some((NameId(*name), text.as_deref()?))));
        let has_adjustments = !self.decisions(org, State::Adjusted, 0, 1).await?.is_empty();
        Ok(if has_adjustments { chart.with_adjustments() } else { chart })
    }

    /// The names with one of these texts, whatever they are names of.
    pub async fn names_called(&self, org: Org, texts: &[String]) -> Result<Vec<NameId>, StoreError> {
        let mut found = Vec::new();
        for list in lists(texts) {
            // The kinds are few, and with them the index is used.
            let kinds = (1..=NameKind::Reason as u8).map(|kind| kind.to_string()).collect::<Vec<_>>().join(", ");
            let text =
                format!("SELECT name FROM names WHERE org = $1 AND kind IN ({kinds}) AND text IN ({})", in_list(2, list.len()));
            on!(self.reader(), db => {
                let query = sqlx::query(AssertSqlSafe(text)).bind(org.0);
                let rows = list.iter().fold(query, |query, text| query.bind(text)).fetch_all(db).await.doing("look for names")?;
                for row in rows {
                    found.push(NameId(row.int(0).doing("look for names")?));
                }
            });
        }
        Ok(found)
    }

    /// Every source that ever sent an event.
    pub async fn sources(&self, org: Org) -> Result<Vec<String>, StoreError> {
        self.texts_of(org, NameKind::Source, i64::MAX).await
    }

    /// Every key that an event was sent with, as far as its name is before this one.
    pub async fn keys_before(&self, org: Org, until: i64) -> Result<Vec<String>, StoreError> {
        self.texts_of(org, NameKind::Key, until).await
    }

    async fn texts_of(&self, org: Org, kind: NameKind, until: i64) -> Result<Vec<String>, StoreError> {
        let text = "SELECT text FROM names WHERE org = $1 AND kind = $2 AND name < $3 AND text IS NOT NULL ORDER BY text";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(kind as i64).bind(until).fetch_all(db).await.doing("list names")?;
            rows.iter().map(|row| row.text(0)).collect::<Result<_, sqlx::Error>>().doing("list names")
        })
    }

    /// The names that were added from one number up to another, in order: what a block covers.
    pub async fn names_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<StoredName>, StoreError> {
        let text = "SELECT name, kind, text, salt, hash FROM names WHERE org = $1 AND name >= $2 AND name < $3 ORDER BY name";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(from).bind(until).fetch_all(db).await.doing("read names")?;
            let read = |row| stored_name(row);
            rows.iter().map(read).collect::<Result<_, sqlx::Error>>().doing("read names")
        })
    }

    pub async fn owners_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<(i64, Dimensions)>, StoreError> {
        self.dimensions_between(format!("{OWNERS} >= $2 AND owner < $3 ORDER BY owner"), org, from, until).await
    }

    pub async fn products_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<(i64, Dimensions)>, StoreError> {
        self.dimensions_between(format!("{PRODUCTS} >= $2 AND product < $3 ORDER BY product"), org, from, until).await
    }

    async fn dimensions_between(
        &self,
        text: String,
        org: Org,
        from: i64,
        until: i64,
    ) -> Result<Vec<(i64, Dimensions)>, StoreError> {
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(from).bind(until);
            let rows = query.fetch_all(db).await.doing("read dimensions")?;
            rows.iter().map(dimensions_of).collect::<Result<_, sqlx::Error>>().doing("read dimensions")
        })
    }
}

fn stored_name(row: &impl Columns) -> Result<StoredName, sqlx::Error> {
    Ok(StoredName {
        name: NameId(row.int(0)?),
        kind: narrow(row.int(1)?)?,
        text: row.maybe_text(2)?,
        salt: exactly(row.blob(3)?)?,
        hash: exactly(row.blob(4)?)?,
    })
}

fn dimensions_of(row: &impl Columns) -> Result<(i64, Dimensions), sqlx::Error> {
    let mut dimensions = [0; 7];
    for (place, dimension) in dimensions.iter_mut().enumerate() {
        *dimension = row.int(place + 1)?;
    }
    Ok((row.int(0)?, dimensions))
}
