//! A copy of an embedded database while it is written to: SQLite writes what it held at one moment into a new file, compact
//! and without what was deleted. Writers go on meanwhile; only the write-ahead log cannot be emptied as long as it takes.

use crate::store::sql::Either;
use crate::store::{Doing, Store, StoreError};
use std::path::Path;

impl Store {
    /// Copies the database into a file that does not exist or is empty.
    pub async fn copy_into(&self, file: &Path) -> Result<(), StoreError> {
        let Either::Sqlite(sqlite) = &*self.databases else { return Err(StoreError::NotAFile) };
        let mut reader = sqlite.readers.acquire().await.doing("copy the database")?;
        // To write another file is more than a connection may that only asks; the database itself stays read-only.
        sqlx::query("PRAGMA query_only = OFF").execute(&mut *reader).await.doing("copy the database")?;
        let copied = sqlx::query("VACUUM INTO $1").bind(file.display().to_string()).execute(&mut *reader).await;
        sqlx::query("PRAGMA query_only = ON").execute(&mut *reader).await.doing("copy the database")?;
        copied.map(drop).doing("copy the database")
    }
}
