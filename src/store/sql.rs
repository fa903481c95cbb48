//! What both databases share: one way to read a column, one way to insert many rows, one way to say which connection a
//! statement runs on. Statements are written once with `$1` parameters; only this file knows that two drivers run them.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Column as _, Database, Row, TypeInfo, ValueRef};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// Runs the same expression on whichever database this is; inside, `$db` is its executor.
macro_rules! on {
    ($which:expr, $db:ident => $run:expr) => {
        match $which {
            $crate::store::sql::Either::Sqlite($db) => $run,
            $crate::store::sql::Either::Postgres($db) => $run,
        }
    };
}
pub(crate) use on;

/// All rows of an org for which one of some numbers stands in the list, which the statement leaves open as `IN (..)`.
macro_rules! rows_in {
    ($which:expr, $db:ident => $executor:expr, $text:expr, $org:expr, $numbers:expr, $read:expr, $doing:literal) => {
        async {
            let numbers: &[i64] = $numbers;
            let mut found = Vec::with_capacity(numbers.len());
            match $which {
                $crate::store::sql::Either::Sqlite($db) => {
                    for list in $crate::store::sql::lists(numbers) {
                        let text = $text.replace("(..)", &format!("({})", $crate::store::sql::in_list(2, list.len())));
                        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind($org.0);
                        let query = list.iter().fold(query, |query, number| query.bind(*number));
                        for row in query.fetch_all($executor).await.doing($doing)? {
                            found.push($read(&row).doing($doing)?);
                        }
                    }
                }
                $crate::store::sql::Either::Postgres(_) if numbers.is_empty() => {}
                $crate::store::sql::Either::Postgres($db) => {
                    let query = sqlx::query(sqlx::AssertSqlSafe($crate::store::sql::one_by_one(&$text)));
                    for row in query.bind($org.0).bind(numbers).fetch_all($executor).await.doing($doing)? {
                        found.push($read(&row).doing($doing)?);
                    }
                }
            }
            Ok::<_, $crate::store::StoreError>(found)
        }
    };
}
pub(crate) use rows_in;

/// The same on PostgreSQL as a look-up for each of the list, which leaves the planner no choice. Given the whole list it may look
/// at all rows of an org and compare each with it, and on a table that was small when it planned it does, however large that grows.
pub(crate) fn one_by_one(text: &str) -> String {
    let each = text.replace("IN (..)", "= list.wanted");
    format!("SELECT found.* FROM (SELECT DISTINCT unnest($2)) AS list(wanted) CROSS JOIN LATERAL ({each} OFFSET 0) AS found")
}

/// One of the two databases: a pool to read from, or a connection inside a transaction.
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Columns by position, whatever width of integer the database keeps them in.
pub(crate) trait Columns {
    fn int(&self, place: usize) -> Result<i64, sqlx::Error>;
    fn maybe_int(&self, place: usize) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, place: usize) -> Result<String, sqlx::Error>;
    fn maybe_text(&self, place: usize) -> Result<Option<String>, sqlx::Error>;
    fn blob(&self, place: usize) -> Result<Vec<u8>, sqlx::Error>;
    fn maybe_blob(&self, place: usize) -> Result<Option<Vec<u8>>, sqlx::Error>;
}

/// Bytes of a known length.
pub(crate) fn exactly<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], sqlx::Error> {
    <[u8; N]>::try_from(bytes).map_err(|bytes| sqlx::Error::Decode(format!("expected {N} bytes, found {}", bytes.len()).into()))
}

/// A number in the width that the program keeps it in. One that does not fit was never written by it; cut off it would look
/// as if nothing had happened to it.
pub(crate) fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, sqlx::Error> {
    T::try_from(number).map_err(|_| sqlx::Error::Decode(format!("{number} is out of its range").into()))
}

/// A number that stands for something, or none; what counts from one is never zero.
pub(crate) fn reference<T>(number: Option<i64>, of: impl Fn(i64) -> T) -> Result<Option<T>, sqlx::Error> {
    match number {
        Some(0) => Err(sqlx::Error::Decode("0 stands for nothing and is there".into())),
        number => Ok(number.map(of)),
    }
}

/// Either both of a pair or none of them.
pub(crate) fn both<T>(one: Option<T>, other: Option<T>) -> Result<Option<(T, T)>, sqlx::Error> {
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        _ => Err(sqlx::Error::Decode("only one half of a range is there".into())),
    }
}

