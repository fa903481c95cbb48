//! Rows that SQLite hands over by the hundreds, packed into JSON: handing one row from its thread to ours costs more than reading
//! it. They are looked up by ranges of numbers, and read out of the text without a copy of their cells.

use crate::id::Org;
use crate::store::sql::Columns;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Unexpected, Visitor};
use sqlx::{AssertSqlSafe, SqlitePool};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Rows of an org's table from one number up to another, five hundred of them in a row of JSON. Each row is a range of its own,
/// because grouping by a number that no index knows would sort them first; the order of the rows in a range is nowhere promised.
pub(crate) fn packed(columns: &str, table: &str, number: &str) -> String {
    format!(
        "WITH RECURSIVE ranges(first) AS (SELECT $2 UNION ALL SELECT first + 500 FROM ranges WHERE first + 500 < $3)
         SELECT (SELECT json_group_array(json_array({columns})) FROM {table} e
                  WHERE e.org = $1 AND e.{number} >= first AND e.{number} < MIN(first + 500, $3)) FROM ranges"
    )
}

/// A row that SQLite has packed into JSON; bytes are in hexadecimal digits.
pub(crate) struct JsonRow<'j>(Vec<Cell<'j>>);

enum Cell<'j> {
    Null,
    Int(i64),
    Text(Cow<'j, str>),
}

impl JsonRow<'_> {
    /// Reads the rows of a `json_group_array` of `json_array`s one after the other, each in the room of the one before.
    pub fn unpack<T>(json: &str, read: impl Fn(&JsonRow) -> Result<T, sqlx::Error>) -> Result<Vec<T>, sqlx::Error> {
        let mut json = serde_json::Deserializer::from_str(json);
        let rows = json.deserialize_seq(Rows(read)).and_then(|rows| json.end().map(|()| rows));
        rows.map_err(|e| sqlx::Error::Decode(e.into()))?
    }

    fn maybe_str(&self, place: usize) -> Result<Option<&str>, sqlx::Error> {
        match self.0.get(place) {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.other(place)),
        }
    }

    fn required<T>(&self, place: usize, value: Option<T>) -> Result<T, sqlx::Error> {
        value.ok_or_else(|| self.other(place))
    }

    fn other(&self, place: usize) -> sqlx::Error {
        sqlx::Error::Decode(format!("column {place} is missing or of another kind").into())
    }
}

/// What reads each of some packed rows.
struct Rows<R>(R);

impl<'j, T, R: Fn(&JsonRow) -> Result<T, sqlx::Error>> Visitor<'j> for Rows<R> {
    type Value = Result<Vec<T>, sqlx::Error>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("packed rows")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let (mut row, mut found) = (JsonRow(Vec::new()), Vec::new());
        let mut failed = None;
        while rows.next_element_seed(&mut row)?.is_some() {
            match self.0(&row) {
                Ok(read) => found.push(read),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Ok(failed.map_or(Ok(found), Err))
    }
}

impl<'j> DeserializeSeed<'j> for &mut JsonRow<'j> {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'j> Visitor<'j> for &mut JsonRow<'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a packed row")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut cells: A) -> Result<(), A::Error> {
        self.0.clear();
        while let Some(cell) = cells.next_element()? {
            self.0.push(cell);
        }
        Ok(())
    }
}

