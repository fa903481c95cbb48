//! Every byte of a small book: of each row and column that a book is proved by one bit of every byte is flipped, and
//! `verify --deep` must find it. What a block covers is found with the number of that block. A number has eight bytes here,
//! however few of them SQLite stores. What SQLite itself refuses to write (a key that is there already) cannot be flipped so;
//! in the file it would be a damaged index, which its own check finds.

use crate::support::database::{TestDatabase, block_on};
use crate::support::small;
use farthing::flow::Farthing;
use farthing::id::Org;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection, TypeInfo, ValueRef};

/// How the block is known in which a flip in a row must be found.
enum Block {
    /// The row is in the block that covers this column.
    Covers(&'static str),
    /// The row is a block: it or the one after it.
    Is,
    /// The first block that names the catalog version of the row, or one that was changed with it.
    Pins,
    /// The first block that names a catalog version with the part of the row.
    PinsPart,
    /// The block of the record that this column names.
    Records(&'static str),
    /// The row is the head: the last block, the one after it, or the one that the head names now.
    Head,
}

#[test]
fn no_flipped_byte_of_an_event_goes_unseen() {
    flip_all("events", "record", &Block::Covers("record_until"));
}

// By far the most bytes: in two halves, so that two processors share them.
#[test]
fn no_flipped_byte_of_an_entry_goes_unseen() {
    flip("sequence % 2 = 0", &[], "entries", "sequence", &Block::Covers("sequence_until"));
}

#[test]
fn no_flipped_byte_of_any_other_entry_goes_unseen() {
    flip("sequence % 2 = 1", &[], "entries", "sequence", &Block::Covers("sequence_until"));
}

#[test]
fn no_flipped_byte_of_a_block_goes_unseen() {
    flip_all("blocks", "block", &Block::Is);
}

#[test]
fn no_flipped_byte_of_a_name_goes_unseen() {
    flip_all("names", "name", &Block::Covers("name_until"));
}

#[test]
fn no_flipped_byte_of_an_owner_or_a_product_goes_unseen() {
    flip_all("owners", "owner", &Block::Covers("owner_until"));
    flip_all("products", "product", &Block::Covers("product_until"));
}

#[test]
fn no_flipped_byte_of_a_catalog_version_goes_unseen() {
    flip_all("catalog_versions", "version", &Block::Pins);
    flip_all("catalog_contents", "version", &Block::Pins);
    flip_all("catalog_parts", "hash", &Block::PinsPart);
}

#[test]
fn no_flipped_byte_of_a_head_goes_unseen() {
    flip_all("books", "org", &Block::Head);
}

#[test]
fn no_flipped_byte_of_a_statement_goes_unseen() {
    flip("true", &["statement", "body"], "statements", "statement", &Block::Records("statement"));
}

#[test]
fn no_flipped_number_or_reference_of_a_work_list_goes_unseen() {
    flip("true", &["org", "event", "record"], "held", "event", &Block::Records("record"));
    flip("true", &["org", "conflict", "event"], "conflicts", "conflict", &Block::Records("conflict"));
}

fn flip_all(table: &str, key: &str, block: &Block) {
    flip("true", &[], table, key, block);
}

/// Flips each byte of these columns, or of all, one after the other, in the rows for which something is true.
fn flip(which: &str, columns: &[&str], table: &str, key: &str, block: &Block) {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = small::book(&database.options()).await;
        farthing.erase_name(org, "user", "bob").await.unwrap();
        let verified = farthing.verify_deep(org, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "{verified:?}");
        let mut tamper = SqliteConnection::connect(&database.url).await.unwrap();
        tamper.execute("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF").await.unwrap();
        let triggers = tamper.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'trigger'").await.unwrap();
        for trigger in triggers {
            let drop = format!("DROP TRIGGER {}", trigger.get::<String, _>(0));
            tamper.execute(AssertSqlSafe(drop)).await.unwrap();
        }

        let rows = tamper.fetch_all(AssertSqlSafe(format!("SELECT * FROM {table} WHERE {which} ORDER BY {key}"))).await.unwrap();
        assert!(!rows.is_empty(), "the book has no {table}");
        let (mut flipped, mut refused) = (0, 0);
        for row in &rows {
            let wanted = |name: &str| columns.is_empty() || columns.contains(&name);
            for column in row.columns().iter().map(sqlx::Column::name).filter(|name| wanted(name)) {
                for value in flips(row.try_get_raw(column).unwrap()) {
                    match set(&mut tamper, table, row, column, &value).await {
                        Ok(()) => flipped += 1,
                        Err(_) => {
                            refused += 1;
                            continue;
                        }
                    }
                    let what = format!("{table}.{column} = {value} of {}", place(table, row));
                    expect(&farthing, org, &mut tamper, block, row, &what).await;
                    undo(&mut tamper, table, row, column, &value).await;
                }
            }
        }
        println!("{table}: {flipped} bytes flipped, {refused} refused");
        assert!(flipped > rows.len() * columns.len().max(3), "{table}: only {flipped} bytes were flipped");
        let verified = farthing.verify_deep(org, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "{table} is not as it was: {verified:?}");
    });
}