macro_rules! plain_columns {
    () => {
        fn text(&self, place: usize) -> Result<String, sqlx::Error> {
            self.try_get(place)
        }

        fn maybe_text(&self, place: usize) -> Result<Option<String>, sqlx::Error> {
            self.try_get(place)
        }

        fn blob(&self, place: usize) -> Result<Vec<u8>, sqlx::Error> {
            self.try_get(place)
        }

        fn maybe_blob(&self, place: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
            self.try_get(place)
        }
    };
}

impl Columns for SqliteRow {
    fn int(&self, place: usize) -> Result<i64, sqlx::Error> {
        self.try_get(place)
    }

    fn maybe_int(&self, place: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(place)
    }

    plain_columns!();
}

impl Columns for PgRow {
    fn int(&self, place: usize) -> Result<i64, sqlx::Error> {
        match self.column(place).type_info().name() {
            "INT2" => self.try_get::<i16, _>(place).map(i64::from),
            "INT4" => self.try_get::<i32, _>(place).map(i64::from),
            _ => self.try_get(place),
        }
    }

    fn maybe_int(&self, place: usize) -> Result<Option<i64>, sqlx::Error> {
        if self.try_get_raw(place)?.is_null() { Ok(None) } else { self.int(place).map(Some) }
    }

    plain_columns!();
}

/// A value to insert; the kind is known even where there is none.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A table that rows are inserted into, with its columns in the order of the values.
pub(crate) struct Table<const N: usize> {
    pub name: &'static str,
    pub columns: [Column; N],
}

impl<const N: usize> Table<N> {
    /// The same table with one more column at the end.
    pub const fn and<const M: usize>(&self, column: Column) -> Table<M> {
        assert!(M == N + 1, "one column more");
        let mut columns = [column; M];
        let mut place = 0;
        while place < N {
            columns[place] = self.columns[place];
            place += 1;
        }
        Table { name: self.name, columns }
    }
}

/// A column, and how wide PostgreSQL keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    width: Width,
}

#[derive(Clone, Copy, PartialEq)]
enum Width {
    Small,
    Int,
    Big,
    /// Text and bytes go over the wire as they are.
    Text,
    Bytes,
}

pub(crate) const fn small(name: &'static str) -> Column {
    Column { name, width: Width::Small }
}

pub(crate) const fn int(name: &'static str) -> Column {
    Column { name, width: Width::Int }
}

pub(crate) const fn big(name: &'static str) -> Column {
    Column { name, width: Width::Big }
}

pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, width: Width::Text }
}

pub(crate) const fn bytes(name: &'static str) -> Column {
    Column { name, width: Width::Bytes }
}

/// What a transaction will write when it next goes to its database: statements with `?` where their parameters go, and the
/// values of all of them.
pub(crate) struct Gathered<D: Gathers> {
    statements: Vec<Arc<str>>,
    arguments: D::Arguments,
    rows: usize,
}

