//! Rows as CSV (RFC 4180) and as NDJSON. Names are escaped once, however many rows they are in: an owner is seven names that
//! are always together, so its cells are kept as one piece of text, and so are a product's. CSV leaves a cell empty where
//! there is nothing, NDJSON leaves the field out; money is a decimal text in both.

use crate::export::{Cells, Notation, OWNER, PRODUCT, Row, Texts, columns, digits};
use crate::id::{EventNumber, NameId, OwnerId, ProductId};
use crate::ledger::seal::Dimensions;
use crate::money::Amount;
use crate::report::table::csv_text;
use crate::time::Instant;

/// A piece of text for each number that was met.
#[derive(Default)]
struct Pieces(Vec<Option<Box<[u8]>>>);

impl Pieces {
    fn get(&mut self, number: i64, make: impl FnOnce() -> Vec<u8>) -> &[u8] {
        let place = number as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place].get_or_insert_with(|| make().into_boxed_slice())
    }
}

#[derive(Default)]
pub struct Csv {
    names: Pieces,
    owners: Pieces,
    products: Pieces,
}

impl Notation for Csv {
    fn begin(&mut self, to: &mut Vec<u8>) -> Result<(), String> {
        let names: Vec<&str> = columns().into_iter().map(|(name, _)| name).collect();
        to.extend_from_slice(names.join(",").as_bytes());
        to.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        for row in rows {
            row.tell(&mut CsvRow { known: self, texts, to });
            // The last cell has no comma after it.
            to.pop();
            to.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn end(&mut self, _: &Texts, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

struct CsvRow<'a> {
    known: &'a mut Csv,
    texts: &'a Texts,
    to: &'a mut Vec<u8>,
}

fn csv_cells(parts: Option<&Dimensions>, texts: &Texts) -> Vec<u8> {
    let text = |name: &i64| texts.name(NameId(*name)).map_or_else(|| ",".to_owned(), |text| csv_text(text).into_owned() + ",");
    parts.unwrap_or(&[0; 7]).iter().map(text).collect::<String>().into_bytes()
}

impl Cells for CsvRow<'_> {
    fn integer(&mut self, _: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            digits::integer(value, self.to);
        }
        self.to.push(b',');
    }

    fn money(&mut self, _: &'static str, value: Option<Amount>) {
        if let Some(value) = value {
            digits::money(value, self.to);
        }
        self.to.push(b',');
    }

    fn instant(&mut self, _: &'static str, at: Instant) {
        self.to.extend_from_slice(digits::instant(at).as_bytes());
        self.to.push(b',');
    }

    fn word(&mut self, _: &'static str, word: &str) {
        self.to.extend_from_slice(word.as_bytes());
        self.to.push(b',');
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.word(name, if value { "true" } else { "false" });
    }

    fn event_id(&mut self, _: &'static str, event: Option<EventNumber>) {
        let id = event.and_then(|event| self.texts.event_id(event));
        self.to.extend_from_slice(csv_text(id.unwrap_or_default()).as_bytes());
        self.to.push(b',');
    }

    fn name(&mut self, _: &'static str, text: Option<NameId>) {
        if let Some(name) = text {
            let make = || self.texts.name(name).map(|text| csv_text(text).into_owned().into_bytes()).unwrap_or_default();
            self.to.extend_from_slice(self.known.names.get(name.0, make));
        }
        self.to.push(b',');
    }

    fn owner(&mut self, owner: OwnerId) {
        let make = || csv_cells(self.texts.owner(owner), self.texts);
        self.to.extend_from_slice(self.known.owners.get(owner.0, make));
    }

    fn product(&mut self, product: ProductId) {
        let make = || csv_cells(self.texts.product(product), self.texts);
        self.to.extend_from_slice(self.known.products.get(product.0, make));
    }
}

/// One JSON object a line; money is a string, numbers are numbers.
#[derive(Default)]
pub struct Ndjson {
    names: Pieces,
    owners: Pieces,
    products: Pieces,
}

impl Notation for Ndjson {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        for row in rows {
            let start = to.len();
            row.tell(&mut NdjsonRow { known: self, texts, to });
            // Each field brings a comma before it.
            to[start] = b'{';
            to.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn end(&mut self, _: &Texts, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

struct NdjsonRow<'a> {
    known: &'a mut Ndjson,
    texts: &'a Texts,
    to: &'a mut Vec<u8>,
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

fn json_fields(names: &[&str; 7], parts: Option<&Dimensions>, texts: &Texts) -> Vec<u8> {
    let field = |(field, name): (&&str, &i64)| Some(format!(",\"{field}\":{}", json_text(texts.name(NameId(*name))?)));
    names.iter().zip(parts.unwrap_or(&[0; 7])).filter_map(field).collect::<String>().into_bytes()
}

impl NdjsonRow<'_> {
    fn key(&mut self, name: &str) {
        self.to.extend_from_slice(b",\"");
        self.to.extend_from_slice(name.as_bytes());
        self.to.extend_from_slice(b"\":");
    }

    /// What needs no escaping, in quotes.
    fn quoted(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        self.to.push(b'"');
        write(self.to);
        self.to.push(b'"');
    }
}

impl Cells for NdjsonRow<'_> {
    fn integer(&mut self, name: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.key(name);
            digits::integer(value, self.to);
        }
    }

    fn money(&mut self, name: &'static str, value: Option<Amount>) {
        if let Some(value) = value {
            self.quoted(name, |to| digits::money(value, to));
        }
    }

    fn instant(&mut self, name: &'static str, at: Instant) {
        self.word(name, digits::instant(at).as_str());
    }

    fn word(&mut self, name: &'static str, word: &str) {
        self.quoted(name, |to| to.extend_from_slice(word.as_bytes()));
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.key(name);
        self.to.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn event_id(&mut self, name: &'static str, event: Option<EventNumber>) {
        if let Some(id) = event.and_then(|event| self.texts.event_id(event)) {
            self.key(name);
            self.to.extend_from_slice(json_text(id).as_bytes());
        }
    }

    fn name(&mut self, name: &'static str, text: Option<NameId>) {
        if let Some(number) = text {
            self.key(name);
            let make = || self.texts.name(number).map(|text| json_text(text).into_bytes()).unwrap_or_else(|| b"null".to_vec());
            self.to.extend_from_slice(self.known.names.get(number.0, make));
        }
    }

    fn owner(&mut self, owner: OwnerId) {
        let make = || json_fields(&OWNER, self.texts.owner(owner), self.texts);
        self.to.extend_from_slice(self.known.owners.get(owner.0, make));
    }

    fn product(&mut self, product: ProductId) {
        let make = || json_fields(&PRODUCT, self.texts.product(product), self.texts);
        self.to.extend_from_slice(self.known.products.get(product.0, make));
    }
}