impl<'j> Deserialize<'j> for Cell<'j> {
    fn deserialize<D: Deserializer<'j>>(json: D) -> Result<Cell<'j>, D::Error> {
        struct One;

        impl<'j> Visitor<'j> for One {
            type Value = Cell<'j>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a whole number, a text or nothing")
            }

            fn visit_unit<E>(self) -> Result<Cell<'j>, E> {
                Ok(Cell::Null)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Cell<'j>, E> {
                Ok(Cell::Int(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Cell<'j>, E> {
                number.try_into().map(Cell::Int).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_borrowed_str<E>(self, text: &'j str) -> Result<Cell<'j>, E> {
                Ok(Cell::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Cell<'j>, E> {
                Ok(Cell::Text(Cow::Owned(text.to_owned())))
            }
        }

        json.deserialize_any(One)
    }
}

impl Columns for JsonRow<'_> {
    fn int(&self, place: usize) -> Result<i64, sqlx::Error> {
        self.required(place, self.maybe_int(place)?)
    }

    fn maybe_int(&self, place: usize) -> Result<Option<i64>, sqlx::Error> {
        match self.0.get(place) {
            Some(Cell::Int(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.other(place)),
        }
    }

    fn text(&self, place: usize) -> Result<String, sqlx::Error> {
        self.required(place, self.maybe_text(place)?)
    }

    fn maybe_text(&self, place: usize) -> Result<Option<String>, sqlx::Error> {
        Ok(self.maybe_str(place)?.map(str::to_owned))
    }

    fn blob(&self, place: usize) -> Result<Vec<u8>, sqlx::Error> {
        self.required(place, self.maybe_blob(place)?)
    }

    fn maybe_blob(&self, place: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let Some(digits) = self.maybe_str(place)? else { return Ok(None) };
        let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
        let mut seen = 0;
        let byte = |[high, low]: &[u8; 2]| {
            let (high, low) = (NIBBLES[usize::from(*high)], NIBBLES[usize::from(*low)]);
            seen |= high | low;
            high << 4 | low
        };
        let bytes: Vec<u8> = pairs.iter().map(byte).collect();
        if seen > 0xF || !odd.is_empty() {
            return Err(sqlx::Error::Decode(format!("column {place} is not hexadecimal").into()));
        }
        Ok(Some(bytes))
    }
}

/// The values of hexadecimal digits, by their characters; of any other one it is more than a digit can have.
const NIBBLES: [u8; 256] = {
    let mut values = [0xFF; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// The rows of an org that have one of these numbers, for whoever reads thousands: packed on SQLite, by the columns named first.
macro_rules! many_in {
    ($reader:expr, $columns:expr, $text:expr, $org:expr, $numbers:expr, $read:expr, $doing:literal) => {
        async {
            match $reader {
                $crate::store::sql::Either::Sqlite(db) => {
                    let which = $crate::store::packed::columns_of($text).1;
                    $crate::store::packed::packed_in(db, ($columns, which), $org, $numbers, |row| $read(row)).await.doing($doing)
                }
                reader => $crate::store::sql::rows_in!(reader, db => db, $text, $org, $numbers, $read, $doing).await,
            }
        }
    };
}
pub(crate) use many_in;

/// Numbers of which the rows are read at once, where they come packed. An event may have some ten thousand bytes.
const PACKED_AT_ONCE: usize = 250;

/// Rows of SQLite that have one of these numbers, packed into JSON: a statement for hundreds of them. What is one after the
/// other is read as a range, so that a row is found by the one before it.
pub(crate) async fn packed_in<T>(
    db: &SqlitePool,
    (columns, which): (&str, &str),
    org: Org,
    numbers: &[i64],
    read: impl Fn(&JsonRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, sqlx::Error> {
    let text: Arc<str> = in_ranges(&format!("SELECT json_group_array(json_array({columns})) FROM {which}")).into();
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut found = Vec::with_capacity(numbers.len());
    for some in numbers.chunks(PACKED_AT_ONCE) {
        let ranges: Vec<[i64; 2]> = some.chunk_by(|one, next| one + 1 == *next).map(|run| [run[0], run[run.len() - 1]]).collect();
        let ranges = serde_json::to_string(&ranges).expect("numbers are always JSON");
        let row = sqlx::query(AssertSqlSafe(text.clone())).bind(org.0).bind(ranges).fetch_one(db).await?;
        found.append(&mut JsonRow::unpack(&row.text(0)?, &read)?);
    }
    Ok(found)
}

/// The columns of a statement, and what is behind its FROM.
pub(crate) fn columns_of(text: &str) -> (&str, &str) {
    text.trim_start_matches("SELECT ").split_once(" FROM ").expect("a statement reads columns from a table")
}

/// A statement with a list of parameters, made to take ranges of them from one parameter of JSON.
pub(crate) fn in_ranges(text: &str) -> String {
    const RANGES: &str = "(SELECT value ->> 0 AS range_first, value ->> 1 AS range_last FROM json_each($2))";
    text.replacen(" FROM ", &format!(" FROM {RANGES} CROSS JOIN "), 1).replace("IN (..)", "BETWEEN range_first AND range_last")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sqlx::sqlite::SqlitePoolOptions;
    use std::collections::{BTreeMap, BTreeSet};

    type Row = (i64, Option<i64>, String, Vec<u8>);

    fn rows() -> impl Strategy<Value = BTreeMap<i64, (Option<i64>, String, Vec<u8>)>> {
        let row = (any::<Option<i64>>(), any::<String>(), prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::btree_map(-60_i64..900, row, 0..400)
    }

    fn read(row: &JsonRow) -> Result<Row, sqlx::Error> {
        Ok((row.int(0)?, row.maybe_int(1)?, row.text(2)?, row.blob(3)?))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Scattered, repeated, unsorted and missing numbers find each row once, as it was written.
        #[test]
        fn rows_in_ranges_are_the_rows_with_those_numbers(rows in rows(), numbers in prop::collection::vec(-80_i64..950, 0..900)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut found = runtime.block_on(async {
                let db = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
                sqlx::raw_sql("CREATE TABLE things (org INTEGER, id INTEGER, value INTEGER, text TEXT, bytes BLOB)").execute(&db).await.unwrap();
                for (org, (id, (value, text, bytes))) in [1, 2].into_iter().flat_map(|org| rows.iter().map(move |row| (org, row))) {
                    // SQLite's texts end at a zero byte where they are made JSON.
                    let text = text.replace('\0', "");
                    let insert = sqlx::query("INSERT INTO things VALUES ($1, $2, $3, $4, $5)").bind(org).bind(id).bind(value);
                    insert.bind(text).bind(bytes).execute(&db).await.unwrap();
                }
                let which = "things WHERE org = $1 AND id IN (..)";
                packed_in(&db, ("id, value, text, hex(bytes)", which), Org(2), &numbers, read).await.unwrap()
            });
            let wanted: BTreeSet<i64> = numbers.into_iter().collect();
            let expected: Vec<Row> = rows
                .into_iter()
                .filter(|(id, _)| wanted.contains(id))
                .map(|(id, (value, text, bytes))| (id, value, text.replace('\0', ""), bytes))
                .collect();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_cell_of_another_kind_is_no_cell() {
        for (json, said) in [
            (r#"[["1",null,"a",""]]"#, "column 0"),
            (r#"[[null,null,"a",""]]"#, "column 0"),
            (r#"[[1,null,2,""]]"#, "column 2"),
            (r#"[[1,null,"a"]]"#, "column 3"),
            (r#"[[1,null,"a","0"]]"#, "not hexadecimal"),
            (r#"[[1,null,"a","0g"]]"#, "not hexadecimal"),
            (r#"[[1.5,null,"a",""]]"#, "a whole number"),
            (r#"[[18446744073709551615,null,"a",""]]"#, "a whole number"),
            (r#"[[1,null,"a",""]] x"#, "trailing"),
        ] {
            let error = JsonRow::unpack(json, read).unwrap_err().to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