async fn expect(farthing: &Farthing, org: Org, tamper: &mut SqliteConnection, block: &Block, row: &SqliteRow, what: &str) {
    let found = farthing.verify_deep(org, |_, _| {}).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let Err(broken) = found else { panic!("{what} was not found") };
    let number = |name: &str| row.try_get::<i64, _>(name).unwrap();
    let expected = match block {
        Block::Head => {
            let text = "SELECT (SELECT MAX(block) FROM blocks), block FROM books";
            let head = tamper.fetch_one(text).await.unwrap();
            let (last, named) = (head.get::<i64, _>(0), head.get::<i64, _>(1));
            // One that was given to another org, or cannot even be read, names no block.
            let names_none = what.starts_with("books.org") || broken.why.contains("the head of a book is damaged");
            if names_none { vec![0] } else { vec![last, last + 1, named] }
        }
        Block::Records(column) => {
            let text = "SELECT block FROM blocks WHERE record_from <= $1 AND record_until > $1";
            vec![sqlx::query(text).bind(number(column)).fetch_one(tamper).await.unwrap().get(0)]
        }
        Block::PinsPart => {
            let text = "SELECT COALESCE(MIN(block), 0) FROM blocks
                         WHERE catalog_version IN (SELECT version FROM catalog_contents WHERE hash = $1)";
            let hash: Vec<u8> = row.try_get("hash").unwrap();
            vec![sqlx::query(text).bind(hash).fetch_one(tamper).await.unwrap().get(0)]
        }
        Block::Is => vec![number("block"), number("block") + 1],
        Block::Covers(until) => {
            let key = until.trim_end_matches("_until");
            let text = format!("SELECT MIN(block) FROM blocks WHERE {until} > {}", number(key));
            vec![tamper.fetch_one(AssertSqlSafe(text)).await.unwrap().get(0)]
        }
        Block::Pins => {
            // A part that moves to an earlier version damages that one too.
            let text = "SELECT MIN(block) FROM blocks WHERE catalog_version <= $1 GROUP BY catalog_version ORDER BY catalog_version DESC";
            let pins = sqlx::query(text).bind(number("version")).fetch_all(tamper).await.unwrap();
            pins.iter().map(|pin| pin.get(0)).collect()
        }
    };
    assert!(expected.contains(&broken.block.0), "{what} was found in {broken:?} and not in {expected:?}");
}

/// A row by the key of its table, as SQL.
fn place(table: &str, row: &SqliteRow) -> String {
    let keys: &[&str] = match table {
        "events" => &["org", "record"],
        "entries" => &["org", "sequence"],
        "blocks" => &["org", "block"],
        "names" => &["org", "name"],
        "owners" => &["org", "owner"],
        "products" => &["org", "product"],
        "catalog_versions" => &["org", "version"],
        "catalog_contents" => &["org", "version", "part"],
        "catalog_parts" => &["hash"],
        "books" => &["org"],
        "statements" => &["org", "statement"],
        "held" => &["org", "event"],
        "conflicts" => &["org", "conflict"],
        other => panic!("{other} has no known key"),
    };
    place_by(keys.iter().map(|key| (*key, literal(row.try_get_raw(*key).unwrap()))))
}

fn place_by<'k>(keys: impl Iterator<Item = (&'k str, String)>) -> String {
    keys.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(" AND ")
}

async fn set(tamper: &mut SqliteConnection, table: &str, row: &SqliteRow, column: &str, value: &str) -> Result<(), sqlx::Error> {
    let text = format!("UPDATE {table} SET {column} = {value} WHERE {}", place(table, row));
    let done = tamper.execute(AssertSqlSafe(text.clone())).await?;
    assert_eq!(done.rows_affected(), 1, "{text}");
    Ok(())
}

/// The row is found by the key that it has now.
async fn undo(tamper: &mut SqliteConnection, table: &str, row: &SqliteRow, column: &str, value: &str) {
    let was = literal(row.try_get_raw(column).unwrap());
    let now = place(table, row)
        .split(" AND ")
        .map(|part| {
            let (key, _) = part.split_once(" = ").unwrap();
            if key == column { format!("{key} = {value}") } else { part.to_owned() }
        })
        .collect::<Vec<_>>()
        .join(" AND ");
    let text = format!("UPDATE {table} SET {column} = {was} WHERE {now}");
    let done = tamper.execute(AssertSqlSafe(text.clone())).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{text}");
}

/// A value as SQL writes it.
fn literal(value: SqliteValueRef<'_>) -> String {
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        _ if value.is_null() => "NULL".to_owned(),
        "INTEGER" => number(<i64 as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap()),
        "BLOB" => blob(<&[u8] as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap()),
        _ => text(<&str as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap().as_bytes()),
    }
}

fn number(number: i64) -> String {
    // The smallest number has no literal of its own.
    if number == i64::MIN { "(-9223372036854775807 - 1)".to_owned() } else { number.to_string() }
}

fn blob(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

fn text(bytes: &[u8]) -> String {
    format!("CAST({} AS TEXT)", blob(bytes))
}

/// The value with one bit of each of its bytes turned over, another one in each.
fn flips(value: SqliteValueRef<'_>) -> Vec<String> {
    let of_bytes = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let flip = |place: usize| {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << (place % 8);
            flipped
        };
        (0..bytes.len()).map(flip).collect()
    };
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        _ if value.is_null() => Vec::new(),
        "INTEGER" => {
            let was = <i64 as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap();
            (0..8).map(|byte| number(was ^ (1 << (byte * 8 + (byte + 5) % 8)))).collect()
        }
        "BLOB" => of_bytes(<&[u8] as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap()).iter().map(|b| blob(b)).collect(),
        _ => of_bytes(<&str as sqlx::Decode<sqlx::Sqlite>>::decode(value).unwrap().as_bytes()).iter().map(|b| text(b)).collect(),
    }
}