/// The differences between the two drivers where rows go in.
pub(crate) trait Gathers: Database {
    /// A statement that inserts rows, of which there are not more than [`MOST_ROWS`].
    fn insert<const N: usize>(table: &Table<N>, rows: &[[Value<'_>; N]], arguments: &mut Self::Arguments) -> Arc<str>;
    fn bind(value: Value<'_>, arguments: &mut Self::Arguments);
    /// All statements in one.
    fn whole(statements: &[Arc<str>]) -> String;
}

/// Rows of one statement.
pub(crate) const MOST_ROWS: usize = 64;

impl<D: Gathers> Default for Gathered<D> {
    fn default() -> Gathered<D> {
        Gathered { statements: Vec::new(), arguments: D::Arguments::default(), rows: 0 }
    }
}

impl<D: Gathers> Gathered<D> {
    /// Takes rows; the first value of each is there.
    pub fn insert<'v, const N: usize>(&mut self, table: &Table<N>, mut rows: impl ExactSizeIterator<Item = [Value<'v>; N]>) {
        while rows.len() > 0 {
            let rows: Vec<[Value<'v>; N]> = rows.by_ref().take(MOST_ROWS).collect();
            self.statements.push(D::insert(table, &rows, &mut self.arguments));
            self.rows += rows.len();
        }
    }

    /// Takes a statement whose parameters are the values in their order.
    pub fn run(&mut self, text: &str, values: &[Value<'_>]) {
        values.iter().for_each(|value| D::bind(*value, &mut self.arguments));
        self.statements.push(text.into());
    }

    pub fn has(&self, text: &str) -> bool {
        self.statements.iter().any(|statement| **statement == *text)
    }

    /// How many rows wait.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// It is time to write it, so that memory does not hold everything twice.
    pub fn is_large(&self) -> bool {
        self.rows >= MOST_ROWS
    }

    pub fn take(&mut self) -> Option<(String, D::Arguments)> {
        let Gathered { statements, arguments, .. } = std::mem::take(self);
        (!statements.is_empty()).then(|| (D::whole(&statements), arguments))
    }
}

impl Gathers for sqlx::Sqlite {
    fn insert<const N: usize>(table: &Table<N>, rows: &[[Value<'_>; N]], arguments: &mut SqliteArguments) -> Arc<str> {
        rows.iter().flatten().for_each(|value| Self::bind(*value, arguments));
        // Few sizes of statements have to be prepared: the rows that are left over have no values.
        let size = rows.len().next_power_of_two();
        (rows.len() * N..size * N).for_each(|_| Self::bind(Value::MaybeInt(None), arguments));
        made::<Self, N>(table, size, rows.len() < size, || {
            let row = format!("({})", ["?"; N].join(", "));
            let values = vec![row; size].join(", ");
            match rows.len() < size {
                false => format!("VALUES {values}"),
                true => format!("SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"),
            }
        })
    }

    fn bind(value: Value<'_>, arguments: &mut SqliteArguments) {
        bind(value, arguments);
    }

    fn whole(statements: &[Arc<str>]) -> String {
        statements.join(";")
    }
}

impl Gathers for sqlx::Postgres {
    /// A list for each column, so that the statement is the same however many rows there are.
    fn insert<const N: usize>(table: &Table<N>, rows: &[[Value<'_>; N]], arguments: &mut PgArguments) -> Arc<str> {
        for place in 0..N {
            let values = rows.iter().map(|row| row[place]);
            let added = match table.columns[place].width {
                Width::Text => arguments.add(values.map(Value::text).collect::<Vec<Option<&str>>>()),
                Width::Bytes => arguments.add(values.map(Value::bytes).collect::<Vec<Option<&[u8]>>>()),
                _ => arguments.add(values.map(Value::number).collect::<Vec<Option<i64>>>()),
            };
            added.expect(ENCODES);
        }
        made::<Self, N>(table, 1, false, || {
            let lists = table.columns.map(|column| match column.width {
                Width::Text => "?::text[]",
                Width::Bytes => "?::bytea[]",
                _ => "?::bigint[]",
            });
            format!("SELECT * FROM unnest({})", lists.join(", "))
        })
    }

    fn bind(value: Value<'_>, arguments: &mut PgArguments) {
        bind(value, arguments);
    }

    /// All but the last as parts of the last: PostgreSQL takes one statement at a time.
    fn whole(statements: &[Arc<str>]) -> String {
        let mut text = String::new();
        let mut parameters = 0;
        for (place, statement) in statements.iter().enumerate() {
            let last = place + 1 == statements.len();
            match place {
                _ if last => text.push(' '),
                0 => text.push_str("WITH part_0 AS ("),
                _ => text.push_str(&format!(", part_{place} AS (")),
            }
            let mut parts = statement.split('?');
            text.push_str(parts.next().unwrap_or_default());
            for part in parts {
                parameters += 1;
                text.push_str(&format!("${parameters}{part}"));
            }
            if !last {
                text.push(')');
            }
        }
        text
    }
}

const ENCODES: &str = "every number, text and bytes can be sent";

fn bind<'v, A>(value: Value<'v>, arguments: &mut A)
where
    A: Arguments,
    Option<i64>: sqlx::Encode<'v, A::Database> + sqlx::Type<A::Database>,
    &'v str: sqlx::Encode<'v, A::Database> + sqlx::Type<A::Database>,
    &'v [u8]: sqlx::Encode<'v, A::Database> + sqlx::Type<A::Database>,
{
    let bound = match value {
        Value::Int(value) => arguments.add(Some(value)),
        Value::MaybeInt(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Blob(value) => arguments.add(value),
    };
    bound.expect(ENCODES);
}

impl<'a> Value<'a> {
    fn number(self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(number),
            Value::MaybeInt(number) => number,
            Value::Text(_) | Value::Blob(_) => None,
        }
    }

    fn text(self) -> Option<&'a str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        if let Value::Blob(bytes) = self { Some(bytes) } else { None }
    }
}

/// `INSERT INTO t (a, b) ..`, made once for each table, number of columns, size and shape. Safe: it holds no data.
fn made<D: Database, const N: usize>(table: &Table<N>, rows: usize, padded: bool, values: impl Fn() -> String) -> Arc<str> {
    type Made = HashMap<(&'static str, &'static str, usize, usize, bool), Arc<str>>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Default::default);

    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let text = made.entry((D::NAME, table.name, N, rows, padded));
    text.or_insert_with(|| format!("INSERT INTO {} ({}) {}", table.name, columns(table), values()).into()).clone()
}

fn columns<const N: usize>(table: &Table<N>) -> String {
    table.columns.map(|column| column.name).join(", ")
}

/// From this many rows on PostgreSQL takes them as one binary stream: there is nothing to parse and nothing to plan.
pub(crate) const WORTH_COPYING: usize = 16;

pub(crate) async fn copy<'v, const N: usize>(
    db: &mut sqlx::PgConnection,
    table: &Table<N>,
    rows: impl Iterator<Item = [Value<'v>; N]> + Send,
) -> Result<(), sqlx::Error> {
    let mut stream = Vec::with_capacity(1 << 16);
    stream.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for row in rows {
        stream.extend_from_slice(&(N as i16).to_be_bytes());
        for (value, column) in row.into_iter().zip(&table.columns) {
            write_binary(value, column.width, &mut stream)?;
        }
    }
    stream.extend_from_slice(&(-1_i16).to_be_bytes());
    let statement = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, columns(table));
    let mut copy = db.copy_in_raw(&statement).await?;
    copy.send(stream).await?;
    copy.finish().await.map(drop)
}

fn write_binary(value: Value<'_>, width: Width, to: &mut Vec<u8>) -> Result<(), sqlx::Error> {
    let bytes = match value {
        Value::MaybeInt(None) => {
            to.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        Value::Int(number) | Value::MaybeInt(Some(number)) => {
            let wide = number.to_be_bytes();
            let (length, fits) = match width {
                Width::Small => (2, i16::try_from(number).is_ok()),
                Width::Int => (4, i32::try_from(number).is_ok()),
                Width::Big | Width::Text | Width::Bytes => (8, width == Width::Big),
            };
            if !fits {
                return Err(sqlx::Error::Encode(format!("{number} does not fit its column").into()));
            }
            to.extend_from_slice(&(length as i32).to_be_bytes());
            to.extend_from_slice(&wide[8 - length..]);
            return Ok(());
        }
        Value::Text(text) => text.as_bytes(),
        Value::Blob(bytes) => bytes,
    };
    to.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    to.extend_from_slice(bytes);
    Ok(())
}

/// `$2, $3, ...`: a list of parameters after the first ones, for `IN`. Lists are padded to a few sizes by repeating their
/// last value, so that few statements have to be prepared.
pub(crate) fn in_list(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

/// Sizes of lists in `IN`.
pub(crate) const LISTS: [usize; 3] = [1, 8, MOST_IN_A_LIST];
pub(crate) const MOST_IN_A_LIST: usize = 64;

/// Cuts values into lists of the sizes above, the last one padded with its last value.
pub(crate) fn lists<T: Clone>(values: &[T]) -> impl Iterator<Item = Vec<T>> + '_ {
    values.chunks(LISTS[2]).map(|chunk| {
        let size = LISTS.into_iter().find(|size| *size >= chunk.len()).expect("a chunk is no longer than the longest list");
        let last = chunk.last().expect("a chunk is not empty");
        chunk.iter().cloned().chain(std::iter::repeat_n(last.clone(), size - chunk.len())).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_one_name_with_other_columns_have_statements_of_their_own() {
        const FEW: Table<2> = Table { name: "made_in_a_test", columns: [int("a"), int("b")] };
        const MORE: Table<3> = FEW.and(int("c"));
        let mut arguments = SqliteArguments::default();
        let few = sqlx::Sqlite::insert(&FEW, &[[Value::Int(1); 2]], &mut arguments);
        let more = sqlx::Sqlite::insert(&MORE, &[[Value::Int(1); 3]], &mut arguments);
        assert_eq!(&*few, "INSERT INTO made_in_a_test (a, b) VALUES (?, ?)");
        assert_eq!(&*more, "INSERT INTO made_in_a_test (a, b, c) VALUES (?, ?, ?)");
    }
}
